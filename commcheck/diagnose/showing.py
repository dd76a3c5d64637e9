"""Which of a cause's symptoms a failure shows: the likeliest first, and what else it may be where its stage is not told.

What may not be here: I/O.
"""

import re
from collections.abc import Sequence
from functools import cache

from commcheck.diagnose import scan
from commcheck.model.case import LogLine
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import Stage, Symptom

_PREFIX = {
    Stage.BUILD: ("build-",),
    Stage.SETUP: ("setup-",),
    Stage.PREPARATION: ("prep-",),
    Stage.TRAINING: ("train-", "perf-"),
}
_BEFORE = {Stage.SETUP: "while the group is set up", Stage.PREPARATION: "before the first step",
           Stage.TRAINING: "while it trains", Stage.BUILD: "before anything runs"}  # fmt: skip
_ERROR_OR_HANG = (
    (Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    (Symptom.PREP_COMMUNICATION_ERROR, Symptom.PREP_HANG_TIMEOUT),
    (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PERF_HANG),
)
_FRAMES = 120  # lines before an exception in which its traceback is looked for
_BEGIN = "Traceback (most recent call last)"
_LINE = 4096


@cache
def _waited() -> re.Pattern[str]:
    return re.compile(r"(?i)tim(?:ed|e)[ -]?out|deadline|stall|stuck|waiting for")


@cache
def _broke() -> re.Pattern[str]:
    return re.compile(r"(?i)refused|reset by peer|closed|no route|unreachable|broken pipe|unhandled system error")


def stage_at(lines: Sequence[LogLine], at: LogLine) -> Stage | None:
    """The stage that the traceback before a line tells: nearer than what the rest of the log tells."""
    frames: list[LogLine] = []
    for line in reversed(lines):
        if line.source != at.source or line.number > at.number or line.rank != at.rank:
            continue
        if line.number < at.number:
            frames.append(line)
        if _BEGIN in line.text[:_LINE]:
            return scan.stage_of(frames)
        if len(frames) > _FRAMES:
            break
    return None


def ranked(rule: Rule, stage: Stage | None, shown: tuple[Symptom, ...] = (), text: str = "") -> tuple[Symptom, ...]:
    """A rule's symptoms at a stage, the likeliest first. `shown`: those that a wording of it stands for; `text`: the
    line, which may tell an error from waiting in vain where the wording does not."""
    among = [symptom for symptom in shown if symptom in rule.symptoms] or list(rule.symptoms)
    here = [s for s in among if stage is not None and s.value.startswith(_PREFIX[stage])]
    order = here + [s for s in among if s not in here]
    if not shown or len(among) > 1:
        order[0] = _by_nature(order[0], rule, text[:_LINE])
    return tuple(dict.fromkeys(order))


def _by_nature(symptom: Symptom, rule: Rule, text: str) -> Symptom:
    """An error or a hang of the same stage, as the line says."""
    waited, broke = bool(_waited().search(text)), bool(_broke().search(text))
    for error, hang in _ERROR_OR_HANG:
        meant = hang if waited and not broke else error if broke and not waited else symptom
        if symptom in (error, hang) and meant in rule.symptoms:
            return meant
    return symptom


def undecided(symptoms: Sequence[Symptom], stage: Stage | None) -> tuple[Symptom, ...]:
    """What else it may be: where the stage is told, symptoms of that stage only; otherwise any."""
    rest = symptoms[1:]
    return tuple(s for s in rest if stage is None or s.value.startswith(_PREFIX[stage]))


def when(symptom: Symptom) -> str:
    """The stage of a symptom, in words."""
    return next(words for stage, words in _BEFORE.items() if symptom.value.startswith(_PREFIX[stage]))
