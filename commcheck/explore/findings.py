"""What an exploration gives: observations of single worlds, findings, and the whole. Pure data; its JSON is a report."""

from __future__ import annotations

from enum import StrEnum

from commcheck.generate.config import Config
from commcheck.generate.parameter import Combination, Row
from commcheck.model.base import Value
from commcheck.model.diagnosis import Verdict
from commcheck.model.taxonomy import Symptom
from commcheck.predict.model import Prediction

SCHEMA = "commcheck/exploration/1"


class Observation(Value, frozen=True):
    """What one world did. `formed`: it came to its end with values that were right. `left`: what was still there after
    its end. `not_run`: why it could not be started at all (then nothing else is known)."""

    verdict: Verdict
    prediction: Prediction
    formed: bool = False
    cause: str = ""
    causes: tuple[str, ...] = ()
    title: str = ""
    symptom: Symptom | None = None
    ranks: tuple[int, ...] = ()
    seconds: float = 0.0
    bounded: bool = True
    correct: bool = True
    cold: bool = False  # a rank had to import torch by itself, which takes seconds
    left: str = ""
    not_run: str = ""


class Kind(StrEnum):
    """What is remarkable about a world, worst first."""

    NOT_RUN = "not-run"  # it could not be started here: nothing is known of it
    UNBOUNDED = "unbounded"  # it had to be given up at its deadline
    UNCLEAN = "unclean"  # something of it was left
    INCORRECT = "incorrect"  # it came through, with wrong values
    UNEXPLAINED = "unexplained"  # it failed, and commcheck does not know why
    FAILS = "fails"
    FORMS = "forms"  # it works, although it was predicted to fail
    SLOW = "slow"  # it works, far more slowly than the base


BROKEN = frozenset({Kind.NOT_RUN, Kind.UNBOUNDED, Kind.UNCLEAN, Kind.INCORRECT, Kind.UNEXPLAINED, Kind.FAILS})
"""Kinds after which a configuration counts as one that does not work."""


class Found(Value, frozen=True):
    """A combination that was found by a search, by number; `failed` of `runs` worlds with it alone did it."""

    kind: Kind
    combination: Combination
    row: Row
    failed: int
    runs: int
    observation: Observation

    @property
    def sure(self) -> bool:
        """It did the same each time."""
        return self.failed == self.runs


class Finding(Value, frozen=True):
    """A finding for a reader. `settings`: the fewest that show it, all others as in the base. `agrees`: what was
    predicted of it; otherwise `surprise` says how the world differed."""

    kind: Kind
    settings: dict[str, str]
    cause: str
    title: str
    symptom: Symptom | None
    ranks: tuple[int, ...]
    predicted: Prediction
    surprise: str
    runs: int
    failed: int
    config: Config


class Group(Value, frozen=True):
    """Findings with one cause."""

    cause: str
    findings: tuple[Finding, ...]


class Cell(Value, frozen=True):
    """One choice of a parameter: in how many working worlds it was, and the findings (by number) that it is part of."""

    parameter: str
    choice: str
    works: int
    alone: bool  # it fails by itself
    findings: tuple[int, ...]


class Coverage(Value, frozen=True):
    """How many combinations of `strength` settings there are; of these shown to work, known to fail, and open."""

    strength: int
    total: int
    work: int
    fail: int
    open: int

    @property
    def decided(self) -> float:
        """The share of which it is known whether they work."""
        return 1.0 if not self.total else (self.work + self.fail) / self.total


class Exploration(Value, frozen=True):
    """The whole."""

    method: str
    seed: int
    base: str  # the verdict on the base
    base_title: str
    parameters: dict[str, tuple[str, ...]]
    coverage: Coverage
    groups: tuple[Group, ...]
    cells: tuple[Cell, ...]
    pairs: tuple[str, ...]  # one text per setting, a letter per setting: w works, f fails, . not tried
    worlds: int
    seconds: float
    worlds_by_purpose: dict[str, int]
    agreed: int  # worlds that did what was predicted, of those of which something was
    predicted: int
    unsure: tuple[Finding, ...] = ()  # that did not show each time
    unshrunk: tuple[dict[str, str], ...] = ()  # worlds that failed and for which the budget was not enough
    not_run: dict[str, int] = {}
    ended: str = ""
    notes: tuple[str, ...] = ()
    schema: str = SCHEMA
