"""Which scenarios are meant: by name, by tag, by family, or a sample that has every cause. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from commcheck.errors import UsageError, did_you_mean
from commcheck.scenarios.load import Found


def choose(
    known: Sequence[Found], names: Sequence[str], tags: Sequence[str], *, sample: bool = False
) -> tuple[Found, ...]:
    """Those that one of `names` means (a name, a folder, or a pattern with * and ?; none: all) and that have all of
    `tags`. A family and a cause are tags too. `sample`: of these, only as many as it takes to have every cause in
    every kind of world. Raises UsageError for a name or tag that means nothing."""
    for name in names:
        if not any(means(name, f.name) for f in known):
            hint = did_you_mean(name, (f.name for f in known), "`commcheck scenario list` shows all")
            raise UsageError(f"no scenario is called {name!r}: {hint}")
    for tag in tags:
        every = sorted({t for f in known for t in tags_of(f)})
        if tag not in every:
            hint = did_you_mean(tag, every, f"there are {', '.join(every)}")
            raise UsageError(f"no scenario has the tag {tag!r}: {hint}")
    found = [
        f for f in known if (not names or any(means(n, f.name) for n in names)) and all(t in tags_of(f) for t in tags)
    ]
    return tuple(_sample(found)) if sample else tuple(found)


def means(wanted: str, name: str) -> bool:
    """`wanted` is the name, a folder above it, its last part, or a pattern that fits it."""
    wanted = wanted.strip("/").removesuffix(".toml")
    return name == wanted or name.startswith(f"{wanted}/") or name.endswith(f"/{wanted}") or fnmatchcase(name, wanted)


def tags_of(found: Found) -> frozenset[str]:
    """A scenario's tags, its family, its cause, its verdict, and its folders."""
    s = found.scenario
    own = {*s.tags, s.family, s.expect.cause, s.expect.verdict.value, *found.name.split("/")[:-1]}
    return frozenset(own - {""})


def _sample(found: Iterable[Found]) -> list[Found]:
    """The first of each cause in each family, and all healthy ones: a false alarm is the worst that can happen."""
    kept: dict[tuple[str, ...], Found] = {}
    for f in found:
        expect = f.scenario.expect
        kept.setdefault((expect.cause, f.scenario.family if expect.cause else f.name), f)
    return list(kept.values())
