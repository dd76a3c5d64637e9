"""What a rule's own page says of how to see for oneself that its cause it is: the last part of its docstring."""

import sys
from functools import cache

from commcheck.diagnose.index import index

_HEADING = "**How to confirm"


@cache
def how_to_confirm(cause: str) -> str:
    """That part, on one line; "" for a cause without a page, or where Python was told to leave docstrings out."""
    module = next((listed.module for listed in index().rules if listed.cause == cause), "")
    page = getattr(sys.modules.get(module), "__doc__", None) or ""
    text = page.partition(_HEADING)[2]
    return " ".join(text.lstrip(".*").split())
