"""The pod template in a manifest of the user's own, whatever kind of job it is of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commcheck.errors import InputError
from commcheck.runtime.pods import read

_Json = dict[str, Any]
_DEPTH = 12


def template(path: str) -> _Json:
    """The first one of the file, with `metadata` and `spec`; kubectl makes JSON of what is none. Raises InputError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--pod {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = read(path)
    found = next((one for document in documents for one in _templates(document, 0)), None)
    if found is None:
        raise InputError(
            f"--pod {path}: there is no pod in it (no spec with containers): give a manifest of a Pod or a job"
        )
    return found


def _templates(value: object, depth: int) -> Iterator[_Json]:
    """Every part of a manifest that has a pod's spec."""
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(containers := spec.get("containers"), list) and containers:
            if all(isinstance(c, dict) for c in containers):
                yield {"metadata": value.get("metadata") or {}, "spec": spec}
            return
        for part in value.values():
            yield from _templates(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _templates(part, depth + 1)
