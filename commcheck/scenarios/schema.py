"""The JSON Schema of a scenario file, for editors that complete and check TOML by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commcheck.model.scenario import SCHEMA
from commcheck.report.schema.generate import published, schema_of
from commcheck.scenarios.kinds import file_type

FILE = Path(__file__).with_name("commcheck-scenario-1.json")


def schema() -> dict[str, Any]:
    """The schema as a mapping."""
    return schema_of(file_type(), SCHEMA)


def text() -> str:
    """The schema as it is published."""
    return published(schema())
