"""A running job from the first look to the case: watched, and NCCL's RAS asked meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from commcheck.model.case import Case
from commcheck.runtime.live.asking import Questions
from commcheck.runtime.live.collect import case_of, movement_of, notes_of
from commcheck.runtime.live.find import Found
from commcheck.runtime.live.look import WATCH, watch


def seen_of(
    found: tuple[Found, ...], *, seconds: float = WATCH, progress: Callable[[str], None] = lambda _: None
) -> tuple[Case, tuple[str, ...]]:
    """What some processes show while they are watched for `seconds`, or until something moves; and notes for the report."""
    with Questions(found) as questions:
        seen, why = watch(found, seconds=seconds, progress=progress, moving=lambda: questions.moving)
        decided = any(w.gone or w.stopped or w.moves for w in seen) or questions.moving
        answers, notes = questions.end(decided=decided)
    case = case_of(seen, (why, *notes), answers)
    return case, (*movement_of(seen, case), *notes_of(case))
