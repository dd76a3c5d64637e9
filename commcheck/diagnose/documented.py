"""What a rule's own page says of how to see for oneself that its cause it is: the last part of its docstring."""

import sys
from functools import cache

from commcheck.diagnose.index import RULES

_HEADING = "**How to confirm"


@cache
def how_to_confirm(cause: str) -> str:
    """That part, on one line; "" for a cause without a page, or where Python was told to leave docstrings out."""
    # A cause that was found is one whose module was imported; the index knows all others too, and may have to be made.
    modules = [module for name, module in sys.modules.items() if name.startswith(RULES)]
    page = next((m.__doc__ or "" for m in modules if getattr(getattr(m, "RULE", None), "cause", "") == cause), "")
    text = page.partition(_HEADING)[2]
    return " ".join(text.lstrip(".*").split())
