"""What can be varied: a parameter and its named choices, and the configuration that a row of choices stands for.

A row has one number per parameter: which of its choices. Choice 0 is the one that is assumed to work, and the row of
zeros is the base from which everything is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from commcheck.errors import UsageError, did_you_mean
from commcheck.generate.config import Config, at, with_environment, with_rank
from commcheck.model.base import Value
from commcheck.model.scenario import RankSettings

Row = tuple[int, ...]
Setting = tuple[int, int]
"""(parameter, choice), by number."""
Combination = frozenset[Setting]


class Validity(StrEnum):
    """What the documentation says of a choice: it should work, it cannot, or it does not say."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Change(Value, frozen=True):
    """What a choice changes. `world`: fields of World. `env`, `unset`: variables of all ranks, or of `rank` alone (negative:
    counted from the last). `own`: fields of RankSettings, of `rank` or of all."""

    world: dict[str, Any] = {}
    env: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    own: dict[str, Any] = {}
    rank: int | None = None


class Choice(Value, frozen=True):
    """One value that a parameter can have, under the name by which reports speak of it."""

    name: str
    change: Change = Change()
    validity: Validity = Validity.UNKNOWN


class Parameter(Value, frozen=True):
    """Something that can be varied. Its first choice is the base's."""

    name: str
    choices: tuple[Choice, ...]
    meaning: str = ""


class Space(Value, frozen=True):
    """All that is varied, and the configuration that is changed. `impossible`: combinations that mean nothing, each a
    mapping from parameter to choice, by name."""

    base: Config
    parameters: tuple[Parameter, ...]
    impossible: tuple[dict[str, str], ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many choices each parameter has."""
        return tuple(len(p.choices) for p in self.parameters)

    @property
    def start(self) -> Row:
        """The row of the base."""
        return (0,) * len(self.parameters)

    def named(self, combination: Iterable[Setting]) -> dict[str, str]:
        """A combination in words, in the order of the parameters."""
        return {self.parameters[p].name: self.parameters[p].choices[c].name for p, c in sorted(combination)}

    def numbered(self, settings: Mapping[str, str]) -> Combination:
        """The reverse of `named`. Raises KeyError for what is not there."""
        places = {p.name: (n, {c.name: m for m, c in enumerate(p.choices)}) for n, p in enumerate(self.parameters)}
        return frozenset((places[name][0], places[name][1][choice]) for name, choice in settings.items())

    def forbidden(self) -> tuple[Combination, ...]:
        """`impossible` by number; what speaks of parameters or choices that are not here is left out."""
        found = []
        for settings in self.impossible:
            try:
                found.append(self.numbered(settings))
            except KeyError:
                continue
        return tuple(found)

    def config(self, row: Row) -> Config:
        """The configuration of a row: fields of the world first, since a rank is counted from the world's size."""
        chosen = [p.choices[c].change for p, c in zip(self.parameters, row, strict=True)]
        config = self.base
        for change in chosen:
            config = replace(config, world=replace(config.world, **change.world)) if change.world else config
        for change in sorted(chosen, key=lambda c: c.rank is not None):
            config = _changed(config, change)
        return config

    def cut(self, choices: Mapping[str, Iterable[str]]) -> Space:
        """Only these choices of these parameters, by name; other parameters stay as they are. The base's stay in any case."""
        keep = {name: set(wanted) for name, wanted in choices.items()}
        made = (
            replace(p, choices=tuple(c for n, c in enumerate(p.choices) if not n or c.name in keep[p.name]))
            if p.name in keep
            else p
            for p in self.parameters
        )
        return replace(self, parameters=tuple(made))

    def narrowed(self, names: Iterable[str]) -> Space:
        """Only these parameters, in the order of the space. Raises UsageError for a name that is not there."""
        wanted = set(names)
        known = [p.name for p in self.parameters]
        for name in sorted(wanted - set(known)):
            raise UsageError(f"--focus {name}: {did_you_mean(name, known, 'there are ' + ', '.join(known))}")
        return replace(self, parameters=tuple(p for p in self.parameters if p.name in wanted))


def deviations(row: Row) -> Combination:
    """What is different from the base."""
    return frozenset((p, c) for p, c in enumerate(row) if c)


def row_of(combination: Iterable[Setting], length: int) -> Row:
    """The base with these settings."""
    row = [0] * length
    for parameter, choice in combination:
        row[parameter] = choice
    return tuple(row)


def holds(row: Row, combination: Combination) -> bool:
    """The row has all of these settings."""
    return all(row[p] == c for p, c in combination)


def _changed(config: Config, change: Change) -> Config:
    if change.env:
        config = with_environment(config, change.env, change.rank)
    if change.unset and change.rank is None:
        config = replace(config, world=replace(config.world, unset=(*config.world.unset, *change.unset)))
    elif change.unset and change.rank is not None:
        own = config.ranks.get(at(config, change.rank), RankSettings())
        config = with_rank(config, change.rank, replace(own, unset=(*own.unset, *change.unset)))
    if change.own:
        ranks = range(config.world.size) if change.rank is None else (change.rank,)
        for rank in ranks:
            own = config.ranks.get(at(config, rank), RankSettings())
            config = with_rank(config, rank, replace(own, **change.own))
    return config
