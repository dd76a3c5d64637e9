"""What `py-spy dump` prints, as text or with --json -> the stacks of processes, and the case that several of them make.

    Process 6574: python train.py
    Python v3.11.7 (/usr/bin/python3.11)

    Thread 6574 (idle): "MainThread"
        all_reduce (torch/distributed/distributed_c10d.py:3252)

(py-spy/src/dump.rs, 0.3 and 0.4; with --locals each frame is followed by lines that are indented deeper, which are
passed over: they are values of the program.) Several dumps may stand in one file.

What may not be here: files, processes; judgement about causes.
"""

import re
from collections import Counter

import msgspec
from msgspec.structs import replace

from commcheck.diagnose.ingest import stacks
from commcheck.diagnose.ingest.flight_recorder import rank_of
from commcheck.diagnose.ingest.redact import redact
from commcheck.model.base import Value
from commcheck.model.case import Case, Ended, Origin, RankRecord, World

_HEAD = 1 << 13
_PROCESS = re.compile(r"Process (?P<pid>\d{1,10}): ?(?P<command>.*)")
_THREAD = re.compile(r'Thread (?P<id>\w{1,20}) \((?P<state>[\w+ ]{1,20})\)(?:: "(?P<name>.*)")?')
_FRAME = re.compile(r" {4}(?P<frame>\S.*\(.*\))$")
_MOST_FRAMES = 200
_MAIN = "MainThread"
_ANSI = re.compile(r"\x1b\[[0-9;]{0,20}m")


class Thread(Value, frozen=True):
    """One thread; `state`: idle, active, active+gil. `frames`: the innermost first."""

    id: str
    name: str
    state: str
    frames: tuple[str, ...] = ()


class Stack(Value, frozen=True):
    """One process with its threads."""

    pid: int
    command: str
    threads: tuple[Thread, ...]

    @property
    def main(self) -> tuple[str, ...]:
        """The frames of the thread in which the program runs."""
        named = [t for t in self.threads if t.name == _MAIN or t.id == str(self.pid)]
        return (named or list(self.threads) or [Thread(id="", name="", state="")])[0].frames


_Thread = tuple[str, str, str, list[str]]
_Process = tuple[int, str, list[_Thread]]


def is_dump(data: bytes) -> bool:
    """Whether a file's bytes begin like a dump."""
    head = data[:_HEAD].lstrip()
    if head.startswith(b"["):
        return b'"os_thread_id"' in head and b'"frames"' in head
    return head.startswith(b"Process ") and b"\nThread " in head and b"\nPython v" in head


def parse(data: bytes) -> tuple[Stack, ...]:
    """The processes of a dump, in its order. Lines that do not belong to one are passed over."""
    if data[:_HEAD].lstrip().startswith(b"["):
        return _parse_json(data)
    found: list[_Process] = []
    threads: list[_Thread] = []
    for raw in data.decode("utf-8", "replace").splitlines():
        line = _ANSI.sub("", raw).rstrip()
        if process := _PROCESS.fullmatch(line):
            threads = []
            found.append((int(process["pid"]), redact(process["command"]), threads))
        elif found and (thread := _THREAD.fullmatch(line)):
            threads.append((thread["id"], thread["name"] or "", thread["state"], []))
        elif threads and (frame := _FRAME.fullmatch(line)) and len(threads[-1][3]) < _MOST_FRAMES:
            threads[-1][3].append(frame["frame"])
    return tuple(
        Stack(
            pid=pid,
            command=command,
            threads=tuple(Thread(id=t, name=name, state=state, frames=tuple(f)) for t, name, state, f in own),
        )
        for pid, command, own in found
    )


def _parse_json(data: bytes) -> tuple[Stack, ...]:
    try:
        rows = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    threads: dict[int, list[Thread]] = {}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or not isinstance(row.get("pid"), int):
            continue
        frames = row.get("frames")
        texts = [
            f"{f.get('name')} ({f.get('short_filename') or f.get('filename')}:{f.get('line')})"
            for f in (frames if isinstance(frames, list) else ())
            if isinstance(f, dict)
        ]
        thread = Thread(
            id=str(row.get("os_thread_id") or row.get("thread_id")),
            name=str(row.get("thread_name") or ""),
            state="active" if row.get("active") else "idle",
            frames=tuple(texts[:_MOST_FRAMES]),
        )
        threads.setdefault(row["pid"], []).append(thread)
    return tuple(Stack(pid=pid, command="", threads=tuple(found)) for pid, found in threads.items())


def case_of(dumps: tuple[tuple[str, Stack], ...]) -> Case:
    """The case of some processes: (name of the file, stack). The rank is what the file's name says, where it holds one
    process; else processes are numbered in their order.

    Stacks are one moment: that ranks wait for one that is elsewhere is a fault only if it stays so. Somebody has taken
    these because it did."""
    known = _ranks(dumps)
    where = [stacks.standing(stack.main) if stack.threads else None for _, stack in dumps]
    waits = any(s is not None and s.waits for s in where)
    beyond = stacks.beyond(where)
    notes = [] if len(dumps) > 1 else ["one process alone shows where it waits, and not for whom: dump all ranks"]
    notes += [f"{_who(rank, stack)} {s.text}" for rank, (_, stack), s in zip(known, dumps, where, strict=True) if s]
    return Case(
        origin=Origin.LOG,
        world=World(size=len(dumps), backend=""),
        ranks=tuple(
            RankRecord(
                slot=slot,
                rank=rank,
                world_size=None,
                host="",
                pid=stack.pid,
                stack=stack.main,
                phases=stacks.phases(mine, beyond=beyond),
                collectives=stacks.collectives(mine),
            )
            for slot, (rank, (_, stack), mine) in enumerate(zip(known, dumps, where, strict=True))
        ),
        complete=False,
        ended=Ended.STALLED if waits else Ended.NOT_RUN,
        not_read=tuple(notes[:8]),
    )


def beside(case: Case, dumps: tuple[tuple[str, Stack], ...]) -> Case:
    """The case of other dumps of the same ranks, with these stacks in the place of those that it may have: they are whole,
    and a rank that is in no call has no other."""
    known = _ranks(dumps)
    main = {rank: stack.main for rank, (_, stack) in zip(known, dumps, strict=True) if rank is not None}
    ranks = tuple(replace(r, stack=main.get(r.rank, r.stack)) if r.rank is not None else r for r in case.ranks)
    unused = [
        _who(rank, stack)
        for rank, (_, stack) in zip(known, dumps, strict=True)
        if rank not in {r.rank for r in case.ranks}
    ]
    if not unused:
        return replace(case, ranks=ranks)
    note = f"{len(unused)} stacks are of no rank that left a recorder's dump: {', '.join(unused[:4])}"
    advice = "" if any(r is not None for r in known) else " (name the files by their ranks: stack-rank-3.txt)"
    return replace(case, ranks=ranks, not_read=(*case.not_read, note + advice))


def _ranks(dumps: tuple[tuple[str, Stack], ...]) -> list[int | None]:
    """The rank of each process, where all files' names tell them."""
    counts = Counter(name for name, _ in dumps)
    ranks = [rank_of(name) if counts[name] == 1 and "rank" in name.lower() else None for name, _ in dumps]
    return ranks if len(set(ranks)) == len(ranks) and None not in ranks else [None] * len(ranks)


def _who(rank: int | None, stack: Stack) -> str:
    return f"process {stack.pid}" if rank is None else f"rank {rank} (process {stack.pid})"
