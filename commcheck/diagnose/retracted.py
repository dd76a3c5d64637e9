"""Hits that other lines of the logs speak against: taken back by a library, of no meaning on one host, or what came later.

XLA warns that a thread may be stuck, and says so when it goes on (xla/service/rendezvous.cc, collective_ops_utils.h).
NCCL says on every machine without RDMA cards that it found none; among the GPUs of one host no network is used. Whoever
sees that a rank has failed and the others hang ends the launcher: that is what came of it.

What may not be here: I/O.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from commcheck.diagnose import nccl_sides, scan
from commcheck.diagnose.ingest.marks import ELASTIC
from commcheck.diagnose.lazy import Lazy
from commcheck.diagnose.scan import Hit
from commcheck.model.case import LogLine

_WARNED, _UNSTUCK = "may be stuck", "Thread is unstuck!"
_NO_CARD = frozenset(("net/ib : no device found", "using network socket"))  # said wherever there are no cards
_A_CARD = Lazy(
    r"\b(?:mlx\d|bnxt_re|irdma|rocep|hfi1|efa|qedr|erdma|mana_ib|ionic|roce|ib[ps]?)_?\d"
    r"|(?i:infiniband)|NCCL_IB_HCA|\brdmap\d|\bNCCL_NET(?:_PLUGIN)? set (?:by environment )?to (?!Socket|none)|NCCL_SOCKET_IFNAME set (?:by environment )?to [=^]?ib"
)
_NODES = Lazy(r"\bnNodes (?P<nodes>\d{1,7})\b")

_KILLED = "rank-killed"
_ENDS_ALL = (" got signal: ", "death signal, shutting down workers", "closing signal sig", " cancelled at ")
_BY_KILL = (_KILLED, "rank-oom-killed")
_FORCED = "forcefully exiting via"  # torch/distributed/elastic/multiprocessing/api.py
_UNHEEDING = Lazy(r"Unable to shutdown process (?P<pid>\d{1,9}) via \S+, forcefully exiting via \S*(?:SIGKILL|9)\b")
_AFTERWARDS = 0.3
_TIMED_OUT = "watchdog caught collective operation timeout"
_OF_THE_END = Lazy(
    r"KeyboardInterrupt|SignalException|RendezvousClosedError|SIGTERM|SIGINT|SIGHUP|exitcode\s{0,4}: (?:-(?:15|2|1)|143|130|129)\b"
)
_FAILED = Lazy(r"\bfailed \(exitcode: -?[1-9]")  # torchrun's agent, of the process that failed first
_SURE = 0.6


def without(hits: Sequence[Hit], lines: Sequence[LogLine]) -> tuple[Hit, ...]:
    """The hits that nothing else in the logs speaks against; what only followed is marked as that."""
    last = {line.source: line.number for line in lines if _UNSTUCK in line.text}
    if last:
        hits = [h for h in hits if _WARNED not in h.line.text or h.line.number > last.get(h.line.source, 0)]
    if any(h.signature.literal in _NO_CARD for h in hits) and _on_one_host(lines):
        hits = [h for h in hits if h.signature.literal not in _NO_CARD]
    return tuple(_forced(_in_order(hits), lines))


def _on_one_host(lines: Sequence[LogLine]) -> bool:
    """NCCL says of itself that all its ranks are on one host, and nothing tells of a card."""
    if any(_A_CARD.re.search(line.text, 0, 2000) for line in lines if "NCCL" in line.text):
        return False
    nccl = nccl_sides.told(lines)
    if nccl is None or len({process.host for process in nccl.processes}) > 1:
        return False
    largest = max(nccl.communicators, key=lambda one: max(one.sizes), default=None)
    if largest is not None and len({member.rank for member in largest.members}) >= max(largest.sizes):
        return True
    return {int(m["nodes"]) for line in lines if (m := _NODES.re.search(line.text, 0, 2000))} == {1}


def _in_order(hits: Sequence[Hit]) -> Sequence[Hit]:
    """That somebody ended the launcher, or the job, is no cause where a rank had failed before."""
    ends = [h for h in hits if h.cause == _KILLED and _ends_all(h)]
    if not ends:
        return hits
    failures = [h.line for h in hits if _is_failure(h)]
    late = {id(h) for h in ends if any(_before(line, h.line) for line in failures)}
    if len(late) < len(ends):  # the first of them was not: then the failures came of it, or have no time
        return hits
    return [_afterwards(h) if id(h) in late else h for h in hits]


def _forced(hits: Sequence[Hit], lines: Sequence[LogLine]) -> Sequence[Hit]:
    """Nor that torchrun's agent kills a rank that does not heed its SIGTERM."""
    pids = {m["pid"] for line in lines if _FORCED in line.text and (m := _UNHEEDING.re.search(line.text, 0, 1000))}
    if not pids:
        return hits
    return [
        _afterwards(h)
        if h.cause in _BY_KILL and (m := ELASTIC.re.search(h.line.text, 0, 1000)) and m["pid"] in pids
        else h
        for h in hits
    ]


def _afterwards(hit: Hit) -> Hit:
    return hit._replace(signature=replace(hit.signature, weight=min(_AFTERWARDS, hit.signature.weight)), late=True)


def _ends_all(hit: Hit) -> bool:
    return any(words in _ENDS_ALL for words in hit.signature.literal.split(" | "))


def _is_failure(hit: Hit) -> bool:
    """A rank's own failure: not what it saw of a peer's end, for its peers may have been ended first."""
    text = hit.line.text
    if hit.cause == _KILLED or _OF_THE_END.re.search(text, 0, 2000):
        return False
    if hit.signature.literal == _TIMED_OUT or _FAILED.re.search(text, 0, 2000):
        return True
    return hit.signature.weight >= _SURE and scan.is_error(text)


def _before(line: LogLine, other: LogLine) -> bool:
    if line.source == other.source:
        return line.number < other.number
    return line.seconds is not None and other.seconds is not None and line.seconds < other.seconds
