"""What only shows when lines of several ranks are laid side by side: no single line of these tells a fault.

What may not be here: I/O. Each comparison is a function of the lines and gives findings with a modest confidence.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

from commcheck.model.case import LogLine

# A line that a comparison reads contains one of these; the pre-pass keeps such lines.
WORDS = ("global_rank: ", "distributed init (rank", "worknccl(seqnum=", "collectivefingerprint(",
         "nccl version ", "net/plugin", "plugin path")  # fmt: skip


class _Lazy:
    """A regular expression that is compiled when it is first needed: most logs need none of these."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    @cached_property
    def re(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self._pattern)


_HOST = _Lazy(r"^(?:\[[^\]]{1,60}\] )?(?P<host>[\w.-]+):\d+:\d+ \[\d+\] ")


class Finding(NamedTuple):
    """A cause that a comparison of lines suggests."""

    cause: str
    confidence: float
    lines: tuple[LogLine, ...]
    ranks: tuple[int, ...] = ()


def findings(lines: Sequence[LogLine]) -> tuple[Finding, ...]:
    """Everything that comparing the lines shows."""
    return tuple(finding for compare in _COMPARISONS for finding in compare(lines))


_MEMBER = _Lazy(r"GLOBAL_RANK: (?P<rank>\d{1,7}), MEMBER: \d{1,7}/(?P<size>\d{1,7})")
_INIT = _Lazy(r"distributed init \(rank (?P<rank>\d{1,7})\)")


def announced_twice(lines: Sequence[LogLine]) -> list[Finding]:
    """Every rank that speaks is there twice while others never speak: two launches number their ranks from 0.

    A job that sets up its group again repeats all ranks, not a part of them."""
    said: dict[int, list[LogLine]] = {}
    size = 0
    for line in lines:
        if match := _MEMBER.re.search(line.text, 0, 400) or _INIT.re.search(line.text, 0, 400):
            said.setdefault(int(match["rank"]), []).append(line)
            size = max(size, int(match.groupdict().get("size") or 0))
    repeated = [rank for rank, where in said.items() if len(where) > 1]
    if not said or len(repeated) < len(said) or (size and len(said) >= size) or (not size and set(said) != {0}):
        return []
    evidence = tuple(where[i] for rank, where in sorted(said.items()) for i in range(2))[:6]
    ranks = tuple(sorted(repeated))
    return [Finding("rank-duplicate", 0.62, evidence, ranks), Finding("launcher-mismatch", 0.6, evidence, ranks)]


_WORK = _Lazy(r"Work\w+\(SeqNum=(?P<seq>\d+), OpType=(?P<op>\w+)(?:, NumelIn=(?P<n>\d+))?")
_STUCK = _Lazy(r"Watchdog caught collective operation timeout")


def timeouts_differ(lines: Sequence[LogLine]) -> list[Finding]:
    """Ranks timed out in different collectives: they wait for each other in different places of the program."""
    stuck: dict[tuple[str, str, str], LogLine] = {}
    for line in lines:
        if _STUCK.re.search(line.text, 0, 2000) and (work := _WORK.re.search(line.text, 0, 2000)):
            stuck.setdefault((work["seq"], work["op"], work["n"] or ""), line)
    if len(stuck) < 2 or len({line.rank for line in stuck.values()}) < 2:
        return []
    evidence = tuple(stuck.values())[:6]
    if len({op for _, op, _ in stuck}) > 1:
        return [Finding("collective-order-mismatch", 0.55, evidence)]
    if len({seq for seq, _, _ in stuck}) > 1:
        return [Finding("collective-missing-rank", 0.5, evidence), Finding("collective-order-mismatch", 0.45, evidence)]
    return [Finding("collective-order-mismatch", 0.5, evidence), Finding("collective-shape-mismatch", 0.48, evidence)]


_PRINT = _Lazy(
    r"running (?:inconsistent )?collective: CollectiveFingerPrint\((?:SequenceNumber=\d+,? ?)?OpType=(?P<op>\w+)"
    r"(?:, TensorShape=\[(?P<shape>[^\]]*)\])?(?:, TensorDtypes=(?P<dtype>\w+))?"
)


def fingerprints_differ(lines: Sequence[LogLine]) -> list[Finding]:
    """Old PyTorch prints each rank's collective, but not in what they differ."""
    seen: dict[tuple[str, str, str], LogLine] = {}
    for line in lines:
        for match in _PRINT.re.finditer(line.text[:4000]):
            seen.setdefault((match["op"], match["shape"] or "", match["dtype"] or ""), line)
    if len(seen) < 2:
        return []
    evidence = tuple(dict.fromkeys(seen.values()))[:6]
    for part, cause in enumerate(
        ("collective-order-mismatch", "collective-shape-mismatch", "collective-dtype-mismatch")
    ):
        if len({key[part] for key in seen}) > 1:
            return [Finding(cause, 0.85, evidence)]
    return []


_VERSION = _Lazy(r"\bNCCL version (?P<version>\d+\.\d+\.\d+)")
_NO_PLUGIN = _Lazy(r"NET/Plugin: (?:Could not find|No plugin found)")
_PLUGIN = _Lazy(r"(?:Plugin Path : \S+|NET/Plugin: (?:Loaded|Plugin name|Using) (?!internal)\S+)")


def libraries_differ(lines: Sequence[LogLine]) -> list[Finding]:
    """Hosts load different NCCL versions, or some a network plugin and others none."""
    versions: dict[str, LogLine] = {}
    without: dict[str, LogLine] = {}
    having: dict[str, LogLine] = {}
    for line in lines:
        text = line.text[:600]
        if match := _VERSION.re.search(text):
            versions.setdefault(match["version"], line)
        host = _HOST.re.match(text)
        if host and _NO_PLUGIN.re.search(text):
            without.setdefault(host["host"], line)
        elif host and _PLUGIN.re.search(text):
            having.setdefault(host["host"], line)
    found = []
    if len(versions) > 1:
        found.append(Finding("version-mismatch", 0.6, tuple(versions.values())[:6]))
    # One host may say both, for two kinds of plugin; only hosts that say one thing alone are compared.
    only_without, only_having = without.keys() - having.keys(), having.keys() - without.keys()
    if only_without and only_having:
        lines_ = (without[min(only_without)], having[min(only_having)])
        found.append(Finding("version-mismatch", 0.6, lines_))
    return found


_COMPARISONS: tuple[Callable[[Sequence[LogLine]], list[Finding]], ...] = (
    announced_twice,
    timeouts_differ,
    fingerprints_differ,
    libraries_differ,
)
