"""The report as JSON, by the schema in `commcheck/report/schema/`. Fields keep the order of `Report`."""

from typing import Any

import msgspec

from commcheck.model.diagnosis import Report
from commcheck.report.clean import visible


def render(report: Report) -> str:
    """Indented JSON with a newline at its end."""
    try:
        raw = msgspec.json.encode(report)
    except UnicodeEncodeError:
        # Text out of undecodable bytes (a binary log, an odd variable) holds lone surrogates, which JSON cannot.
        raw = msgspec.json.encode(_encodable(msgspec.to_builtins(report)))
    return msgspec.json.format(raw, indent=2).decode() + "\n"


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value
