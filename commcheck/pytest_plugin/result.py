"""From what the ranks report to what pytest is to report: one outcome, warnings, properties."""

from __future__ import annotations

import builtins
import importlib
import warnings
from typing import Any

import pytest

from commcheck.model.base import ranks_text
from commcheck.model.trial import Warned
from commcheck.pytest_plugin.failure import LOST, failed
from commcheck.pytest_plugin.ranks import OneRank, Ran


def settle(item: Any, ran: Ran) -> None:
    """Raise what the test comes to: a failure where any rank failed, an expected one or a skip where all ranks agree."""
    item.commcheck_ran = ran
    _pass_on(item, ran)
    if not any(_unexpected(r) for r in ran.ranks):
        expected = [report for r in ran.ranks for report in r.reports if "wasxfail" in report and _skipped(report)]
        if expected:
            pytest.xfail(str(expected[0]["wasxfail"]).removeprefix("reason: "))
    error = failed(item.config, ran)
    if error is not None:
        raise error
    skips = [_reason(r) for r in ran.ranks]
    if all(skips):
        pytest.skip("; ".join(dict.fromkeys(s for s in skips if s)))
    for reason in dict.fromkeys(s for s in skips if s):
        who = ranks_text(r.number for r, s in zip(ran.ranks, skips, strict=True) if s == reason)
        item.add_report_section("call", "skipped", f"{who}: {reason}\n")


def _unexpected(rank: OneRank) -> bool:
    """It died or failed in a way that no xfail mark foresees. One that has not come to its end is no verdict, and neither
    is one that has lost another rank, which may have failed as foreseen."""
    own = [r for r in rank.reports if r["outcome"] == "failed" and not _unexpected_pass(r) and not _lost(r)]
    return bool(own) or (rank.died and not rank.complete)


def _lost(report: dict[str, Any]) -> bool:
    longrepr = report.get("longrepr")
    crash = longrepr.get("reprcrash") if isinstance(longrepr, dict) else None
    return bool(crash and LOST.search(crash["message"]))


def _unexpected_pass(report: dict[str, Any]) -> bool:
    """A strict xfail mark, and this rank passed: whether the test did is seen when all ranks are."""
    return str(report.get("longrepr") or "").startswith("[XPASS(strict)]")


def _skipped(report: dict[str, Any]) -> bool:
    return bool(report["outcome"] == "skipped")


def _reason(rank: OneRank) -> str:
    """Why the rank has skipped the test; empty where it has not."""
    for report in rank.reports:
        if _skipped(report) and "wasxfail" not in report:
            longrepr = report.get("longrepr")
            text = longrepr[2] if isinstance(longrepr, list | tuple) else str(longrepr)
            return str(text).removeprefix("Skipped: ") or "skipped"
    return ""


def _pass_on(item: Any, ran: Ran) -> None:
    """Warnings and properties of the ranks, alike ones once."""
    known: dict[Warned, list[int]] = {}
    for rank in ran.ranks:
        for warned in rank.warnings:
            known.setdefault(warned, []).append(rank.number)
        for report in rank.reports[-1:]:
            item.user_properties += [tuple(p) for p in report.get("user_properties", ())]
    for warned, numbers in known.items():
        who = "" if len(set(numbers)) == len(ran.ranks) else f" [{ranks_text(numbers)}]"
        category = _category(warned.category)
        message = warnings.WarningMessage(category(f"{warned.text}{who}"), category, warned.filename, warned.lineno)
        item.ihook.pytest_warning_recorded.call_historic(
            kwargs={"warning_message": message, "when": "runtest", "nodeid": item.nodeid, "location": None}
        )


def _category(name: str) -> type[Warning]:
    """The class of a warning, where it is known here and can be made from a text."""
    module, _, qualname = name.partition(":")
    found: Any = getattr(builtins, qualname, None)
    if module != "builtins":
        try:
            found = getattr(importlib.import_module(module), qualname) if module.startswith("pytest") else None
        except (ImportError, AttributeError):
            found = None
    return found if isinstance(found, type) and issubclass(found, Warning) else UserWarning
