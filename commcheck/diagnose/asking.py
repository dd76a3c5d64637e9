"""The one thing to collect next, where a log does not decide: what would tell its candidates apart.

What may not be here: I/O. A question is an entry of `_QUESTIONS`; the first that fits is asked, and no other: a list of
everything that could be tried is what people have already.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from commcheck.diagnose.framework import framework_of
from commcheck.diagnose.match import DECIDED
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Diagnosis, Role
from commcheck.model.taxonomy import Stage

NEARLY = 0.1
"""Where another candidate is as near as this to the first, more is asked for however sure that one is."""


class _Known(NamedTuple):
    """What is asked about. `text`: the log's lines, in small letters; `causes`: the candidates, the best first."""

    text: str
    causes: tuple[str, ...]
    stage: Stage | None
    framework: str
    ranks: tuple[int, ...]
    hosts: tuple[str, ...]
    blamed: tuple[int, ...]

    @property
    def best(self) -> str:
        return self.causes[0] if self.causes else ""


class _Question(NamedTuple):
    fits: Callable[[_Known], bool]
    text: Callable[[_Known], str]


def collect_next(case: Case, diagnoses: Sequence[Diagnosis]) -> tuple[str, ...]:
    """What to collect, in a sentence; nothing where the log decides."""
    roots = [d for d in diagnoses if d.role is Role.ROOT]
    if case.ras:
        from commcheck.diagnose import ras

        if more := next((n for t in ras.told(case) if roots and t.cause == roots[0].cause for n in t.match.next), ""):
            return (more,)
    if not case.lines or not _open(roots):
        return ()
    known = _Known(
        text="\n".join(line.text for line in case.lines).lower(),
        causes=tuple(d.cause for d in roots),
        stage=roots[0].stage if roots else None,
        framework=framework_of(case),
        ranks=tuple(sorted({line.rank for line in case.lines if line.rank is not None})),
        hosts=roots[0].hosts if roots else (),
        blamed=roots[0].ranks if roots else (),
    )
    return next((question.text(known),) for question in _QUESTIONS if question.fits(known))


def _open(roots: Sequence[Diagnosis]) -> bool:
    if not roots or roots[0].confidence < DECIDED:
        return True
    return len(roots) > 1 and roots[1].confidence > roots[0].confidence - NEARLY


_PEERS_VIEW = ("connection closed by peer", "connection reset by peer", "broken pipe", "remote process exiting")

_QUESTIONS = (
    _Question(
        lambda k: k.best in {"rank-killed", "rank-oom-killed"},
        lambda k: (
            f"on {' and '.join(k.hosts[:3]) if k.hosts else 'the host of the killed rank'}: "
            "`dmesg -T | grep -iE 'killed process|out of memory'`, and the scheduler's record of the job: who sent the signal"
        ),
    ),
    _Question(
        lambda k: (
            "childfailederror" in k.text and k.best in {"rank-exited", "script-error", "unclassified", "rank-crashed"}
        ),
        lambda k: (
            "the standard error of the rank that the launcher names (`torchrun --log-dir DIR --redirects 3` keeps every "
            "rank's): this is the launcher's summary, and the cause stands before it"
        ),
    ),
    _Question(
        lambda k: any(words in k.text for words in _PEERS_VIEW),
        lambda k: (
            f"the output of the rank that ended first: this is what {ranks_text(k.ranks) or 'its peers'} saw of it"
        ),
    ),
    _Question(
        lambda k: "watchdog caught collective operation timeout" in k.text or "flight recorder" in k.text,
        lambda k: (
            "the flight recorder's dumps of all ranks, for `commcheck diagnose`: they show who did not arrive (before torch 2.6 "
            "it is off: TORCH_NCCL_TRACE_BUFFER_SIZE=2000 TORCH_NCCL_DUMP_ON_TIMEOUT=1)"
        ),
    ),
    _Question(
        lambda k: k.best in {"collective-missing-rank", "rank-straggling", "collective-order-mismatch"},
        lambda k: (
            "when it stands still again: `commcheck diagnose --job` on each host, with py-spy installed: it shows where "
            f"{ranks_text(k.blamed) or 'each rank'} is while the others wait"
        ),
    ),
    _Question(
        lambda k: "nccl" in k.text and "nccl info" not in k.text and "nccl warn" not in k.text,
        lambda k: "run again with NCCL_DEBUG=INFO: the line that NCCL writes before its error says what failed",
    ),
    _Question(
        lambda k: k.framework == "Horovod",
        lambda k: "run again with `horovodrun --verbose` and HOROVOD_LOG_LEVEL=debug, and give all ranks' output",
    ),
    _Question(
        lambda k: k.framework in {"TensorFlow", "Keras"},
        lambda k: (
            "run again with GRPC_VERBOSITY=debug and TF_CPP_MIN_LOG_LEVEL=0, and give every worker's output and TF_CONFIG"
        ),
    ),
    _Question(
        lambda k: k.stage is Stage.SETUP,
        lambda k: (
            "`commcheck preflight` with the job's settings, on its hosts: it tells a dropped port, a refused one, an absent "
            "rank and a wrong name apart"
        ),
    ),
    _Question(
        lambda k: True,
        lambda k: "run again with TORCH_DISTRIBUTED_DEBUG=DETAIL TORCH_CPP_LOG_LEVEL=INFO, and give all ranks' output",
    ),
)
