"""How many planted faults an exploration finds: `python benchmarks/explore.py [--worlds N] [--seed N] [--only METHOD ...]`.

Thirty faults lie in one lab of three hosts and three networks, eight that a single setting meets and twenty-two that two
settings only meet together. Fifteen are faults of hosts and networks (firewalls, other programs on a port, wrong names, a wrong
route, a path that swallows large packets), fifteen are bugs of the ranks' program that show only where settings meet (made
inside the ranks by faults of `commcheck.worker.faults`). The search is told the parameters, and nothing of the faults.

A fault counts as found if a finding's settings are exactly those that matter. All methods have the same number of worlds,
shrink in the same way, and count every world: also those for shrinking, and those that are run again to be believed.
Exit code 1 when the covering method finds fewer than 28 of 30, or not more than the others.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from commcheck.explore.drive import Budget, explore
from commcheck.explore.findings import BROKEN, Exploration
from commcheck.explore.search import METHODS, Search
from commcheck.explore.worlds import Worlds
from commcheck.generate.config import Config
from commcheck.generate.parameter import Change, Choice, Parameter, Space, holds
from commcheck.generate.space import lab_space
from commcheck.model.fault import FaultSpec
from commcheck.model.plan import FaultAt
from commcheck.model.topology import Network, Topology
from commcheck.scenarios.kinds import specs

AIM = 28
LAB = Topology(
    hosts=3,
    networks=(
        Network(subnet6="fd00:77::/64"),
        Network(interface="eth1", subnet="10.78.0.0/24"),
        Network(interface="eth2", subnet="10.79.0.0/24"),
    ),
)
CHOICES = {
    "size": ("3", "2", "4", "6"),
    "start": ("h0", "h1", "h2"),
    "address": ("ipv4", "ipv6", "name", "eth1", "eth2"),
    "init": ("env", "tcp", "file"),
    "timeout": ("default", "60", "30"),
    "backend": ("gloo", "cpu:gloo", "GLOO"),
    "GLOO_SOCKET_IFNAME": ("unset", "eth0", "eth1", "eth2"),
    "GLOO_SOCKET_IFNAME@last": ("unset", "eth0", "eth1"),
    "GLOO_DEVICE_TRANSPORT": ("unset", "TCP", "LINUX"),
    "TORCH_GLOO_LAZY_INIT": ("unset", "1", "0"),
    "USE_LIBUV": ("unset", "1", "0"),
    "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER": ("unset", "1", "0"),
    "GLOO_ENABLE_STORE_V2_API": ("unset", "1"),
    "GLOO_DISABLE_CONNECTION_RETRIES": ("unset", "1"),
    "GLOO_LOG_LEVEL": ("unset", "ERROR", "INFO"),
}
PORTS = ("usual", "29501", "23456", "40000", "50000", "50001", "50002", "50003", "50004", "50005")
IFNAME, LAST = "GLOO_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME@last"

Settings = dict[str, str]


def redirected(where: str, hosts: dict[int, list[int]], ports: list[str]) -> list[dict[str, object]]:
    """Connections to these hosts' addresses on an interface end nowhere, for each of these ports."""
    return [
        {"hosts": clients, "address": f"{{h{server}.{where}}}", "port": int(port), "to": "{h1}", "to_port": 9}
        for server, clients in hosts.items()
        for port in ports
    ]


ALL_PORTS = ["29500", *PORTS[1:]]
EVERYBODY = {0: [1, 2], 1: [0, 2], 2: [0, 1]}

# Faults of hosts and networks: the settings that meet each, and what is done.
HOSTS: tuple[tuple[Settings, str, list[dict[str, object]]], ...] = (
    ({"port": "29501"}, "drop", [{"hosts": [0, 1, 2], "ports": "29501"}]),
    ({"port": "23456"}, "listener", [{"hosts": [0, 1, 2], "port": 23456}]),
    ({"port": "40000"}, "reject", [{"hosts": [0, 1, 2], "ports": "40000"}]),
    ({IFNAME: "eth2"}, "mtu", [{"hosts": [1], "interface": "eth2"}]),
    ({"port": "50000", "start": "h1"}, "drop", [{"hosts": [1], "ports": "50000"}]),
    ({"port": "50001", "start": "h2"}, "reject", [{"hosts": [2], "ports": "50001"}]),
    ({"port": "50002", "start": "h1"}, "listener", [{"hosts": [1], "port": 50002}]),
    ({"port": "50003", "start": "h2"}, "listener", [{"hosts": [2], "port": 50003, "banner": "hello"}]),
    ({"address": "name", "start": "h1"}, "resolves-to", [{"hosts": [2], "name": "h1", "address": "10.77.0.99"}]),
    ({"address": "name", "start": "h2"}, "unresolvable", [{"hosts": [0], "name": "h2"}]),
    ({"address": "ipv6", "start": "h1"}, "wrong-route", [{"hosts": [2], "destination": "fd00:77::b"}]),
    ({"address": "eth1", "start": "h1"}, "redirect", redirected("eth1", {1: [0, 2]}, ALL_PORTS)),
    ({"address": "eth2", "start": "h2"}, "redirect", redirected("eth2", {2: [0, 1]}, ALL_PORTS)),
    ({"address": "eth1", "port": "50004"}, "redirect", redirected("eth1", EVERYBODY, ["50004"])),
    ({"address": "eth2", "port": "50005"}, "redirect", redirected("eth2", EVERYBODY, ["50005"])),
)

# Bugs of the program: the settings that wake each, on which rank (-1: the last), and what it does there.
PROGRAM: tuple[tuple[Settings, int, FaultAt], ...] = (
    ({"size": "6"}, -1, FaultAt(name="exit", phase="verify")),
    ({"backend": "GLOO"}, 1, FaultAt(name="exception", phase="verify")),
    ({"GLOO_DEVICE_TRANSPORT": "LINUX"}, 0, FaultAt(name="wrong-values", phase="verify")),
    ({"USE_LIBUV": "1"}, 0, FaultAt(name="kill", phase="group")),
    ({LAST: "eth1", "address": "ipv6"}, -1, FaultAt(name="exit", phase="group")),
    ({"address": "ipv6", "size": "4"}, 0, FaultAt(name="swap-order", phase="verify")),
    ({IFNAME: "eth1", "timeout": "60"}, 0, FaultAt(name="other-shape", phase="verify")),
    ({"init": "file", "size": "4"}, 1, FaultAt(name="segv", phase="verify")),
    ({"init": "tcp", "timeout": "30"}, 1, FaultAt(name="skip-collective", phase="verify")),
    ({"backend": "cpu:gloo", "TORCH_GLOO_LAZY_INIT": "1"}, 1, FaultAt(name="kill", phase="first-collective")),
    ({"USE_LIBUV": "0", "GLOO_ENABLE_STORE_V2_API": "1"}, 0, FaultAt(name="exception", phase="group")),
    ({LAST: "eth0", "size": "2"}, -1, FaultAt(name="other-dtype", phase="verify", argument="float64")),
    ({"GLOO_LOG_LEVEL": "INFO", "GLOO_DEVICE_TRANSPORT": "TCP"}, 1, FaultAt(name="exit", phase="steady")),
    ({"GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER": "1", "init": "file"}, 0, FaultAt(name="wrong-values", phase="verify")),
    ({"GLOO_DISABLE_CONNECTION_RETRIES": "1", "start": "h2"}, 0, FaultAt(name="other-collective", phase="verify")),
)
PLANTED: tuple[Settings, ...] = (*(s for s, _, _ in HOSTS), *(s for s, _, _ in PROGRAM))


def space() -> Space:
    """The parameters of the lab as `commcheck explore` draws them, cut to the choices that are meant to work."""
    whole = {p.name: p for p in lab_space(LAB).parameters}
    made = []
    for name, names in CHOICES.items():
        known = {c.name: c for c in whole[name].choices}
        made.append(Parameter(name=name, choices=tuple(known.get(n) or _set(name, n) for n in names)))
    ports = (Choice(name=p, change=Change() if p == "usual" else Change(env={"MASTER_PORT": p})) for p in PORTS)
    made.append(Parameter(name="port", choices=tuple(ports)))
    meaningless = [{"init": m, "port": p} for m in CHOICES["init"][1:] for p in PORTS[1:]]
    drawn = lab_space(LAB)
    return Space(base=drawn.base, parameters=tuple(made), impossible=(*drawn.impossible, *meaningless))


def _set(name: str, value: str) -> Choice:
    if name == "timeout":
        return Choice(name=value, change=Change(world={"timeout": float(value)}))
    return Choice(name=value, change=Change(env={name: value}))


def host_faults() -> tuple[FaultSpec, ...]:
    return tuple(msgspec.convert(fields, specs()[kind]) for _, kind, several in HOSTS for fields in several)


class Program:
    """The ranks' program with its bugs: which of them a configuration wakes. It asks what is set, not which row it was."""

    def __init__(self, searched: Space) -> None:
        changes = {p.name: {c.name: c.change for c in p.choices} for p in searched.parameters}
        self._base = searched.base
        self._wakes = [([changes[n][v] for n, v in s.items()], rank, fault) for s, rank, fault in PROGRAM]

    def __call__(self, config: Config) -> Mapping[int, tuple[FaultAt, ...]]:
        found: dict[int, tuple[FaultAt, ...]] = {}
        for changes, rank, fault in self._wakes:
            if all(self._is_so(config, change) for change in changes):
                slot = config.world.size - 1 if rank < 0 else rank
                found[slot] = (*found.get(slot, ()), fault)
        return found

    @staticmethod
    def _is_so(config: Config, change: Change) -> bool:
        """The configuration is as a change makes it."""
        ranks = range(config.world.size) if change.rank is None else (config.world.size - 1,)
        own_of = {r: config.ranks[str(r)].env if str(r) in config.ranks else {} for r in ranks}
        told_of = {r: config.environment(r) if change.rank is None else own_of[r] for r in ranks}
        told = all(told_of[r].get(k) == v for r in ranks for k, v in change.env.items())
        world = all(getattr(config.world, k) == v for k, v in change.world.items())
        own = all(
            str(r) in config.ranks and getattr(config.ranks[str(r)], k) == v
            for r in ranks
            for k, v in change.own.items()
        )
        return told and world and own


def run(method: str, worlds: int, seed: int, jobs: int) -> tuple[Search, Exploration]:
    searched = space()
    search = Search(searched, method=method, seed=seed)
    live = sys.stderr.isatty()

    def said(line: str) -> None:
        if live:
            print(f"\r\x1b[K{method}: {line}"[:110], end="", file=sys.stderr, flush=True)

    with Worlds(LAB, jobs=jobs, faults=host_faults(), rank_faults=Program(searched)) as running:
        done = explore(search, running, Budget(worlds=worlds), said)
    if live:
        print("\r\x1b[K", end="", file=sys.stderr)
    return search, done


def score(search: Search, done: Exploration) -> tuple[list[Settings], list[Settings]]:
    """The planted faults that were found with exactly their settings, and the other findings that fail."""
    exact = [f.settings for g in done.groups for f in g.findings if f.kind in BROKEN]
    return [p for p in PLANTED if p in exact], [s for s in exact if s not in PLANTED]


def met(search: Search) -> int:
    """In how many planted faults some world ran, whether or not that was understood."""
    rows = list(search.observed)
    return sum(any(holds(row, search.space.numbered(p)) for row in rows) for p in PLANTED)


def words(settings: Settings) -> str:
    return ", ".join(f"{n}={v}" for n, v in settings.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)
    args = parser.parse_args()
    assert len(PLANTED) == 30
    singles = [p for p in PLANTED if len(p) == 1]
    print(
        f"{len(PLANTED)} planted faults ({len(singles)} single, {len(PLANTED) - len(singles)} in pairs), {args.worlds} worlds each"
    )
    counts: dict[str, int] = {}
    for method in args.only:
        begin = time.monotonic()
        search, done = run(method, args.worlds, args.seed, args.jobs)
        found, others = score(search, done)
        counts[method] = len(found)
        single = sum(len(p) == 1 for p in found)
        print(
            f"\n{method}: {len(found)} of {len(PLANTED)} found with exactly their settings ({single} of {len(singles)} single, "
            f"{len(found) - single} of {len(PLANTED) - len(singles)} pairs); {met(search)} met by some world\n"
            f"  {done.worlds} worlds {dict(done.worlds_by_purpose)}, {time.monotonic() - begin:.0f} s; {done.ended}\n"
            f"  {100 * done.coverage.decided:.1f} % of {done.coverage.total} pairs decided; "
            f"{done.agreed} of {done.predicted} worlds as predicted"
        )
        for name, rows in (("missed", [p for p in PLANTED if p not in found]), ("also found", others)):
            for settings in rows:
                print(f"  {name}: {words(settings)}")
        for finding in done.unsure:
            print(f"  unsure ({finding.failed} of {finding.runs}): {words(finding.settings)}")
    best = counts.get("covering")
    if best is None:
        return 0
    others_counts = {m: n for m, n in counts.items() if m != "covering"}
    for method, number in others_counts.items():
        print(f"\ncovering / {method}: {best / number:.2f}" if number else f"\n{method} found none")
    return 0 if best >= AIM and all(best > n for n in others_counts.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
