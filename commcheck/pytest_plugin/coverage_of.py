"""Whether coverage measures this process, and how: so that ranks measure themselves in the same way."""

from __future__ import annotations

import sys
from typing import Any


def measuring() -> dict[str, str | bool | tuple[str, ...] | None] | None:
    """The options of the Coverage that runs now; None where none does."""
    module = sys.modules.get("coverage")
    current: Any = module.Coverage.current() if module is not None else None
    if current is None:
        return None
    config = current.config
    return {
        "data_file": str(config.data_file),
        "config_file": config.config_file or False,
        "branch": bool(config.branch),
        "source": tuple(config.source) if config.source else None,
        "include": tuple(config.run_include) if config.run_include else None,
        "omit": tuple(config.run_omit) if config.run_omit else None,
    }
