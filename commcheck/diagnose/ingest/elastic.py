"""The file in which a rank under torchrun leaves the exception that ended it (`error.json` beside its logs)."""

import json
from typing import Any


def error_text(data: bytes) -> bytes:
    """The exception as its traceback would be in a log; `data` as it is where it is not of that form.

    torch.distributed.elastic.multiprocessing.errors writes {"message": {"message": ..., "extraInfo": {"py_callstack":
    ...}}}, and in place of the inner object a string where the process died by a signal."""
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        return data
    message = found.get("message") if isinstance(found, dict) else None
    if isinstance(message, str):
        return message.encode("utf-8", "replace")
    if not isinstance(message, dict):
        return data
    extra = message.get("extraInfo")
    text = extra.get("py_callstack") if isinstance(extra, dict) else None
    text = text if isinstance(text, str) and text.strip() else message.get("message")
    return text.encode("utf-8", "replace") if isinstance(text, str) else data
