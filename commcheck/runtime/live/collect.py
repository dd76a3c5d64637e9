"""From what was seen of a running job to a `Case`."""

from __future__ import annotations

import socket

from msgspec.structs import replace

from commcheck.catalog.env.select import relevant
from commcheck.diagnose.ingest import stacks
from commcheck.diagnose.ingest.stacks import Standing
from commcheck.diagnose.ras import formed, moving, undecided
from commcheck.errors import CommcheckError
from commcheck.model.base import ranks_text, sentence
from commcheck.model.case import Case, Ended, HostFacts, Origin, PhaseRecord, Probe, RankRecord, World
from commcheck.model.phase import PHASES, Phase, PhaseStatus
from commcheck.model.plan import Place
from commcheck.model.ras import Answer, Process, Trace
from commcheck.probe.agent import Request, Target
from commcheck.runtime.agents import Asking
from commcheck.runtime.live.find import RANK
from commcheck.runtime.live.look import Watched
from commcheck.system import process, procs

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def case_of(seen: tuple[Watched, ...], not_read: tuple[str, ...] = (), answers: tuple[Answer, ...] = ()) -> Case:
    """All evidence about the job. Nothing is judged here; what was not seen is said. `answers`: of NCCL's RAS."""
    notes = [n for n in not_read if n]
    unread = [w.found.pid for w in seen if w.found.environment is None]
    if unread:
        notes.append(
            f"environment of process(es) {' '.join(map(str, unread))}: not ours to read (run as their user or root)"
        )
    size = _size(seen)
    complete, missing = _missing(seen, size)
    if size and not complete and len(seen) < size:
        notes.append(f"{size - len(seen)} of {size} ranks run elsewhere: run this there too")
    if absent := _not_here(seen, missing):
        notes.append(absent)
    ended = _ended(seen, answers)
    hosts, names, why = _facts(seen)
    notes += why
    where = tuple(w.last.standing for w in seen)
    beyond = stacks.beyond(where)
    past = formed(answers)
    local = _local_ports(seen)
    records = []
    for slot, w in enumerate(seen):
        # What the program does now does not take back what it has come through.
        by_sockets = _phases_by_sockets(w, local)
        through = beyond or past.intersection((w.found.pid, procs.inner(w.found.pid))) or stacks.steady(by_sockets)
        phases = stacks.phases(where[slot], beyond=bool(through)) or (stacks.through() if through else by_sockets)
        host = names.get(w.network, "")
        met = stacks.steady(by_sockets) or w.found.pid in past
        records.append(_record(slot, w, where[slot], phases, host, hosts, missing, formed=met))
    world = _world(seen, size) if size else None
    case = Case(
        origin=Origin.LIVE,
        world=world if complete else None,
        hosts=hosts,
        ranks=tuple(records),
        complete=complete,
        ended=ended,
        seconds=max((w.last.at - w.first.at for w in seen), default=0.0),
        not_read=tuple(notes),
    )
    if ended is Ended.STALLED:
        case = _probed(case, seen)
    if not answers:
        return case
    # Of a job that moves one answer is enough, unless it is the answers that show it.
    kept = answers if ended is not Ended.RUNNING or moving(answers) else answers[-1:]
    return replace(case, ras=tuple(_traced(a, seen, hosts) for a in kept))


def movement_of(seen: tuple[Watched, ...], case: Case) -> tuple[str, ...]:
    """By what it was seen that the job gets on, for the report's reader."""
    if case.ended is not Ended.RUNNING:
        return ()
    by_sign: dict[str, list[int]] = {}
    for w, r in zip(seen, case.ranks, strict=True):
        sign = w.movement or ("it has written" if w.wrote and w.gpu else "")
        if sign:
            by_sign.setdefault(sign, []).append(r.name)
    if moving(case.ras):
        by_sign = {"NCCL's RAS counts further collectives": [r.name for r in case.ranks]}
    return tuple(sentence(ranks, f"gets on: {sign}") for sign, ranks in by_sign.items())


def notes_of(case: Case) -> tuple[str, ...]:
    """Where each rank is, for the report's reader: ranks at the same place together."""
    places: dict[str, list[int]] = {}
    for r in case.ranks:
        if r.process is None:
            text = "has gone"
        elif r.process.stopped:
            text = f"is stopped{f', at {r.stack[0]}' if r.stack else ''}"
        elif r.stack:
            text = stacks.standing(r.stack).text
        else:
            text = f"is in state {r.process.state}{f' (waiting in {r.process.waiting_in})' if r.process.waiting_in else ''}"
        places.setdefault(text, []).append(r.name)
    return tuple(sentence(ranks, text) for text, ranks in list(places.items())[:8])


# --- the world ------------------------------------------------------------------------------------------------------


def _size(seen: tuple[Watched, ...]) -> int:
    """What most ranks take the world's size to be; 0 where none says."""
    told = [v for w in seen if (v := _number(_env(w).get("WORLD_SIZE"))) is not None and v > 0]
    return max(sorted(set(told)), key=told.count) if told else 0


def _missing(seen: tuple[Watched, ...], size: int) -> tuple[bool, tuple[int, ...]]:
    """Whether all ranks must be on this host, and the numbers that no process here claims."""
    claimed = {_number(_env(w).get("RANK")) for w in seen}
    absent = tuple(r for r in range(min(size, 1 << 16)) if r not in claimed)
    if not absent:
        return bool(size), ()
    local = {_number(_env(w).get("LOCAL_WORLD_SIZE")) for w in seen} - {None}
    address = {_env(w).get("MASTER_ADDR", "") for w in seen}
    here = local == {size} or (not local and bool(address) and address <= set(LOOPBACK))
    return here, absent if here else ()


def _not_here(seen: tuple[Watched, ...], missing: tuple[int, ...]) -> str:
    """Where ranks are missing that must be on this host: that they are."""
    if not missing:
        return ""
    size = _size(seen)
    why = "LOCAL_WORLD_SIZE" if any("LOCAL_WORLD_SIZE" in _env(w) for w in seen) else "MASTER_ADDR, a loopback address,"
    return (
        f"{ranks_text(missing)}: by {why} all {size} ranks are to be on this host, and {size - len(missing)} of {size} is found "
        "below the processes that were named: the others were not started, have ended, or are found by --job; the launcher's "
        "output, and their own last lines, tell"
    )


def _ended(seen: tuple[Watched, ...], answers: tuple[Answer, ...]) -> Ended:
    if any(w.gone for w in seen):
        return Ended.FAILED
    if any(w.stopped for w in seen):
        return Ended.STALLED
    moves = [w.moves for w in seen]
    if any(moves) or moving(answers) or _writes(seen, answers):
        return Ended.RUNNING
    return Ended.NOT_RUN if None in moves or any(w.on_disk for w in seen) else Ended.STALLED


def _writes(seen: tuple[Watched, ...], answers: tuple[Answer, ...]) -> bool:
    """Whether ranks that may wait for a GPU write, and nothing says that they stand: a thread may write in one that does."""
    return any(w.wrote and w.gpu and w.moves is None for w in seen) and not undecided(answers)


def _world(seen: tuple[Watched, ...], size: int) -> World:
    first = _env(seen[0])
    return World(
        size=size,
        backend="nccl" if any(w.gpu for w in seen) else "gloo",
        master_addr=first.get("MASTER_ADDR", ""),
        master_port=_port(first),
    )


# --- one rank -------------------------------------------------------------------------------------------------------


def _record(
    slot: int,
    w: Watched,
    where: Standing | None,
    phases: tuple[PhaseRecord, ...],
    host: str,
    hosts: tuple[HostFacts, ...],
    missing: tuple[int, ...],
    *,
    formed: bool,
) -> RankRecord:
    env = _env(w)
    at_store = bool(phases) and phases[-1].phase is Phase.STORE
    # With NCCL a group comes to be by its first call, and stands in it until all have come.
    waits = at_store or (w.gpu and not formed and where is not None and where.waits)
    interfaces = {
        a.address.partition("%")[0]: i.name for h in hosts if h.host == host for i in h.interfaces for a in i.addresses
    }
    return RankRecord(
        slot=slot,
        rank=_number(env.get("RANK")),
        world_size=_number(env.get("WORLD_SIZE")),
        host=host,
        pid=w.found.pid,
        environment=relevant(env),
        backend="nccl" if w.gpu else "gloo",
        # Without RANK in the environment it was started with, the program sets its own: nothing is known of them.
        init_method="env://" if "RANK" in env else "",
        phases=phases,
        exit=w.end,
        process=None if w.gone else w.last.state,
        stack=w.last.stack,
        sockets=tuple(replace(s, interface=interfaces.get(s.local_address, "")) for s in w.last.sockets),
        collectives=stacks.collectives(where),
        waits_for=missing if waits else (),
    )


def _phases_by_sockets(w: Watched, local: frozenset[tuple[str, int]]) -> tuple[PhaseRecord, ...]:
    """How far a rank has come, as its connections tell where there is no stack: the store's alone, or others besides."""
    port = _port(_env(w))
    tcp = [s for s in w.last.sockets if s.protocol == "tcp"]
    linked = [s for s in tcp if s.state == "ESTAB"]
    # NCCL's go to other hosts too; before the store was reached a connection is of something else.
    met = w.gpu and (port is None or any(port in (s.local_port, s.remote_port) for s in linked))
    data = [
        s for s in linked
        if port not in (s.local_port, s.remote_port) and (met or (s.remote_address, s.remote_port) in local)
    ]  # fmt: skip
    if data:
        current = Phase.STEADY
    elif any(port in (s.local_port, s.remote_port) for s in tcp):
        current = Phase.STORE
    else:
        current = Phase.RESOLVE
    done = PHASES[: PHASES.index(current)]
    return (
        *(PhaseRecord(phase=p, status=PhaseStatus.OK, begin=0.0, seconds=0.0) for p in done),
        PhaseRecord(phase=current, status=PhaseStatus.RUNNING, begin=0.0, seconds=0.0),
    )


def _local_ports(seen: tuple[Watched, ...]) -> frozenset[tuple[str, int]]:
    """The ends of all connections between processes of the job that are here."""
    return frozenset((s.local_address, s.local_port) for w in seen for s in w.last.sockets if s.state == "ESTAB")


def _env(w: Watched) -> dict[str, str]:
    return w.found.environment or {}


def _number(text: str | None) -> int | None:
    try:
        return None if text is None or len(text) > 9 else int(text)
    except ValueError:
        return None


def _port(env: dict[str, str]) -> int | None:
    port = _number(env.get("MASTER_PORT"))
    return port if port is not None and 0 < port < 65536 else None


# --- hosts ----------------------------------------------------------------------------------------------------------


def _facts(seen: tuple[Watched, ...]) -> tuple[tuple[HostFacts, ...], dict[int | None, str], list[str]]:
    """The facts of each network namespace that ranks are in, its name by inode, and what could not be had."""
    name = socket.gethostname()
    own = procs.own_network()
    places: dict[int | None, Place] = {}
    for w in seen:
        if w.network not in places:
            apart = w.network is not None and w.network != own
            label = name if not apart else f"{name}(pid {w.found.pid})"
            places[w.network] = Place(host=label, pid=w.found.pid) if apart else Place(host=label)
    names = {network: place.host for network, place in places.items()}
    looked_up = tuple(sorted({a for w in seen if (a := _env(w).get("MASTER_ADDR"))}))
    found = []
    notes = []
    for network, place in places.items():
        try:
            with Asking({place: Request(parent=0, place=place, facts=True, names=looked_up)}) as asking:
                answer = asking.answers()[place]
        except CommcheckError as error:
            notes.append(f"facts of {place.host}: {error}")
            continue
        if answer.facts is None:
            notes.append(f"facts of {place.host}: {answer.failed}")
            continue
        limits = next((w.limits for w in seen if w.network == network and w.limits), answer.facts.limits)
        # Versions are those of commcheck's own Python, which need not be the job's.
        kept = {k: v for k, v in answer.facts.versions.items() if k in ("kernel", "commcheck")}
        found.append(replace(answer.facts, host=place.host, limits=limits, versions=kept))
    return tuple(found), names, notes


def _probed(case: Case, seen: tuple[Watched, ...]) -> Case:
    """Try from outside what ranks try that wait at a store of which no listener is seen here: whether its port answers.

    Where a process of the job listens, the kernel's table has said it, and nobody is disturbed."""
    listening = {s.local_port for w in seen for s in w.last.sockets if s.state == "LISTEN"}
    targets: dict[Place, list[Target]] = {}
    for record, w in zip(case.ranks, seen, strict=True):
        port, address = _port(_env(w)), _env(w).get("MASTER_ADDR", "")
        last = record.last_phase
        waits = last is not None and last.phase in (Phase.STORE, Phase.RESOLVE) and record.rank != 0
        linked = any(s.state == "ESTAB" and s.remote_port == port for s in record.sockets)
        if waits and port and address and not linked and port not in listening:
            place = (
                Place(host=record.host)
                if w.network == procs.own_network()
                else Place(host=record.host, pid=w.found.pid)
            )
            targets.setdefault(place, []).append(
                Target(rank=record.slot, address=address, port=port, kind="master", peer_rank=0)
            )
    if not targets:
        return case
    probes: dict[int, list[Probe]] = {}
    notes = list(case.not_read)
    try:
        with Asking({p: Request(parent=0, place=p, targets=tuple(t[:64])) for p, t in targets.items()}) as asking:
            for answer in asking.answers().values():
                for slot, probe in answer.probes:
                    probes.setdefault(slot, []).append(probe)
    except CommcheckError as error:
        notes.append(f"the store's port: {error}")
    ranks = tuple(_tried(r, tuple(probes.get(r.slot, ()))) for r in case.ranks)
    return replace(case, ranks=ranks, not_read=tuple(notes))


def _traced(answer: Answer, seen: tuple[Watched, ...], hosts: tuple[HostFacts, ...]) -> Answer:
    """An answer with what /proc says of the processes that it has lost, as far as they ran on this host."""
    if any(procs.inner(w.found.pid) != w.found.pid for w in seen):
        return answer  # RAS tells their numbers in a container, which are not ours
    pids = {w.found.pid for w in seen}
    here = {p.host for p in answer.members if p.pid in pids}
    here |= {a.address.partition("/")[0] for h in hosts for i in h.interfaces for a in i.addresses}
    lost = (p for p in (*answer.dead, *answer.silent) if p.pid > 0 and p.host in here)
    return replace(answer, traces=tuple(map(_trace, lost)))


def _trace(one: Process) -> Trace:
    state = process.state(one.pid)
    if state is None:
        return Trace(process=one, state="")
    if state.state == "Z":
        end = procs.end_of_zombie(one.pid)
        how = "" if end is None else f"exit code {end.code}" if end.signal is None else f"signal {end.signal}"
        return Trace(process=one, state="Z", ending=how)
    environment = procs.environment(one.pid)
    other = environment is not None and RANK not in environment  # its number was given to another process
    return Trace(process=one, state="" if other else state.state)


def _tried(rank: RankRecord, probes: tuple[Probe, ...]) -> RankRecord:
    """A rank with what was tried for it; one that is about to reach the store is at the store."""
    if not probes:
        return rank
    store = (
        PhaseRecord(phase=Phase.RESOLVE, status=PhaseStatus.OK, begin=0.0, seconds=0.0),
        PhaseRecord(phase=Phase.STORE, status=PhaseStatus.RUNNING, begin=0.0, seconds=0.0),
    )
    return replace(rank, probes=probes, phases=store)
