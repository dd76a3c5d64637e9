"""Which rank raised an exception of its own, where the others only tell of its end.

Of the exceptions in a log some are described by a wording of a cause, and some by wordings alone that peers of a failed
rank print (a closed connection, a time-out). What is left, and is of a kind that Python or a library raises for the
program's own doing, is where the failure began.

What may not be here: I/O.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from commcheck.diagnose import blamed, doing, scan, showing
from commcheck.diagnose.errors import PYTHON_OWN
from commcheck.diagnose.finding import Finding
from commcheck.model.case import LogLine
from commcheck.model.taxonomy import Stage

_SCRIPT = "script-error"
_OWN = PYTHON_OWN | {"ValueError", "TypeError", "AssertionError", "LookupError", "UnboundLocalError", "OverflowError"}
"""Kinds that libraries of communication do raise, but with wordings that are known."""
_LAUNCHERS = frozenset(
    ("ChildFailedError", "SignalException", "ProcessRaisedException", "ProcessExitedException", "CalledProcessError",
     "SystemExit", "KeyboardInterrupt")
)  # fmt: skip
_BESIDE_PEERS, _ALONE, _OTHER_KIND = 0.85, 0.66, 0.6
_MISSING, _SILENT = "collective-missing-rank", 0.62
_TIMED_OUT = "Watchdog caught collective operation timeout"
_DUMP, _ITS_OWN = "dump signal", "collective timeout from this local rank"  # ProcessGroupNCCL's heartbeat monitor
_LATE, _ABSENT = ("rank-straggling", "timeout-too-short"), "rank-missing"
_NO_DEVICE, _NO_LIBRARY = "device-missing", "library-missing"
_COMMUNICATES = (
    *(
        "dist",
        "nccl",
        "gloo",
        "rccl",
        "mpi",
        "horovod",
        "rpc",
        "socket",
        "connect",
        "time",
        "store",
        "rendezvous",
        "peer",
    ),
    *("network", "collective", "backend", "rank", "worker"),
)
"""Words of a failure of communication that no wording describes yet: the script is not blamed for one."""
ENDED_BY_LAUNCHER = "exitcode  : -15 "
"""torchrun's summary of a rank that its agent has ended (torch/distributed/elastic/multiprocessing/errors)."""


@cache
def _exception() -> re.Pattern[str]:
    return re.compile(
        r"^\s{0,20}(?:[A-Za-z_]\w{0,60}\.){0,8}(?P<kind>[A-Za-z_]\w{0,80}(?:Error|Exception|Exit|Interrupt|Iteration)): ?\S"
    )


def findings(lines: Sequence[LogLine], hits: Sequence[scan.Hit]) -> tuple[Finding, ...]:
    """Where it began, as far as that can be told where no cause names itself."""
    return _raised(lines, hits) or _silent(lines, hits)


def too_early(hits: Mapping[str, Sequence[scan.Hit]], lines: Sequence[LogLine], stage: Stage | None) -> tuple[str, ...]:
    """Causes that another one with the same lines is likelier than, since the job had not come so far: nobody who is
    there can be late while the group is set up, and an installation needs no GPU."""

    def shared(cause: str, other: str) -> bool:
        others = {(hit.line.source, hit.line.number) for hit in hits.get(other, ())}
        return cause in hits and all((hit.line.source, hit.line.number) in others for hit in hits[cause])

    late = [
        cause
        for cause in _LATE
        if shared(cause, _ABSENT)
        and all((showing.stage_at(lines, hit.line) or stage) is Stage.SETUP for hit in hits[cause])
    ]
    if shared(_NO_DEVICE, _NO_LIBRARY) and all(doing.installing(lines, hit.line) for hit in hits[_NO_DEVICE]):
        late.append(_NO_DEVICE)
    return tuple(late)


def _silent(lines: Sequence[LogLine], hits: Sequence[scan.Hit]) -> tuple[Finding, ...]:
    """Ranks that the launcher had to end, without a word of their own, while others waited for somebody in vain.

    One whose own watchdog says that a collective timed out had come to it, whoever ended it afterwards; one that only
    saw another's call for a dump waited for nobody. Where a rank that did not wait has failed by itself, it is that one."""
    told = [hit.line for hit in hits if hit.cause == _MISSING and hit.line.rank is not None]
    waited = [line for line in told if _DUMP not in line.text or _ITS_OWN in line.text]
    ended = [line for line in lines if ENDED_BY_LAUNCHER in line.text and line.rank is not None]
    spoke = {line.rank for line in lines if scan.is_fatal(line.text) and ENDED_BY_LAUNCHER not in line.text}
    timed_out = {line.rank for line in waited if _TIMED_OUT in line.text or _ITS_OWN in line.text}
    spoke |= timed_out
    if timed_out and any(one.rank not in timed_out for one in blamed.by_themselves(lines)):
        return ()
    silent = [line for line in ended if line.rank not in spoke]
    if not waited or not silent or len(silent) > len({line.rank for line in waited}):
        return ()
    ranks = tuple(sorted({line.rank for line in silent if line.rank is not None}))
    return (Finding(_MISSING, _SILENT, (*silent[:2], *waited[:3]), ranks),)


def _raised(lines: Sequence[LogLine], hits: Sequence[scan.Hit]) -> tuple[Finding, ...]:
    """The program's own exception."""
    weights: dict[tuple[str, int], float] = {}
    for hit in hits:
        if hit.cause != _SCRIPT:
            key = (hit.line.source, hit.line.number)
            weights[key] = max(weights.get(key, 0.0), hit.signature.weight)
    own: list[LogLine] = []
    others: list[LogLine] = []
    peers = False
    for line in lines:
        weight = weights.get((line.source, line.number), 0.0)
        match = _exception().match(line.text, 0, 400)
        if weight and scan.is_fatal(line.text):
            peers = peers or weight < scan.GENERIC_BELOW
        elif match is not None and match["kind"] not in _LAUNCHERS:
            if match["kind"] in _OWN:
                own.append(line)
            elif not any(word in line.text.lower() for word in _COMMUNICATES):
                others.append(line)
    if own:
        return (_finding(own, _BESIDE_PEERS if peers else _ALONE),)
    # Any other kind may be a failure of communication that we do not know; what peers say of it makes it this rank's.
    return (_finding(others, _OTHER_KIND),) if others and peers else ()


def _finding(lines: Sequence[LogLine], confidence: float) -> Finding:
    ranks = tuple(sorted({line.rank for line in lines if line.rank is not None}))
    return Finding(_SCRIPT, confidence, tuple(lines[:5]), ranks)
