"""Processes that RAS hears nothing of any more, and that could be looked at on their own host: how each of them is.

What may not be here: I/O.
"""

from __future__ import annotations

from commcheck.model.base import sentence
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.ras import Trace
from commcheck.model.taxonomy import FixPattern, Symptom

_SEEN, _LIKELY, _LESS, _STOPPED = 0.9, 0.6, 0.4, 0.9
_NOT_SEEN = "how it ended is not to be seen any more: its exit code is known to what started it alone"
_OTHERS_RUN = (
    "launchers such as torchrun end all ranks when one is killed or fails, and others run: an end with exit code 0 fits"
)
_OUTPUT = Fix(
    pattern=FixPattern.BEHAVIOR_LOGIC,
    text="look at the last output of this process: whether its program returned early, or called exit",
    not_tried="it is a look at the job's output",
)
_KERNEL = Fix(
    pattern=FixPattern.BEHAVIOR_LOGIC,
    text="look at what the scheduler and the kernel say of its end",
    commands=("journalctl -k | grep -i kill",),
    not_tried="it is a look at the machine",
)


def ended(traces: tuple[Trace, ...]) -> bool:
    """All of them have ended."""
    return bool(traces) and all(t.state in ("", "Z", "X") for t in traces)


def stopped(traces: tuple[Trace, ...]) -> bool:
    """All of them are stopped."""
    return bool(traces) and all(t.state in ("T", "t") for t in traces)


def causes(
    traces: tuple[Trace, ...], ranks: tuple[int, ...], evidence: tuple[Evidence, ...], *, hangs: Symptom, fails: Symptom
) -> tuple[tuple[str, Match], ...]:
    """What the traces of all lost processes say; nothing where some of them live and are not stopped."""
    pids = " ".join(str(t.process.pid) for t in traces)
    hosts = tuple(dict.fromkeys(t.process.host for t in traces))
    facts = tuple(Evidence(kind=EvidenceKind.FACT, text=_text(t), source="/proc") for t in traces[:6])

    def match(what: str, confidence: float, symptom: Symptom, against: tuple[str, ...], fix: Fix) -> Match:
        return Match(
            symptom=symptom,
            title=sentence(ranks, what) if ranks else f"Process {pids}: {what}",
            confidence=confidence,
            ranks=ranks,
            hosts=hosts,
            evidence=(*facts, *evidence),
            against=tuple(Evidence(kind=EvidenceKind.FACT, text=text) for text in against),
            fixes=(fix,),
        )

    if stopped(traces):
        fix = Fix(
            pattern=FixPattern.BEHAVIOR_LOGIC, text="let the stopped process go on", commands=(f"kill -CONT {pids}",),
            not_tried="it changes the machine",
        )  # fmt: skip
        return (("rank-stopped", match("is stopped (SIGSTOP)", _STOPPED, hangs, (), fix)),)
    if not ended(traces):
        return ()
    endings = {t.ending for t in traces}
    if endings - {""} and "" not in endings:
        killed = any(e.startswith("signal") for e in endings)
        what = f"has ended ({', '.join(sorted(endings))})"
        cause, fix = ("rank-killed", _KERNEL) if killed else ("rank-exited", _OUTPUT)
        return ((cause, match(what, _SEEN, fails, (), fix)),)
    what = f"has ended: process {pids} is gone"
    return (
        ("rank-exited", match(what, _LIKELY, fails, (_NOT_SEEN,), _OUTPUT)),
        ("rank-killed", match(what, _LESS, fails, (_NOT_SEEN, _OTHERS_RUN), _KERNEL)),
    )


def _text(trace: Trace) -> str:
    if not trace.state:
        return f"process {trace.process.pid} is gone from this host"
    if trace.ending:
        return f"process {trace.process.pid} has ended with {trace.ending}"
    return f"process {trace.process.pid} is in state {trace.state}"
