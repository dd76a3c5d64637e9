"""The types of the report as a JSON Schema."""

from pathlib import Path
from typing import Any

import msgspec

from commcheck.model.diagnosis import SCHEMA, Report

FILE = Path(__file__).with_name("commcheck-report-1.json")


def schema() -> dict[str, Any]:
    """The schema as a mapping."""
    generated: dict[str, Any] = msgspec.json.schema(Report)
    # The version is part of the contract, so a reader may reject any other by the schema alone.
    generated["$defs"]["Report"]["properties"]["schema"] = {"const": SCHEMA}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        "title": SCHEMA,
        **generated,
    }


def text() -> str:
    """The schema as it is published."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"
