"""The shape of a form, and what all forms need: which settings all hosts share, and which differ between them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote

from commcheck.model.base import Value
from commcheck.suggest.model import DEFAULT_ADDR, DEFAULT_PORT, Suggestion

PROGRAM = "train.py"
"""What stands for the user's own program."""


class Form(Value, frozen=True):
    """Settings for one kind of reader. `render` gives lines; a line that begins with # is a comment to the reader."""

    name: str
    what: str
    render: Callable[[Suggestion], str]


def shared(found: Suggestion) -> dict[str, str]:
    """The settings that are the same on all hosts."""
    first, *others = [found.environment(h) for h in found.hosts]
    return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}


def differing(found: Suggestion) -> dict[str, dict[str, str]]:
    """By host, the others; empty where there are none."""
    same = shared(found)
    made = {h: {k: v for k, v in found.environment(h).items() if k not in same} for h in found.hosts}
    return made if any(made.values()) else {}


def with_defaults(settings: dict[str, str]) -> dict[str, str]:
    """With what torchrun would say by itself, for launchers that say nothing."""
    return {"MASTER_ADDR": DEFAULT_ADDR, "MASTER_PORT": str(DEFAULT_PORT), **settings}


def to_unset(found: Suggestion) -> list[str]:
    """Variables of this shell with which the world did not form."""
    return [x.name for x in found.leftovers if x.harmless is False]


def exports(settings: dict[str, str]) -> list[str]:
    """For a shell."""
    return [f"export {name}={quote(value)}" for name, value in settings.items()]


def by_node(found: Suggestion, variable: str) -> list[str]:
    """What differs between hosts, chosen by a shell expression that gives the host's own name."""
    different = differing(found)
    if not different:
        return []
    lines = [f'case "{variable}" in']
    for host, settings in different.items():
        lines.append(f"  {quote(found.hostnames[host])}) {'; '.join(exports(settings)) or ':'} ;;")
    return [*lines, "esac"]
