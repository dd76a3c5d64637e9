"""The pod template in a manifest of the user's own, whatever kind of job it is of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from commcheck.errors import InputError
from commcheck.runtime.kubectl import read

_Json = dict[str, Any]
_DEPTH = 12


class _Named(msgspec.Struct):
    name: str


class _Mount(_Named):
    mountPath: str  # noqa: N815 (as Kubernetes has it)


class _Resources(msgspec.Struct):
    limits: _Json | None = None
    requests: _Json | None = None


class _Container(_Named):
    image: str | None = None
    env: list[_Named] | None = None
    volumeMounts: list[_Mount] | None = None  # noqa: N815
    resources: _Resources | None = None


class _Spec(msgspec.Struct):
    containers: list[_Container]
    volumes: list[_Named] | None = None


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Template(msgspec.Struct):
    """What is looked at of a template; the rest is the API server's to judge."""

    spec: _Spec
    metadata: _Metadata | None = None


def template(path: str) -> _Json:
    """The first one of the file, with `metadata` and `spec`; kubectl makes JSON of what is none. Raises InputError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--pod {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        documents = [json.loads(text)]
    except RecursionError as error:
        raise InputError(f"--pod {path}: nested too deeply for a manifest") from error
    except ValueError:
        documents = read(path)
    found = next((one for document in documents for one in _templates(document, 0)), None)
    if found is None:
        raise InputError(
            f"--pod {path}: there is no pod in it (no spec with containers): give a manifest of a Pod or a job"
        )
    try:
        msgspec.convert(found, type=_Template)
    except msgspec.ValidationError as error:
        raise InputError(f"--pod {path}: the pod in it is none: {error}") from error
    return found


def _templates(value: object, depth: int) -> Iterator[_Json]:
    """Every part of a manifest that has a pod's spec."""
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(containers := spec.get("containers"), list) and containers:
            yield {"metadata": value.get("metadata") or {}, "spec": spec}
            return
        for part in value.values():
            yield from _templates(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _templates(part, depth + 1)
