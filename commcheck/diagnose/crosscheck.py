"""What only shows when lines of several ranks are laid side by side: no single line of these tells a fault.

What may not be here: I/O. Each comparison is a function of the lines and gives findings with a modest confidence.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from commcheck.diagnose import nccl_sides
from commcheck.diagnose.finding import Finding
from commcheck.diagnose.ingest import ras_text
from commcheck.diagnose.lazy import Lazy
from commcheck.model.case import LogLine
from commcheck.model.taxonomy import Symptom

# A line that a comparison reads contains one of these; the pre-pass keeps such lines.
WORDS = ("global_rank: ", "distributed processes registered", "rank 0 of 1", "num_workers = 1", "world_size=1", "world_size: 1",
         "world_size = 1", "world size: 1", "world size 1", "size: 1, rank", "rank: 0, size: 1", "rank = 0, size = 1", "rank 0, size 1", "rank 0 / size 1", "distributed init (rank", "worknccl(seqnum=", "collectivefingerprint(",
         "nccl version ", "net/plugin", "plugin path", " busid ", "cuda_visible_devices: [", "thread is unstuck!", "forcefully exiting via", *ras_text.WORDS)  # fmt: skip


_NUMBERS = Lazy(r"\d+")
_HOST = Lazy(r"^(?:\[[^\]]{1,60}\] )?(?P<host>[\w.-]+):\d+:\d+ \[\d+\] ")


def findings(lines: Sequence[LogLine]) -> tuple[Finding, ...]:
    """Everything that comparing the lines shows."""
    return tuple(finding for compare in _COMPARISONS for finding in compare(lines))


_MEMBER = Lazy(r"GLOBAL_RANK: (?P<rank>\d{1,7}), MEMBER: \d{1,7}/(?P<size>\d{1,7})")
_INIT = Lazy(r"distributed init \(rank (?P<rank>\d{1,7})\)")


def announced_twice(lines: Sequence[LogLine]) -> list[Finding]:
    """Every rank that speaks is there twice while others never speak: two launches number their ranks from 0.

    A job that sets up its group again repeats all ranks, not a part of them."""
    said: dict[int, list[LogLine]] = {}
    size = 0
    for line in lines:
        if match := _MEMBER.re.search(line.text, 0, 400) or _INIT.re.search(line.text, 0, 400):
            before = said.setdefault(int(match["rank"]), [])
            if all(_head(line, match) == _head(other) for other in before):  # one process may log it in two forms
                before.append(line)
            size = max(size, int(match.groupdict().get("size") or 0))
    repeated = [rank for rank, where in said.items() if len(where) > 1]
    if not said or len(repeated) < len(said) or (size and len(said) >= size) or (not size and set(said) != {0}):
        return []
    evidence = tuple(where[i] for rank, where in sorted(said.items()) for i in range(2))[:6]
    ranks = tuple(sorted(repeated))
    return [Finding("rank-duplicate", 0.62, evidence, ranks), Finding("launcher-mismatch", 0.6, evidence, ranks)]


def _head(line: LogLine, match: re.Match[str] | None = None) -> str:
    """What a logger writes before its message, without its numbers."""
    match = match or _MEMBER.re.search(line.text, 0, 400) or _INIT.re.search(line.text, 0, 400)
    return _NUMBERS.re.sub("", line.text[: match.start()]) if match else ""


_REGISTERED = Lazy(r"All distributed processes registered")


def announced_in_part(lines: Sequence[LogLine]) -> list[Finding]:
    """Several ranks of a world announce themselves in one log, others never do, and the group is not said to be
    complete. One rank alone may be a log of its own."""
    said: dict[int, LogLine] = {}
    size = 0
    for line in lines:
        if _REGISTERED.re.search(line.text, 0, 400):
            return []
        if match := _MEMBER.re.search(line.text, 0, 400):
            said.setdefault(int(match["rank"]), line)
            size = max(size, int(match["size"]))
    if not 1 < len(said) < size or len({line.source for line in said.values()}) > 1:
        return []
    evidence = tuple(line for _, line in sorted(said.items()))[:6]
    return [Finding("rank-missing", 0.45, evidence), Finding("launcher-mismatch", 0.4, evidence)]


_OF_ONE = Lazy(r"GLOBAL_RANK: 0, MEMBER: 1/1\b")
_CARDS = Lazy(r"LOCAL_RANK: 0 - CUDA_VISIBLE_DEVICES: \[\d+(?:,\d+)+\]")


def alone_with_cards(lines: Sequence[LogLine]) -> list[Finding]:
    """Lightning makes a group of one process although it may use several cards. Some mean that, so it is a hint."""
    said = [line for line in lines if _OF_ONE.re.search(line.text, 0, 400)]
    cards = [line for line in lines if _CARDS.re.search(line.text, 0, 400)]
    if not said or not cards:
        return []
    return [Finding("launcher-mismatch", 0.42, (said[0], cards[0]), shows=(Symptom.PERF_UNEXPECTED_PARALLELIZATION,))]


_ALONE = Lazy(
    r"(?i)\brank\W{0,4}0 of 1\b|\brank\W{1,4}0\b.{0,40}\b(?:world[ _]?)?size\W{1,4}1(?![\d.])|(?<!batch_)(?<!batch )\b(?:world[ _]?)?size\W{1,4}1(?![\d.]).{0,40}\brank\W{1,4}0\b"
    r"|\bnum_workers = 1\s*$"
)
_ALONE_WORDS = ("0 of 1", "size", "num_workers")  # in small letters; one is in each such line, and in few others


def each_is_alone(lines: Sequence[LogLine]) -> list[Finding]:
    """Several processes say that they are the only one: each has made a world of its own."""
    alone = [line for line in lines if _may_be_alone(line.text) and _ALONE.re.search(line.text, 0, 400)]
    tagged = {line.rank for line in alone if line.rank is not None}
    if len(alone) < 2:
        return []
    confidence = 0.7 if len(tagged) > 1 else 0.45
    return [
        Finding("launcher-mismatch", confidence, tuple(alone[:6]), shows=(Symptom.PERF_UNEXPECTED_PARALLELIZATION,))
    ]


def _may_be_alone(text: str) -> bool:
    small = text[:400].lower()
    return any(word in small for word in _ALONE_WORDS)


_WORK = Lazy(r"Work\w+\(SeqNum=(?P<seq>\d+), OpType=(?P<op>\w+)(?:, NumelIn=(?P<n>\d+))?")
_STUCK = Lazy(r"Watchdog caught collective operation timeout")


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


_PRINT = Lazy(
    r"(?:Rank (?P<rank>\d{1,7}) is )?running (?:inconsistent )?collective: CollectiveFingerPrint\((?:SequenceNumber=\d+,? ?)?OpType=(?P<op>\w+)"
    r"(?:, TensorShape=\[(?P<shape>[^\]]*)\])?(?:, TensorDtypes=(?P<dtype>\w+))?"
)


def fingerprints_differ(lines: Sequence[LogLine]) -> list[Finding]:
    """PyTorch prints each rank's collective: old releases not in what they differ, and none who is the odd one out."""
    seen: dict[tuple[str, str, str], LogLine] = {}
    by_rank: dict[int, tuple[str, str, str]] = {}
    for line in lines:
        for match in _PRINT.re.finditer(line.text[:4000]):
            key = (match["op"], match["shape"] or "", match["dtype"] or "")
            seen.setdefault(key, line)
            if match["rank"] is not None:
                by_rank.setdefault(int(match["rank"]), key)
    if len(seen) < 2:
        return []
    odd = _odd_ones(by_rank)
    evidence = tuple(dict.fromkeys(seen.values()))[:6]
    for part, cause in enumerate(
        ("collective-order-mismatch", "collective-shape-mismatch", "collective-dtype-mismatch")
    ):
        if len({key[part] for key in seen}) > 1:
            return [Finding(cause, 0.85, evidence, odd)]
    return []


def _odd_ones(by_rank: Mapping[int, object]) -> tuple[int, ...]:
    """The ranks that differ from what most of the others bring; nobody where there is no majority."""
    counts = Counter(by_rank.values())
    most, times = counts.most_common(1)[0] if counts else (None, 0)
    if 2 * times <= len(by_rank):
        return ()
    return tuple(sorted(rank for rank, brought in by_rank.items() if brought != most))


_VERSION = Lazy(r"\bNCCL version (?P<version>\d+\.\d+\.\d+)")
_NO_PLUGIN = Lazy(r"NET/Plugin: (?:Could not find|No plugin found)")
_PLUGIN = Lazy(r"(?:Plugin Path : \S+|NET/Plugin: (?:Loaded|Plugin name|Using) (?!internal)\S+)")


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


_CARD = Lazy(
    r"^(?:\[[^\]]{1,60}\] ?)?(?:<std\w{3}>:)?(?P<host>[\w.-]+):(?P<pid>\d+):\d+ \[\d+\] .{0,120}\brank (?P<rank>\d+) nranks (?P<size>\d+) .{0,60}"
    r"\bbusId (?P<card>\w+)(?: commId (?P<group>0x\w+))?"
)


def cards_shared(lines: Sequence[LogLine]) -> list[Finding]:
    """Two processes of one host take part in the same communicator with the same card."""
    seen: dict[tuple[str, ...], dict[str, LogLine]] = {}
    for line in lines:
        if match := _CARD.re.search(line.text, 0, 400):
            key = (match["host"], match["card"], match["size"], match["group"] or "")
            seen.setdefault(key, {}).setdefault(match["rank"] + " " + match["pid"], line)
    for said in seen.values():
        if len({one.split()[0] for one in said}) > 1 and len({one.split()[1] for one in said}) > 1:
            return [Finding("device-shared-by-ranks", 0.72, tuple(said.values())[:6])]
    return []


_COMPARISONS: tuple[Callable[[Sequence[LogLine]], list[Finding]], ...] = (
    announced_twice,
    announced_in_part,
    each_is_alone,
    alone_with_cards,
    timeouts_differ,
    fingerprints_differ,
    libraries_differ,
    cards_shared,
    nccl_sides.findings,
)
