"""Whose NCCL addresses each one tries: those to which NCCL connects whatever algorithm it takes. Pure."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

MOST_TARGETS = 8
"""Hosts that each one tries: those after it in the order of the ranks, and the first, which makes the unique id."""


def targets(order: Sequence[T], own: T) -> tuple[T, ...]:
    """Of those in `order`: the first, and the next ones after `own`, around the end."""
    at = order.index(own) if own in order else 0
    around = dict.fromkeys([*order[:1], *order[at + 1 :], *order[:at]])
    around.pop(own, None)
    return tuple(around)[:MOST_TARGETS]
