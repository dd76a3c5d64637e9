"""Hypothesis: this process draws, the ranks of a new world run each example.

So every rank gets the same example, an example may hang or crash a rank, and shrinking is Hypothesis's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class _NotHere:
    """What stands for `world` in the process that has no rank."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"world.{name}: this is the pytest process, and no rank")

    def __repr__(self) -> str:
        return "<world>"


NOT_HERE = _NotHere()


def function_of(item: Any) -> Any:
    """The test's function where Hypothesis draws its arguments; None for other tests."""
    if "hypothesis" not in sys.modules or not hasattr(item, "obj"):
        return None
    from hypothesis import is_hypothesis_test

    return getattr(item.obj, "__func__", item.obj) if is_hypothesis_test(item.obj) else None


def draw_here(item: Any, function: Any, execute: Callable[[dict[str, Any]], None]) -> None:
    """Run the test as pytest would, but let Hypothesis hand what it draws to `execute`."""
    from hypothesis import Phase, settings

    handle = function.hypothesis
    original = handle.inner_test
    fixtures = set(item._fixtureinfo.argnames)  # noqa: SLF001 - there is no public name for it

    def example(*_: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        execute({name: value for name, value in kwargs.items() if name not in fixtures and value is not item.instance})

    digest = getattr(original, "_hypothesis_internal_add_digest", None)
    if digest is not None:
        example._hypothesis_internal_add_digest = digest  # type: ignore[attr-defined]  # noqa: SLF001
    before: settings = function._hypothesis_internal_use_settings  # noqa: SLF001
    usual = settings.default
    try:
        handle.inner_test = example
        # A world takes tens of milliseconds on an idle machine: that is no statement about the code under test.
        deadline = None if usual is not None and before.deadline == usual.deadline else before.deadline
        # An explanation would tell which lines of this process a failure runs: commcheck's own.
        phases = [p for p in before.phases if p is not Phase.explain]
        function._hypothesis_internal_use_settings = settings(before, deadline=deadline, phases=phases)  # noqa: SLF001
        type(item).runtest(item)
    finally:
        handle.inner_test = original
        function._hypothesis_internal_use_settings = before  # noqa: SLF001
