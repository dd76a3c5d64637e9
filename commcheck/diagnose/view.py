"""Questions that many rules ask of a case. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from commcheck.model.base import remembered
from commcheck.model.case import Case, Ended, HostFacts, Interface, Listener, Outcome, Probe, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind
from commcheck.model.phase import STAGE_OF, Phase, PhaseStatus
from commcheck.model.taxonomy import Stage, Symptom

if TYPE_CHECKING:
    import ipaddress

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
else:
    Network = object  # the name is for annotations; the module behind it costs 3 ms that `commcheck lint` does not need


def evidence(kind: EvidenceKind, text: str, rank: RankRecord | None = None, source: str = "") -> Evidence:
    """One observation, with the rank by its number."""
    return Evidence(kind=kind, text=text, rank=None if rank is None else rank.name, source=source)


# --- ranks ---------------------------------------------------------------------------------------------------------


@remembered
def rank_zero(case: Case) -> RankRecord | None:
    """The process that claims rank 0, which serves the store; None if there is none, or more than one."""
    found = [r for r in case.ranks if r.rank == 0 and r.started != "not-started"]
    return found[0] if len(found) == 1 else None


@remembered
def started(case: Case) -> tuple[RankRecord, ...]:
    """The processes that were really started."""
    return tuple(r for r in case.ranks if r.started != "not-started")


def names(ranks: Iterable[RankRecord]) -> tuple[int, ...]:
    """Their numbers, each once, sorted."""
    return tuple(sorted({r.name for r in ranks}))


def in_phase(rank: RankRecord, phase: Phase) -> bool:
    """The rank had begun `phase` and not come out of it when it was last seen."""
    last = rank.last_phase
    return last is not None and last.phase is phase and last.status is PhaseStatus.RUNNING


def reached(rank: RankRecord, phase: Phase) -> bool:
    """The rank came through `phase`."""
    record = rank.phase(phase)
    return record is not None and record.status is PhaseStatus.OK


def died(rank: RankRecord) -> bool:
    """The process ended by itself before its work was done (an exception that it reported itself not counted)."""
    return rank.exit is not None and not rank.exit.by_us and rank.error is None and not rank.finished


def asleep(rank: RankRecord) -> bool:
    """The process sleeps for a set time (as in Python's time.sleep), so that it goes on by itself."""
    return rank.process is not None and rank.process.state == "S" and "nanosleep" in rank.process.waiting_in


def gone(rank: RankRecord) -> bool:
    """The rank died, or an exception ended it before the ranks had tried to reach each other: that nobody answers there
    proves nothing about the network."""
    early = (Phase.RESOLVE, Phase.STORE, Phase.PROBE)
    return died(rank) or (rank.error is not None and rank.error.phase in early)


def phase_of_end(rank: RankRecord) -> Phase:
    """The phase in which a rank was when it ended or was last seen."""
    last = rank.last_phase
    return Phase.RESOLVE if last is None else last.phase


def world_failed(case: Case) -> bool:
    """The world did not come to its end by itself."""
    return case.ended in (Ended.FAILED, Ended.STALLED, Ended.DEADLINE)


def symptom_in(phase: Phase, *, hang: bool, error: Symptom | None = None) -> Symptom:
    """The symptom of a failure in a phase: the stage decides the row. `error`: the row in the training stage."""
    stage = STAGE_OF[phase]
    if stage is Stage.SETUP:
        return Symptom.SETUP_HANG_TIMEOUT if hang else Symptom.SETUP_FAILURE
    if stage is Stage.PREPARATION:
        return Symptom.PREP_HANG_TIMEOUT if hang else Symptom.PREP_COMMUNICATION_ERROR
    if phase is Phase.TEARDOWN:
        return Symptom.PERF_OTHER
    return Symptom.PERF_HANG if hang else (error or Symptom.TRAIN_COMMUNICATION_ERROR)


# --- names and addresses -------------------------------------------------------------------------------------------


def is_literal(host: str) -> bool:
    """Whether `host` is an address and not a name."""
    return parse(host) is not None


@lru_cache(maxsize=1 << 17)  # many rules ask for the few addresses of each of thousands of hosts
def parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address without its zone; None for a name."""
    import ipaddress

    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None


def loopback(address: str) -> bool:
    """127.0.0.0/8 or ::1."""
    parsed = parse(address)
    return parsed is not None and parsed.is_loopback


def master_addresses(rank: RankRecord) -> tuple[str, ...]:
    """What MASTER_ADDR is for this rank, in its resolver's order."""
    probe = next((p for p in rank.probes if p.kind == "name" and p.outcome is Outcome.OK), None)
    if probe is not None:
        return tuple(probe.detail.split())
    given = rank.environment.get("MASTER_ADDR", "")
    return (given,) if is_literal(given) else ()


def addresses(facts: HostFacts | None) -> frozenset[str]:
    """All addresses of a host."""
    if facts is None:
        return frozenset()
    return frozenset(a.address.partition("%")[0] for i in facts.interfaces for a in i.addresses)


def networks(facts: HostFacts | None, *, usable: bool = True) -> dict[Network, tuple[Interface, str]]:
    """The networks of a host with the interface and own address in each; loopback and link-local left out."""
    import ipaddress

    found: dict[Network, tuple[Interface, str]] = {}
    for interface in facts.interfaces if facts else ():
        if interface.loopback or (usable and not (interface.up and interface.carrier)):
            continue
        for a in interface.addresses:
            parsed = parse(a.address)
            if parsed is None or parsed.is_link_local or parsed.is_loopback:
                continue
            network = ipaddress.ip_network(f"{parsed}/{a.prefix}", strict=False)
            found.setdefault(network, (interface, str(parsed)))
    return found


@remembered
def several_hosts(case: Case) -> bool:
    """The started ranks are on more than one host."""
    return len({r.host for r in started(case)}) > 1


def published(rank: RankRecord) -> str:
    """The address that the rank tells the others to connect to; empty where it has not said."""
    return rank.published[-1].address if rank.published else ""


def interface_of(case: Case, rank: RankRecord, address: str) -> Interface | None:
    """The interface of a rank's host that holds an address."""
    facts = case.host(rank.host)
    for interface in facts.interfaces if facts else ():
        if any(a.address.partition("%")[0] == address for a in interface.addresses):
            return interface
    return None


def by_nccl(rank: RankRecord) -> bool:
    """NCCL alone carries the rank's data: what gloo would choose does not matter."""
    return rank.backend == "nccl"


def named_interface(rank: RankRecord) -> str:
    """The first interface that GLOO_SOCKET_IFNAME names; empty where it is not set."""
    return rank.environment.get("GLOO_SOCKET_IFNAME", "").split(",")[0].strip()


# --- probes ----------------------------------------------------------------------------------------------------------


def master_probe(rank: RankRecord) -> Probe | None:
    """Our own connection attempt from this rank's place to the store's port, while the rank itself waited for it."""
    if phase_of_end(rank) is not Phase.STORE:
        return None
    return next((p for p in reversed(rank.probes) if p.kind == "master"), None)


@remembered
def data_probes(case: Case) -> dict[tuple[int, int], Probe]:
    """The worst data probe of each direction (from rank, to rank); peers that died meanwhile prove nothing."""
    dead = {r.name for r in case.ranks if gone(r)}
    found: dict[tuple[int, int], Probe] = {}
    for rank in case.ranks:
        for p in rank.probes:
            if p.kind != "data" or p.peer_rank is None or p.peer_rank in dead or rank.name in dead:
                continue
            key = (rank.name, p.peer_rank)
            if key not in found or found[key].outcome is Outcome.OK:
                found[key] = p
    return found


@remembered
def probes_to(case: Case) -> dict[int, dict[int, Probe]]:
    """`data_probes` by the rank that is tried, then by the one that tries."""
    found: dict[int, dict[int, Probe]] = {}
    for (source, target), probe in data_probes(case).items():
        found.setdefault(target, {})[source] = probe
    return found


def store_listens(case: Case) -> bool:
    """The kernel shows that rank 0 listens on the store's port."""
    zero = rank_zero(case)
    port = zero.environment.get("MASTER_PORT", "") if zero else ""
    return zero is not None and any(s.state == "LISTEN" and str(s.local_port) == port for s in zero.sockets)


def foreign_listeners(case: Case, rank: RankRecord) -> tuple[Listener, ...]:
    """What listens on the store's port of a rank's host and is none of this world's processes."""
    facts = case.host(rank.host)
    ours = {r.pid for r in case.ranks}
    port = rank.environment.get("MASTER_PORT", "")
    return tuple(x for x in (facts.listeners if facts else ()) if str(x.port) == port and x.pid not in ours)


def said(rank: RankRecord, *needles: str) -> str:
    """The first line of a rank's output or of its exception that contains one of `needles`; empty if none does."""
    lines = [line.text for line in rank.output]
    if rank.error is not None:
        lines += rank.error.message.splitlines()
    return next((line for line in lines for n in needles if n in line), "")
