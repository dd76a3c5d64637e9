"""The JSON Schema of a scenario file, for editors that complete and check TOML by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from commcheck.model.scenario import SCHEMA
from commcheck.scenarios.kinds import file_type

FILE = Path(__file__).with_name("commcheck-scenario-1.json")


def schema() -> dict[str, Any]:
    """The schema as a mapping."""
    generated: dict[str, Any] = msgspec.json.schema(file_type())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        "title": SCHEMA,
        **generated,
    }


def text() -> str:
    """The schema as it is published."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"
