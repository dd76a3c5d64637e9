"""What may be set, from facts alone: for each variable its values, in the order in which they are worth a try. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from commcheck.model.base import Value
from commcheck.model.case import HostFacts
from commcheck.model.phase import Phase
from commcheck.model.plan import Plan
from commcheck.planner import local_plan
from commcheck.predict.addresses import resolved
from commcheck.suggest.model import DEFAULT_ADDR, DEFAULT_PORT, TIMEOUT, Candidate, Cluster, Order, Setting
from commcheck.suggest.networks import Network, networks

LOWEST_PORT = 1024
"""Below it a port is root's."""
HIGHEST_PORT = 65535
IMPATIENT = "timeout:1 attempts:1"
"""resolv.conf(5): the least that a resolver can be told to wait."""
TIMEOUTS = (30.0, 300.0, 1800.0)
"""Seconds of a timeout in place of a shorter one; the last is torch's own."""
AFTER_STORE = frozenset({Phase.PROBE, Phase.GROUP, Phase.FIRST_COLLECTIVE, Phase.VERIFY, Phase.STEADY})


class Knob(Value, frozen=True):
    """One variable. `bears_on`: the phases that it can help. `asked`: it is tried only where a diagnosis names it, or where
    such a phase fails; each choice only after the one before it has failed."""

    name: str
    choices: Candidate
    bears_on: frozenset[Phase]
    asked: bool = False


def knobs(cluster: Cluster) -> tuple[Knob, ...]:
    """All variables that are varied."""
    ways = networks(cluster.hosts)
    setup = frozenset({Phase.RESOLVE, Phase.STORE})
    one = len(cluster.hosts) == 1
    return (
        Knob(name="MASTER_ADDR", choices=tuple(_addresses(cluster, ways)), bears_on=setup, asked=one),
        Knob(name=_variable(cluster), choices=tuple(_interfaces(cluster, ways)), bears_on=AFTER_STORE, asked=one),
        Knob(name="MASTER_PORT", choices=tuple(_ports(cluster)), bears_on=frozenset(), asked=True),
        Knob(name="RES_OPTIONS", choices=(_resolver(cluster.hosts),), bears_on=frozenset(), asked=True),
        *([_patience(cluster)] if cluster.timeout is not None else []),
    )


def _addresses(cluster: Cluster, ways: Sequence[Network]) -> Iterator[Setting]:
    """The host of rank 0: by its name, where every host knows it; by its address on each network."""
    if len(cluster.hosts) > 1:
        names = {h.host: h.hostname for h in cluster.hosts}
        if len(set(names.values())) == len(names) and all(
            resolved(h, name) for h in cluster.hosts for name in names.values()
        ):
            yield Setting(
                name="MASTER_ADDR",
                values=names,
                of_main=True,
                why="rank 0's host by its name, which every host resolves",
            )
    for way in ways:
        if set(way.addresses.values()) != {DEFAULT_ADDR}:
            why = f"rank 0's host by its address on a network that leads to it: {way.what}"
            yield Setting(name="MASTER_ADDR", values=way.addresses, of_main=True, why=why)


def _variable(cluster: Cluster) -> str:
    """Which variable names interfaces."""
    return "NCCL_SOCKET_IFNAME" if cluster.backend == "nccl" else "GLOO_SOCKET_IFNAME"


def _interfaces(cluster: Cluster, ways: Sequence[Network]) -> Iterator[Setting]:
    name = _variable(cluster)
    exact = "=" if cluster.backend == "nccl" else ""  # without it NCCL takes every name that begins so
    seen: list[dict[str, str]] = []
    for way in ways:
        if way.interfaces not in seen:
            seen.append(way.interfaces)
            why = f"the interface on a network that leads to the other ranks: {way.what}"
            yield Setting(name=name, values={h: exact + i for h, i in way.interfaces.items()}, why=why)


def _ports(cluster: Cluster) -> Iterator[Setting]:
    for port in cluster.ports:
        if port != DEFAULT_PORT:
            why = f"a port that is free on rank 0's host; torchrun's own default is {DEFAULT_PORT}"
            yield Setting(name="MASTER_PORT", values=dict.fromkeys(cluster.names, str(port)), of_main=True, why=why)


def _resolver(hosts: Sequence[HostFacts]) -> Setting:
    return Setting(
        name="RES_OPTIONS",
        values=dict.fromkeys((h.host for h in hosts), IMPATIENT),
        why="the name server is slow to answer, and this shortens the wait for it",
    )


def _patience(cluster: Cluster) -> Knob:
    """A longer timeout than the job's."""
    longer = tuple(
        Setting(
            name=TIMEOUT,
            values=dict.fromkeys(cluster.names, f"{seconds:g}"),
            why=f"the job's own timeout of {cluster.timeout:g} s is shorter than what the world takes to form here",
        )
        for seconds in TIMEOUTS
        if seconds > (cluster.timeout or 0)
    )
    return Knob(name=TIMEOUT, choices=longer, bears_on=frozenset(), asked=True)


def port_candidates(hosts: Sequence[HostFacts]) -> tuple[int, ...]:
    """Ports for a store: the default, then farther and farther from it, so that a few attempts lead out of any range that is
    blocked. None is root's, nor, where there are others, one that the kernel gives to outgoing connections."""
    ranges = [h.port_range for h in hosts if h.port_range is not None]
    ports = [DEFAULT_PORT]
    step = 1
    while step < HIGHEST_PORT:
        ports += [DEFAULT_PORT + step, DEFAULT_PORT - step]
        step *= 2
    allowed = [p for p in ports if LOWEST_PORT <= p <= HIGHEST_PORT]
    kept = [p for p in allowed if not any(low <= p <= high for low, high in ranges)]
    return tuple(kept or allowed)


def world_plan(cluster: Cluster, candidate: Candidate, order: Order, extra: dict[str, str] | None = None) -> Plan:
    """The world of a candidate: what a launcher sets by itself, and the settings. `extra`: for all ranks, besides them."""
    places = dict(zip(cluster.names, cluster.places, strict=True))
    where = [cluster.host_of(rank, order) for rank in range(cluster.size)]
    own = {}
    for rank, host in enumerate(where):
        told = {s.name: s.value(host, order[0]) for s in candidate if s.name != TIMEOUT}
        own[rank] = {**(extra or {}), **{name: value for name, value in told.items() if value is not None}}
    longer = next((s.value(order[0], order[0]) for s in candidate if s.name == TIMEOUT), None)
    plan = local_plan(
        store_seconds=cluster.timeout if longer is None else float(longer),
        size=cluster.size,
        base=cluster.base,
        backend=cluster.backend,
        master_addr=DEFAULT_ADDR,
        master_port=DEFAULT_PORT,
        places=tuple(places[host] for host in where),
        rank_env=own,
    )
    if not cluster.nccl:
        return plan
    return replace(plan, ranks=tuple(replace(r, nccl_address=cluster.nccl.get(r.place.host, "")) for r in plan.ranks))
