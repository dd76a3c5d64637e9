"""The lab that `--lab` names: a file with the fields of a scenario's [lab], or a scenario, of which [lab] and [[fault]] count.

The faults are made on the hosts and stay. The search is not told of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from commcheck.errors import InputError, UsageError, did_you_mean
from commcheck.lab.validity import require_valid
from commcheck.model.fault import FaultSpec, RankFault
from commcheck.model.topology import Topology
from commcheck.scenarios.kinds import file_type


def load(path: Path) -> tuple[Topology, tuple[FaultSpec, ...]]:
    """The topology and the faults that lie on its hosts. Raises InputError that says what is wrong with the file."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--lab {path}: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"--lab {path}: not TOML: {error}") from error
    topology, faults = _read(raw, path)
    try:
        require_valid(topology)
    except UsageError as error:
        raise InputError(f"--lab {path}: {error}") from error
    for fault in faults:
        if isinstance(fault, RankFault) or fault.when is not None:
            why = "only faults of hosts that last can lie on a lab (no `rank`, no `when`)"
            raise InputError(f"--lab {path}: fault {fault.__struct_config__.tag}: {why}")
    return topology, faults


def _read(raw: dict[str, Any], path: Path) -> tuple[Topology, tuple[FaultSpec, ...]]:
    try:
        if "lab" not in raw:
            return msgspec.convert(raw, Topology), ()
        known = [field.encode_name for field in msgspec.structs.fields(file_type())]
        for name in raw:
            if name not in known:
                hint = did_you_mean(name, known, f"these are: {', '.join(known)}")
                raise InputError(f"--lab {path}: {name}: no field of a scenario; {hint}")
        whole = {"title": str(path), "expect": {"verdict": "healthy"}, "lab": raw["lab"], "fault": raw.get("fault", [])}
        read = msgspec.convert(whole, file_type())
    except msgspec.ValidationError as error:
        raise InputError(f"--lab {path}: {error} (see `commcheck scenario check --schema`, `lab`)") from error
    assert read.lab is not None
    return read.lab, read.fault
