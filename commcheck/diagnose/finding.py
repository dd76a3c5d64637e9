"""What comparing lines suggests; `crosscheck` and what looks further make them, `logs` weighs them."""

from typing import NamedTuple

from commcheck.model.case import LogLine
from commcheck.model.taxonomy import Symptom


class Finding(NamedTuple):
    """A cause that a comparison of lines suggests. `shows`: as what, where that is not a matter of the stage."""

    cause: str
    confidence: float
    lines: tuple[LogLine, ...]
    ranks: tuple[int, ...] = ()
    shows: tuple[Symptom, ...] = ()
