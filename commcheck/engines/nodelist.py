"""Slurm's short form of host names: `trainer[01-03,7],head` and the like."""

from __future__ import annotations

_MOST = 100_000


def expand(text: str) -> tuple[str, ...]:
    """The hosts of a list, in its order; nothing for what is no such list."""
    hosts: list[str] = []
    for part in _split(text):
        names = _names(part)
        if names is None or len(hosts) + len(names) > _MOST:
            return ()
        hosts += names
    return tuple(hosts)


def _split(text: str) -> list[str]:
    """The parts between commas that stand outside of brackets."""
    parts, depth = [""], 0
    for letter in text.strip():
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]


def _names(part: str) -> list[str] | None:
    """One part's hosts: the first bracket is spelt out, then what follows it."""
    before, bracket, rest = part.partition("[")
    if not bracket:
        return [part] if "]" not in part else None
    inside, bracket, after = rest.partition("]")
    tails = _names(after) if after else [""]
    numbers = [n for piece in inside.split(",") for n in _numbers(piece)]
    if not bracket or tails is None or not numbers or len(numbers) * len(tails) > _MOST:
        return None
    return [f"{before}{number}{tail}" for number in numbers for tail in tails]


def _numbers(piece: str) -> list[str]:
    """`07-09` as 07, 08, 09; a number by itself as it is; nothing for anything else."""
    low, dash, high = piece.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        return []
    if not dash:
        return [low]
    count = int(high) - int(low) + 1
    return [str(int(low) + n).zfill(len(low)) for n in range(count)] if 0 < count <= _MOST else []
