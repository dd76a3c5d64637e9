"""A diagnosis -> the fault that would make it: what facts do not show (a firewall, a rank that was killed), made on purpose.

Only where somebody asks for it: the fault is then what was concluded, and not what was seen. Pure."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from commcheck.model.base import Value, ranks_text
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import Diagnosis
from commcheck.model.fault import FaultSpec
from commcheck.model.phase import Phase
from commcheck.model.plan import FaultAt, Plan
from commcheck.scenarios.kinds import specs

AT_HOSTS = {
    "port-dropped": ("drop", "{port}"),
    "port-refused": ("reject", "{port}"),
    "data-ports-dropped": ("drop", "!= {port}"),
    "data-ports-refused": ("reject", "!= {port}"),
}
"""By cause: the fault at the hosts of its ranks, and the ports that it is about."""
AT_CABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "link-lossy": ("loss", {"percent": 20.0}),
    "link-slow": ("bandwidth", {"rate": "2mbit"}),
    "mtu-mismatch": ("mtu", {"mtu": 1400}),
}
"""By cause: the fault at the interface that carries data. How much was lost, or how slow it was, is not what is made."""
AT_THE_STORE = {"stale-store": "old-store", "port-in-use": "listener", "wrong-service-on-port": "listener"}
"""By cause: what listens on the store's port before it, on the hosts of its ranks."""
AT_RANKS = {
    "rank-killed": "kill",
    "rank-oom-killed": "kill",
    "rank-crashed": "segv",
    "rank-exited": "exit",
    "rank-stopped": "stop",
    "rank-missing": "absent",
}
"""By cause: what the rank's own program does, in the phase that it was last seen in."""


class Made(Value, frozen=True):
    """The plan with the faults of ranks, the faults of hosts, and what to say about it."""

    plan: Plan
    faults: tuple[FaultSpec, ...] = ()
    note: str = ""


def can_be_made(cause: str) -> bool:
    """There is a fault that makes this cause."""
    return cause in {*AT_HOSTS, *AT_CABLES, *AT_THE_STORE, *AT_RANKS, "one-way-blocked", "partition"}


def with_cause(plan: Plan, case: Case, found: Diagnosis | None, hosts: tuple[str, ...]) -> Made:
    """`hosts`: the names of the virtual hosts, in order; empty where there are none."""
    if found is None:
        return Made(plan=plan, note="--with-cause: nothing was found when it was recorded, so nothing is made")
    asked = _at_ranks(plan, case, found) or _at_hosts(plan, case, found, hosts)
    if asked is None:
        return Made(plan=plan, note=f"--with-cause: {found.cause} is no fault that is made here on purpose")
    return asked


def _at_ranks(plan: Plan, case: Case, found: Diagnosis) -> Made | None:
    name = AT_RANKS.get(found.cause)
    if name is None:
        return None
    records = {r.slot: r for r in case.ranks if r.name in found.ranks}
    there = tuple(
        replace(r, faults=(*r.faults, FaultAt(name=name, phase=_phase(records[r.slot])))) if r.slot in records else r
        for r in plan.ranks
    )
    return Made(plan=replace(plan, ranks=there), note=_note(name, ranks_text(found.ranks)))


def _phase(rank: RankRecord) -> str:
    last = rank.last_phase
    return last.phase.value if last is not None else Phase.RESOLVE.value


def _at_hosts(plan: Plan, case: Case, found: Diagnosis, hosts: tuple[str, ...]) -> Made | None:
    places = [r.place.host for r in plan.ranks if _name(r.environment, r.slot) in found.ranks] or list(found.hosts)
    numbers = tuple(dict.fromkeys(hosts.index(h) for h in places if h in hosts))
    if not numbers:
        return None
    fault: FaultSpec | None = None
    port = case.world.master_port if case.world is not None else None
    if found.cause in AT_HOSTS and port is not None:
        kind, ports = AT_HOSTS[found.cause]
        fault = _spec(kind, hosts=numbers, ports=ports.format(port=port))
    elif found.cause in AT_THE_STORE and port is not None:
        fault = _spec(AT_THE_STORE[found.cause], hosts=numbers[:1], port=port)
    elif found.cause in AT_CABLES:
        kind, more = AT_CABLES[found.cause]
        interface = _carrying(case, hosts[numbers[0]])
        fault = _spec(kind, hosts=numbers, interface=interface, **more) if interface else None
    elif found.cause == "one-way-blocked" and found.links:
        fault = _one_way(plan, found, hosts)
    elif found.cause == "partition":
        rest = tuple(n for n in range(len(hosts)) if n not in numbers)
        fault = _spec("partition", groups=(numbers, rest)) if rest else None
    if fault is None:
        return None
    where = ", ".join(hosts[n] for n in numbers)
    return Made(plan=plan, faults=(fault,), note=_note(str(fault.__struct_config__.tag), where))


def _spec(kind: str, **parameters: Any) -> FaultSpec:
    made: Any = specs()[kind]
    spec: FaultSpec = made(**parameters)
    return spec


def _one_way(plan: Plan, found: Diagnosis, hosts: tuple[str, ...]) -> FaultSpec | None:
    by_rank = {str(_name(r.environment, r.slot)): r.place.host for r in plan.ranks}
    link = found.links[0]
    source, target = (by_rank.get(end.removeprefix("rank "), end) for end in (link.source, link.target))
    if source not in hosts or target not in hosts:
        return None
    return _spec("one-way", hosts=(hosts.index(target),), peer=hosts.index(source))


def _carrying(case: Case, host: str) -> str:
    """The interface of a host that carried data, as the kernel showed it; else the first with an address."""
    rows = [s.interface for r in case.ranks if r.host == host for s in r.sockets if s.state == "ESTAB"]
    facts = case.host(host)
    own = [i.name for i in facts.interfaces if i.up and i.addresses and not i.loopback] if facts is not None else []
    return next((name for name in (*rows, *own) if name in own), "")


def _name(environment: dict[str, str], slot: int) -> int:
    text = environment.get("RANK", "")
    return int(text) if text.isdigit() else slot


def _note(kind: str, where: str) -> str:
    return f"--with-cause: the fault {kind!r} is made at {where}, because that was concluded, not because it was seen"
