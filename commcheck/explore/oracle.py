"""What a world should have done: five properties, each a few lines. Pure.

agreement   it did what was predicted
explained   where it failed, commcheck says why
bounded     it ended before its deadline
clean       nothing of it is left
correct     where it came through, every value was right
"""

from __future__ import annotations

from commcheck.explore.findings import Kind, Observation
from commcheck.model.diagnosis import Verdict
from commcheck.predict.model import Outlook, Prediction

SLOW_SECONDS = 4.0
"""How much longer than the base a healthy world may take: more than a busy machine costs, less than one unanswered
question to a name server (5 s)."""
UNEXPLAINED = "unclassified"
ALIKE = (
    {"host-resolves-to-loopback", "interface-loopback", "wrong-master-host", "interface-unroutable", "port-refused"},
    {"env-malformed", "port-out-of-range", "port-mismatch", "store-timeout-too-short", "timeout-too-short"},
    {"transport-unavailable", "env-malformed", "env-unknown"},
    {"env-differs-between-ranks", "interface-differs-between-ranks"},
    {"address-family-mismatch", "interface-differs-between-ranks", "interface-unroutable"},
    {"backend-mismatch", "backend-unknown", "backend-not-built"},
    {"op-unsupported", "script-error"},
)
"""Causes of which one or the other is named for the same settings, according to what can be seen first."""


def kind(seen: Observation, base_seconds: float = 0.0) -> Kind | None:
    """What is remarkable about a world; None where it works as predicted."""
    if seen.not_run:
        return Kind.NOT_RUN
    if seen.left:
        return Kind.UNCLEAN
    if not seen.correct:
        return Kind.INCORRECT
    if not seen.bounded:
        return Kind.UNBOUNDED
    if seen.verdict is not Verdict.HEALTHY:
        return Kind.UNEXPLAINED if seen.cause in {"", UNEXPLAINED} else Kind.FAILS
    if seen.prediction.outlook is Outlook.FAILS:
        return Kind.FORMS
    if not seen.cold and seen.seconds > base_seconds + SLOW_SECONDS and seen.prediction.outlook is not Outlook.SLOW:
        return Kind.SLOW
    return None


def agreed(seen: Observation) -> bool | None:
    """Whether a world did what was predicted; None where nothing was."""
    if seen.not_run or seen.prediction.outlook is Outlook.UNKNOWN:
        return None
    return not surprise(seen)


def surprise(seen: Observation) -> str:
    """How a world differed from its prediction, in words; empty where it did not, or nothing was predicted."""
    predicted = seen.prediction
    if seen.not_run or predicted.outlook is Outlook.UNKNOWN:
        return ""
    if predicted.outlook in {Outlook.FORMS, Outlook.SLOW}:
        lucky = bool(predicted.cause) and same_cause(predicted, seen)
        if seen.formed and seen.verdict is Verdict.UNHEALTHY and not lucky:
            return f"it came through as predicted, with values that were right, and is called unhealthy: {seen.cause}"
        return "" if seen.formed or lucky else f"it was predicted to form ({predicted.reason})"
    if seen.formed:
        return f"it was predicted to fail: {predicted.reason} [{predicted.cause}]"
    if not same_cause(predicted, seen):
        return f"it was predicted to fail for another reason: {predicted.reason} [{predicted.cause}]"
    return ""


def same_cause(predicted: Prediction, seen: Observation) -> bool:
    """The predicted cause was named, or one that is told apart from it only by what happens to be seen first."""
    if predicted.cause in seen.causes:
        return True
    return any(predicted.cause in group and group & set(seen.causes) for group in ALIKE)
