"""Lines that run on ranks, counted where the pytest process is measured too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def measured(options: Mapping[str, Any] | None) -> Iterator[None]:
    """Measure the block with coverage, into a data file of this process's own beside the given one."""
    if options is None:
        yield
        return
    import coverage

    given: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    tracer = coverage.Coverage(data_suffix=True, **given)
    tracer.start()
    try:
        yield
    finally:
        tracer.stop()
        tracer.save()
