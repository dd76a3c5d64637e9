"""The shape of a rule: one recognisable cause, one file, one constant `RULE`.

The module's docstring is the cause's manual page (`commcheck explain CAUSE`), with the fixed headings
**What you see / Why it happens / How to fix / How to confirm**.
"""

from collections.abc import Callable

from commcheck.model.base import Value
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


class Signature(Value, frozen=True):
    """A wording by which a log shows a cause.

    `pattern` is a regular expression searched in one line; `literal` is a lower-case text that every match contains
    (for the fast pass over large logs), or several such texts separated by ` | `, of which every match contains one. `source`: where the wording was read or seen (repository and file, or the
    software and version that printed it). `positive` and `negative` are a line that must match and one that must not;
    `versions` bounds the software where that matters. `weight` is the confidence that the line alone gives, 0 to 1.
    `symptoms`: what the wording itself says that it is, where that is more than its cause says, the usual first."""

    pattern: str
    literal: str
    source: str
    positive: str
    negative: str
    weight: float = 0.6
    versions: str = ""
    symptoms: tuple[Symptom, ...] = ()


class Rule(Value, frozen=True):
    """One cause. `cause` is its id in the catalogue and never changes; `code` is CCnnn and is never reused
    (1xx setup, 2xx collective, 3xx device, 4xx performance, 9xx build and environment).

    `symptoms`: those it usually shows as, the usual first. `match` judges structured evidence (None: log only).
    `explains`: causes whose matches are mere consequences of this one. `needs`: what `match` requires of a Case
    ("ranks", "hosts", "environment", "lines")."""

    cause: str
    code: str
    title: str
    stage: Stage
    symptoms: tuple[Symptom, ...]
    fixes: tuple[tuple[FixPattern, str], ...]
    match: Callable[[Case], Match | None] | None = None
    signatures: tuple[Signature, ...] = ()
    explains: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
