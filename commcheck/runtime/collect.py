"""From what the ranks said and what was seen of them to a `Case`."""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.catalog.env.select import relevant
from commcheck.model import journal
from commcheck.model.case import (
    Case,
    Collective,
    Ended,
    HostFacts,
    LogLine,
    Origin,
    PairMeasure,
    PhaseRecord,
    Probe,
    ProcessState,
    Published,
    RankError,
    RankRecord,
    Socket,
    ValueCheck,
    World,
)
from commcheck.model.phase import PHASES, Phase, PhaseStatus
from commcheck.model.ras import Answer
from commcheck.runtime.world import RunningRank, RunningWorld

LINES_KEPT = 400
"""Lines of output per rank that go into a case."""


class Seen:
    """Evidence from outside that is collected while a world runs; by slot."""

    def __init__(self) -> None:
        self.states: dict[int, ProcessState] = {}
        self.sockets: dict[int, tuple[Socket, ...]] = {}
        self.stacks: dict[int, tuple[str, ...]] = {}
        self.probes: dict[int, tuple[Probe, ...]] = {}
        self.carriers: dict[int, dict[str, int]] = {}
        self.ras: tuple[Answer, ...] = ()
        self.not_read: list[str] = []


def case(
    world: RunningWorld,
    seen: Seen,
    hosts: tuple[HostFacts, ...],
    *,
    ended: Ended,
    origin: Origin = Origin.WORLD,
    complete: bool = True,
) -> Case:
    """All evidence about a world so far."""
    asked = world.plan
    first = asked.ranks[0].environment
    port = first.get("MASTER_PORT", "")
    return Case(
        origin=origin,
        world=World(
            size=asked.size,
            backend=asked.backend,
            master_addr=first.get("MASTER_ADDR", ""),
            master_port=int(port) if port.isdigit() else None,
            store_seconds=asked.ranks[0].store_seconds or 1800.0,
        ),
        hosts=hosts,
        ranks=tuple(replace(record(r, world.begun, seen, hosts), begun=world.begun_at) for r in world.ranks),
        complete=complete,
        ended=ended,
        seconds=world.seconds,
        ras=seen.ras,
        not_read=tuple(seen.not_read),
    )


def record(rank: RunningRank, begun: float, seen: Seen, hosts: tuple[HostFacts, ...]) -> RankRecord:
    """Everything about one rank."""
    slot = rank.plan.slot
    heard = _Heard()
    for event in rank.events:
        heard.take(event, begun)
    host = rank.plan.place.host
    environment = rank.plan.environment
    return RankRecord(
        slot=slot,
        rank=_number(environment.get("RANK")),
        world_size=_number(environment.get("WORLD_SIZE")),
        host=host,
        started=rank.started,
        started_why=rank.why,
        pid=rank.pid,
        environment=relevant(environment),
        backend=rank.plan.backend,
        init_method=rank.plan.init_method,
        phases=heard.phases(),
        error=heard.error,
        exit=rank.exit,
        process=seen.states.get(slot),
        stack=seen.stacks.get(slot, ()),
        sockets=_with_interfaces(heard.sockets or seen.sockets.get(slot, ()), host, hosts),
        published=tuple(heard.published),
        tries=heard.tries,
        carrier_changes=heard.carriers or seen.carriers.get(slot, {}),
        probes=(*heard.probes, *seen.probes.get(slot, ())),
        collectives=tuple(heard.collectives),
        checks=tuple(heard.checks),
        pairs=tuple(heard.pairs),
        waits_for=heard.waits_for,
        members=heard.members,
        output=output(rank),
        faults=tuple(f"{f.name}@{f.phase}" for f in rank.plan.faults),
    )


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def output(rank: RunningRank) -> tuple[LogLine, ...]:
    """What the rank printed, stderr after stdout, numbered per stream."""
    lines = []
    for stream in ("stdout", "stderr"):
        text = rank.text[stream].decode(errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            lines.append(
                LogLine(source=stream, number=number, text=line, rank=_number(rank.plan.environment.get("RANK")))
            )
    return tuple(lines[-LINES_KEPT:])


def _with_interfaces(rows: tuple[Socket, ...], host: str, hosts: tuple[HostFacts, ...]) -> tuple[Socket, ...]:
    facts = next((h for h in hosts if h.host == host), None)
    if facts is None:
        return rows
    names = {a.address.partition("%")[0]: i.name for i in facts.interfaces for a in i.addresses}
    return tuple(replace(s, interface=names.get(s.local_address, "")) for s in rows)


class _Heard:
    """The journal, folded."""

    def __init__(self) -> None:
        self._phases: dict[Phase, PhaseRecord] = {}
        self.error: RankError | None = None
        self.published: list[Published] = []
        self.tries: tuple[int, ...] = ()
        self.probes: list[Probe] = []
        self.carriers: dict[str, int] = {}
        self.collectives: list[Collective] = []
        self._issued: list[float] = []  # when each of them was called
        self.checks: list[ValueCheck] = []
        self.pairs: list[PairMeasure] = []
        self.sockets: tuple[Socket, ...] = ()
        self.members: tuple[tuple[int, int], ...] = ()
        self.waits_for: tuple[int, ...] = ()

    def phases(self) -> tuple[PhaseRecord, ...]:
        return tuple(self._phases[p] for p in PHASES if p in self._phases)

    def take(self, event: journal.AnyEvent, begun: float) -> None:
        match event:
            case journal.Began(at=at, phase=phase):
                self._phases[phase] = PhaseRecord(
                    phase=phase, status=PhaseStatus.RUNNING, begin=at - begun, seconds=0.0
                )
            case journal.Finished(at=at, phase=phase, note=note):
                self._end(phase, PhaseStatus.OK, at - begun, note)
            case journal.Failed(at=at, error=error):
                self.error = error
                self._end(error.phase, PhaseStatus.FAILED, at - begun, "")
            case journal.Issued(at=at, collective=collective):
                self.collectives.append(collective)
                self._issued.append(at)
            case journal.Returned(at=at, index=index):
                took = at - self._issued[index]
                self.collectives[index] = replace(self.collectives[index], done=True, seconds=took)
            case journal.Checked(check=check):
                self.checks.append(check)
            case _:
                self._take_look(event)

    def _take_look(self, event: journal.AnyEvent) -> None:
        """What a rank says of its surroundings, and not of its own course."""
        match event:
            case journal.Told(published=published):
                self.published.append(published)
            case journal.Tries(ranks=ranks):
                self.tries = ranks
            case journal.Probed(probe=probe):
                self.probes.append(probe)
            case journal.Measured(pair=pair):
                self.pairs.append(pair)
            case journal.Saw(sockets=rows):
                self.sockets = rows
            case journal.Waits(ranks=ranks):
                self.waits_for = ranks
            case journal.Met(members=members):
                self.members = members
            case journal.Carriers(changes=changes):
                self.carriers = changes
            case _:
                # Noted: the workload's own. Claimed: the plan's environment says it; the rest is for `hosts_with_versions`.
                pass

    def _end(self, phase: Phase, status: PhaseStatus, now: float, note: str) -> None:
        begun = self._phases.get(phase)
        begin = now if begun is None else begun.begin
        self._phases[phase] = PhaseRecord(phase=phase, status=status, begin=begin, seconds=now - begin, note=note)


def hosts_with_versions(world: RunningWorld, hosts: tuple[HostFacts, ...]) -> tuple[HostFacts, ...]:
    """Host facts completed by what the ranks' own torch says: its version and backends."""
    claims: dict[str, journal.Claimed] = {}
    for rank in world.ranks:
        for event in rank.events:
            if isinstance(event, journal.Claimed):
                claims.setdefault(rank.plan.place.host, event)
    done = []
    for facts in hosts:
        claim = claims.get(facts.host)
        if claim is None:
            done.append(facts)
            continue
        done.append(replace(facts, versions={**facts.versions, **claim.versions}, backends=claim.backends))
    return tuple(done)
