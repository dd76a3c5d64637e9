"""How a wording is written down: once, with the weight that it gives to each cause it can stand for."""

import re
from typing import NamedTuple

from commcheck.model.rule import Signature
from commcheck.model.taxonomy import Symptom


class Wording(NamedTuple):
    """A line's wording. `weights`: by cause id. The other fields as in `Signature`."""

    weights: dict[str, float]
    pattern: str
    literal: str
    source: str
    positive: str
    negative: str
    versions: str = ""
    symptoms: tuple[Symptom, ...] = ()


def table(*wordings: Wording) -> dict[str, tuple[Signature, ...]]:
    """The signatures of each cause."""
    found: dict[str, tuple[Signature, ...]] = {}
    for wording in wordings:
        for cause, weight in wording.weights.items():
            signature = Signature(
                pattern=wording.pattern,
                literal=wording.literal,
                source=wording.source,
                positive=wording.positive,
                negative=wording.negative,
                weight=weight,
                versions=wording.versions,
                symptoms=wording.symptoms,
            )
            found[cause] = (*found.get(cause, ()), signature)
    return found


_FOR_MEMORY = (Symptom.TRAIN_OUT_OF_MEMORY, Symptom.TRAIN_OTHER_FAILURE)
_BY_ANYBODY = (Symptom.TRAIN_OTHER_FAILURE, Symptom.SETUP_FAILURE)


def by_kill(
    weights: dict[str, float], pattern: str, literal: str, source: str, positive: str, negative: str
) -> tuple[Wording, ...]:
    """An end by SIGKILL, without a word of memory: only where that was the reason it is a failure for lack of memory."""
    return tuple(
        Wording(
            {cause: weight},
            pattern,
            literal,
            source,
            positive,
            negative,
            symptoms=_FOR_MEMORY if cause == "rank-oom-killed" else _BY_ANYBODY,
        )
        for cause, weight in weights.items()
    )


_VARIES = r"[^\n]{0,160}?"


def warned(
    weights: dict[str, float],
    phrases: tuple[str, ...],
    source: str,
    positive: str,
    versions: str,
    symptoms: tuple[Symptom, ...] = (),
) -> Wording:
    """What stands behind `NCCL WARN` in a line, as plain text: `#` is a number, `*` anything.

    A line of NCCL's at the level INFO is no warning: it is the negative example."""
    pattern = "|".join(_pattern(phrase) for phrase in phrases)
    literals = dict.fromkeys(_longest(phrase) for phrase in phrases)
    return Wording(
        weights,
        rf"NCCL WARN (?:{pattern})",
        " | ".join(literals),
        source,
        positive,
        positive.replace("NCCL WARN", "NCCL INFO"),
        versions,
        symptoms,
    )


def _pattern(phrase: str) -> str:
    plain = (re.escape(part) for part in re.split(r"([#*])", phrase))
    return "".join({r"\#": r"-?\w+", r"\*": _VARIES}.get(part, part) for part in plain)


def _longest(phrase: str) -> str:
    """The text by which lines with a phrase are found: its longest part without anything that varies."""
    return max((part.strip() for part in re.split(r"[#*]", phrase)), key=len).lower()
