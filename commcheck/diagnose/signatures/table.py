"""How a wording is written down: once, with the weight that it gives to each cause it can stand for."""

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
