"""From a case and its judgement to the report."""

from __future__ import annotations

from commcheck import __version__
from commcheck.diagnose.match import Judgement
from commcheck.model.case import Case, Origin, RankRecord
from commcheck.model.diagnosis import (
    SCHEMA,
    Connection,
    Diagnosis,
    Moment,
    PairRow,
    Placed,
    PublishedRow,
    RankPhase,
    Report,
    WorldReport,
)

_TELLS = ("INFO", "TRACE")  # levels at which NCCL tells of its communicators
PROOF_ROWS = 256
"""Connections that a report lists; a world of 64 ranks has thousands, and their number says enough."""


def report(
    case: Case,
    judgement: Judgement,
    *,
    command: tuple[str, ...],
    seconds: float,
    replay: str = "",
    notes: tuple[str, ...] = (),
) -> Report:
    """The report of one case. `seconds`: how long the whole command took so far."""
    moments, first = _when(case, judgement.diagnoses)
    return Report(
        schema=SCHEMA,
        verdict=judgement.verdict,
        command=command,
        versions=versions(case),
        world=world(case),
        phases=phases(case),
        diagnoses=judgement.diagnoses,
        not_evaluated=judgement.not_evaluated,
        next=judgement.next,
        replay=replay,
        seconds=round(seconds, 3),
        notes=(*notes, *_account(case), *_ras(case)),
        first=first,
        timeline=moments,
    )


def _when(case: Case, diagnoses: tuple[Diagnosis, ...]) -> tuple[tuple[Moment, ...], Moment | None]:
    """The time-line of a log, and who failed first. The reader of logs is not loaded for any other case."""
    if case.origin is not Origin.LOG:
        return (), None
    from commcheck.diagnose.timeline import first_rank, timeline

    moments = timeline(case, diagnoses)
    return moments, first_rank(moments)


def _account(case: Case) -> tuple[str, ...]:
    """For the report's reader: what NCCL has told of itself in a log, or which way it will probably take from this host.
    Not loaded for a case that has neither."""
    if case.origin is Origin.STATIC and any(host.fabric for host in case.hosts):
        from commcheck.diagnose.fabric_ways import account as ways

        return ways(case)
    lines = case.lines
    if case.origin is not Origin.LOG:
        talking = [r for r in case.ranks if r.environment.get("NCCL_DEBUG", "").upper() in _TELLS]
        lines = tuple(line for r in talking for line in r.output)
    if not lines:
        return ()
    from commcheck.diagnose.nccl_sides import account

    return account(lines)


def _ras(case: Case) -> tuple[str, ...]:
    """What NCCL's RAS has said, where it was asked."""
    if not case.ras:
        return ()
    from commcheck.diagnose.ras import account

    return account(case)


def versions(case: Case) -> dict[str, str]:
    """Versions that all hosts share, and per host those that differ."""
    found: dict[str, dict[str, str]] = {}
    for host in case.hosts:
        for name, version in host.versions.items():
            found.setdefault(name, {})[host.host] = version
    done = {"commcheck": __version__}
    for name, by_host in found.items():
        if len(set(by_host.values())) == 1:
            done[name] = next(iter(by_host.values()))
        else:
            done |= {f"{name}@{host}": version for host, version in by_host.items()}
    return done


def world(case: Case) -> WorldReport | None:
    """The world that really was, with its proof from the kernel's tables; None for static cases and logs."""
    if case.origin not in (Origin.WORLD, Origin.JOINED, Origin.LIVE) or case.world is None:
        return None
    port = case.world.master_port
    return WorldReport(
        size=case.world.size,
        backend=case.world.backend,
        hosts=tuple(dict.fromkeys(r.host for r in case.ranks)),
        master=f"{case.world.master_addr}:{port}" if port else case.world.master_addr,
        placed=tuple(
            Placed(rank=r.name, slot=r.slot, host=r.host, pid=r.pid, started=r.started, started_why=r.started_why)
            for r in case.ranks
        ),
        published=tuple(
            PublishedRow(rank=p.rank, address=p.address, port=p.port) for r in case.ranks for p in r.published
        ),
        proof=tuple(c for r in case.ranks for c in _connections(r, port))[:PROOF_ROWS],
        distinct_processes=_distinct(case),
        values_checked=sum(check.ok for r in case.ranks for check in r.checks),
        seconds=round(case.seconds, 3),
        pairs=tuple(
            PairRow(rank=r.name, peer_rank=p.peer_rank, latency=p.latency, bandwidth=p.bandwidth)
            for r in case.ranks
            for p in r.pairs
        ),
    )


def _distinct(case: Case) -> int:
    """Processes that the ranks met; hosts number theirs independently, so that a pid counts per host."""
    hosts = {r.name: r.host for r in case.ranks}
    met = {id(r.members): r.members for r in case.ranks}  # ranks of a large world share one list
    return len({(hosts.get(rank, ""), pid) for members in met.values() for rank, pid in members})


def _connections(rank: RankRecord, port: int | None) -> list[Connection]:
    return [
        Connection(
            rank=rank.name,
            local=f"{s.local_address}:{s.local_port}",
            remote=f"{s.remote_address}:{s.remote_port}",
            interface=s.interface,
            purpose="store" if port in (s.local_port, s.remote_port) else "data",
        )
        for s in rank.sockets
        if s.protocol == "tcp" and s.state == "ESTAB"
    ]


def phases(case: Case) -> tuple[RankPhase, ...]:
    """One row per rank and phase that it came to. Of what we have not timed ourselves there are none."""
    if case.origin in (Origin.LIVE, Origin.LOG):
        return ()
    started = [r.begun for r in case.ranks if r.phases]
    known = bool(started) and all(started)  # reports of earlier releases do not tell
    first = min(started, default=0.0)
    return tuple(
        RankPhase(
            rank=r.name,
            slot=r.slot,
            phase=p.phase.value,
            status=p.status.value,
            seconds=round(p.seconds, 4),
            begin=round(r.begun - first + p.begin, 4) if known else None,
        )
        for r in case.ranks
        for p in r.phases
    )
