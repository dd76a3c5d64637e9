"""A cluster's report as JSON; `commcheck cluster --since` reads it again."""

from typing import Any

import msgspec

from commcheck.cluster.heat import Matrix
from commcheck.cluster.history import Comparison
from commcheck.model.cluster import ClusterReport
from commcheck.report.clean import visible


def render(report: ClusterReport, changes: Comparison | None = None) -> str:
    """A line per field, a row of a matrix within its line: a thousand hosts are a million numbers. `changes` are not in it:
    they say of two reports what each of them does not know."""
    fields = [
        f"  {_encoded(name)}: {(_rounded if name in _NUMBERS else _encoded)(getattr(report, name))}"
        for name in report.__struct_fields__
    ]
    body = ",\n".join(fields)
    return f"{{\n{body}\n}}\n"


_NUMBERS = ("latency_us", "gbit", "gbit_loaded")


_MOST = 1e300  # rounded up, a larger one would be no number any more


def _rounded(matrix: Matrix) -> str:
    """Five digits of each number: a measurement has no more, and a thousand hosts have three million."""
    rows = (",".join([f"{v:.5g}" if v is not None and -_MOST < v < _MOST else "null" for v in row]) for row in matrix)
    return f"[{','.join(f'[{row}]' for row in rows)}]"


def _encoded(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # text out of undecodable bytes, which JSON cannot hold
        return msgspec.json.encode(_shown(msgspec.to_builtins(value))).decode()


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_shown(key): _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value
