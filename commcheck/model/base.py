"""The one base class of commcheck's values, and how numbers of ranks are spoken of."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

T = TypeVar("T")
R = TypeVar("R")


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """An immutable value: keyword-only, compared by content, strict about unknown fields when read."""


def remembered(function: Callable[[T], R]) -> Callable[[T], R]:
    """A pure function of one immutable value that many ask of the same one, rank by rank: its last answer is kept, for
    that very object. What it returns must not be changed by anybody."""
    last: tuple[T, R] | None = None

    def ask(value: T) -> R:
        nonlocal last
        kept = last
        if kept is None or kept[0] is not value:
            last = kept = (value, function(value))
        return kept[1]

    ask.__doc__ = function.__doc__
    return ask


def spans(numbers: Iterable[int]) -> str:
    """Numbers for reading: 0-3, 7."""
    parts: list[str] = []
    ordered = sorted(set(numbers))
    while ordered:
        end = 1
        while end < len(ordered) and ordered[end] == ordered[0] + end:
            end += 1
        run, ordered = ordered[:end], ordered[end:]
        if len(run) > 2:
            parts.append(f"{run[0]}-{run[-1]}")
        else:
            parts.extend(map(str, run))
    return ", ".join(parts)


def ranks_text(ranks: Iterable[int]) -> str:
    """`rank 1` or `ranks 0-2`; nothing for no rank. A world of 1024 must not make a title of 1024 numbers."""
    known = set(ranks)
    return f"rank{'s' if len(known) > 1 else ''} {spans(known)}" if known else ""


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names for a sentence, each once: of many the first, and how many more."""
    known = list(dict.fromkeys(names))
    shown = ", ".join(known[:most])
    return f"{shown} and {len(known) - most} more" if len(known) > most else shown


_MANY = {"is": "are", "was": "were", "has": "have", "does": "do"}


def sentence(ranks: Iterable[int], what: str) -> str:
    """`Rank 1 offers ...` or `Ranks 1, 2 offer ...`: `what` begins with the verb, for one rank."""
    known = set(ranks)
    verb, space, rest = what.partition(" ")
    if len(known) > 1:
        verb = _MANY.get(verb, verb.removesuffix("s"))
    return f"{ranks_text(known).capitalize()} {verb}{space}{rest}"
