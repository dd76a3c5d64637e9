"""What rules and wordings there are, known without importing their modules.

Importing a hundred rules takes longer than judging a short log, which needs a few of them. So what all modules say of
themselves is gathered once and remembered until one of them changes (`commcheck.registry.remembered`).
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from commcheck import registry
from commcheck.model.base import Value
from commcheck.model.rule import Rule, Signature

RULES = "commcheck.diagnose.rules"
SIGNATURES = "commcheck.diagnose.signatures"


class Listed(Value, frozen=True):
    """A rule by what decides whether it is asked. `judges`: it has a `match` for structured evidence."""

    module: str
    cause: str
    code: str
    needs: tuple[str, ...]
    judges: bool

    def rule(self) -> Rule:
        """The rule itself: its module is imported."""
        return registry.one(self.module, "RULE", Rule)


class Entry(NamedTuple):
    """A signature and the cause that it shows."""

    cause: str
    signature: Signature


class Index(Value, frozen=True):
    """All rules, by code, and all signatures: the rules' own, then those kept apart."""

    rules: tuple[Listed, ...]
    entries: tuple[Entry, ...]


@cache
def index() -> Index:
    """The index as the modules are now."""
    return registry.remembered(__name__, Index, gathered, "commcheck.diagnose", "commcheck.catalog", "commcheck.model")


def gathered() -> Index:
    """The index, from all modules. Raises ValueError for a signature that lacks what every one must have."""
    rules = tuple(registry.exporting(RULES, "RULE", Rule))
    tables = [(module, {rule.cause: rule.signatures}) for module, rule in rules]
    tables += registry.exporting(SIGNATURES, "SIGNATURES", dict)
    known = {rule.cause for _, rule in rules}
    found: list[Entry] = []
    for module, table in tables:
        for cause, signatures in table.items():
            if cause not in known:
                raise ValueError(f"{module}: signatures of {cause}, which no rule is about")
            for signature in signatures:
                if missing := lacking(signature):
                    raise ValueError(f"{module}: a signature of {cause} has no {missing}: {signature.pattern!r}")
                found.append(Entry(cause, signature))
    return Index(rules=by_code(rules), entries=tuple(found))


def by_code(rules: Iterable[tuple[str, Rule]]) -> tuple[Listed, ...]:
    """How rules stand in the index: module and rule of each."""
    found = [
        Listed(module=module, cause=rule.cause, code=rule.code, needs=rule.needs, judges=rule.match is not None)
        for module, rule in rules
    ]
    return tuple(sorted(found, key=lambda one: one.code))


def lacking(signature: Signature) -> str:
    """Which of the fields that make a signature one is empty; "" where none is."""
    fields = ("pattern", "literal", "source", "positive", "negative")
    return next((field for field in fields if not getattr(signature, field).strip()), "")


class _Rules(Mapping[str, Rule]):
    """All rules by cause; one is imported when it is asked for."""

    def __init__(self) -> None:
        self._listed = {one.cause: one for one in index().rules}

    def __getitem__(self, cause: str) -> Rule:
        return self._listed[cause].rule()

    def __contains__(self, cause: object) -> bool:
        return cause in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


def entries() -> tuple[Entry, ...]:
    """Every signature."""
    return index().entries


@cache
def rules() -> Mapping[str, Rule]:
    """Every rule, by cause."""
    return _Rules()
