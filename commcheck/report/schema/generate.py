"""The types of the report as a JSON Schema."""

from pathlib import Path
from typing import Any

import msgspec

from commcheck.model.diagnosis import SCHEMA, Report

FILE = Path(__file__).with_name("commcheck-report-1.json")


def schema() -> dict[str, Any]:
    """The schema as a mapping."""
    generated = schema_of(Report, SCHEMA)
    # The version is part of the contract, so a reader may reject any other by the schema alone.
    generated["$defs"]["Report"]["properties"]["schema"] = {"const": SCHEMA}
    return generated


def text() -> str:
    """The schema as it is published."""
    return published(schema())


def schema_of(kind: type, name: str) -> dict[str, Any]:
    """The JSON Schema of a type, under the name and version of its contract ("commcheck/report/1")."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{name.replace('/', ':')}",
        "title": name,
        **msgspec.json.schema(kind),
    }


def published(schema: dict[str, Any]) -> str:
    """A schema as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"
