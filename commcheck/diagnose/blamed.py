"""Whose lines without a mark are: torchrun's summary tells which process failed, and whose process that was.

A traceback that Python prints before the process group is there carries no `[rank1]:`. Where one process alone has failed
by itself, it is that one's. What may not be here: I/O.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from commcheck.diagnose import scan
from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.ingest.marks import ELASTIC, NCCL
from commcheck.diagnose.lazy import Lazy
from commcheck.model.case import LogLine
from commcheck.model.diagnosis import Match

# Of "failed (exitcode: 1) local_rank: 1 (pid: 42)" and "exitcode  : 1 (pid: 42)"; the launcher itself ends others by 15.
_BY_ITSELF = Lazy(r"\bexitcode\s{0,4}: (?!0\b|-15\b)-?\d{1,4}\b")
_OF_THE_END = frozenset(("rank-exited", "rank-crashed", "rank-killed", "rank-oom-killed", "script-error"))
_OF_OTHERS = frozenset((*PEERS_SEE, "rank-missing", "launcher-failure", "launcher-mismatch"))


class Failed(NamedTuple):
    """A rank that ended by itself, and the launcher's line about it."""

    rank: int
    line: LogLine


def by_themselves(lines: Sequence[LogLine]) -> list[Failed]:
    """The ranks of which torchrun says with which exit code they ended, those aside that it has ended itself."""
    return [
        Failed(line.rank, line)
        for line in lines
        if line.rank is not None and "exitcode" in line.text and _BY_ITSELF.re.search(line.text, 0, 1000)
    ]


def told(
    matches: Mapping[str, Match], hits: Mapping[str, Sequence[scan.Hit]], lines: Sequence[LogLine]
) -> dict[str, Match]:
    """The matches of causes, with the ranks that the launcher tells where their own lines tell none."""
    ended = by_themselves(lines)
    return {cause: _told(match, hits[cause], ended) for cause, match in matches.items()}


def _told(match: Match, hits: Sequence[scan.Hit], ended: Sequence[Failed]) -> Match:
    if match.ranks or not ended:
        return match
    cause = hits[0].cause
    if cause in _OF_THE_END:
        told_of = {(one.line.source, one.line.number): one.rank for one in ended}
        found = {told_of.get((hit.line.source, hit.line.number)) for hit in hits} - {None}
        if found:
            return replace(match, ranks=tuple(sorted(rank for rank in found if rank is not None)))
    best = max(hits, key=lambda hit: hit.signature.weight)
    if (process := NCCL.re.search(best.line.text, 0, 300)) and best.signature.weight >= scan.GENERIC_BELOW:
        # NCCL's lines tell the process, torchrun's the rank of that process.
        theirs = {m["pid"]: one.rank for one in ended if (m := ELASTIC.re.search(one.line.text, 0, 1000))}
        return replace(match, ranks=(theirs[process["pid"]],)) if process["pid"] in theirs else match
    ranks = {one.rank for one in ended}
    own = best.signature.weight >= scan.GENERIC_BELOW and scan.is_fatal(best.line.text) and cause not in _OF_OTHERS
    if len(ranks) == 1 and own and any(_behind(one.line, best.line) for one in ended):
        return replace(match, ranks=tuple(ranks))
    return match


def _behind(line: LogLine, other: LogLine) -> bool:
    return line.source == other.source and line.number > other.number
