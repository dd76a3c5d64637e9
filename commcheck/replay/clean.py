"""Take out of what is kept whatever is nobody else's business: secrets, and variables that do not bear on communication.

Three nets, one below the other: variables are chosen by name; texts go through the patterns that all logs go through;
and the values of variables that are secrets by name are blotted out wherever else they appear. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from msgspec import Struct

from commcheck.catalog.env.select import REMOVED, relevant, without_secret
from commcheck.diagnose.ingest.redact import MARK, redact

ALSO_KEPT = frozenset(("HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "TZ"))
"""Variables of the C library that shape how names resolve and clocks read, and that no list of frameworks has."""
T = TypeVar("T")

SHORTEST = 6
"""Characters of a secret that is blotted out everywhere: shorter ones are parts of ordinary words."""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a world needs to be run again, sorted by name, secrets replaced by `REMOVED`."""
    own = {n: without_secret(n, v) for n, v in environ.items() if n in ALSO_KEPT}
    return {n: v if v == REMOVED else redact(v) for n, v in sorted((relevant(environ) | own).items())}


def secrets(environments: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The values that must appear nowhere, longest first (one may hold another)."""
    found = {
        value
        for environ in environments
        for name, value in environ.items()
        if len(value) >= SHORTEST and value != REMOVED and without_secret(name, value) == REMOVED
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def without_secrets(value: T, known: tuple[str, ...]) -> T:
    """The value with every text in it cleaned, the keys of mappings too."""
    cleaned: Any = value
    if type(value) is str:  # and no enumeration's member: those say nothing that was read
        for secret in known:
            cleaned = cleaned.replace(secret, MARK)
        cleaned = redact(cleaned)
    elif isinstance(value, Struct):
        cleaned = type(value)(
            **{name: without_secrets(getattr(value, name), known) for name in value.__struct_fields__}
        )
    elif isinstance(value, dict):
        cleaned = {without_secrets(k, known): without_secrets(_variable(k, v), known) for k, v in value.items()}
    elif isinstance(value, tuple):
        cleaned = tuple(without_secrets(v, known) for v in value)
    return cast("T", cleaned)


_INSTALLED = re.compile(r"(?:/[\w.@+-]+)+/(?=(?:site-packages|dist-packages|commcheck|python3\.\d+)/)")


def without_places(value: T) -> T:
    """The value with files of this installation named from its library on: where that lies is nobody else's business.
    Settings, which are mappings, stay as they were."""
    cleaned: Any = value
    if type(value) is str:
        cleaned = _INSTALLED.sub("", str(value))
    elif isinstance(value, Struct):
        cleaned = type(value)(**{name: without_places(getattr(value, name)) for name in value.__struct_fields__})
    elif isinstance(value, tuple):
        cleaned = tuple(without_places(v) for v in value)
    return cast("T", cleaned)


def _variable(name: Any, value: Any) -> Any:
    """A setting whose name says that it is a secret, wherever it stands: in a fix, in a scenario's file."""
    if isinstance(name, str) and isinstance(value, str) and name.isupper():
        return without_secret(name, value)
    return value
