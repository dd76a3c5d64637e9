"""One readable failure: the rank that failed first leads, alike failures are told once, what follows is marked as such."""

from __future__ import annotations

import re
import signal
from functools import cache
from typing import Any

from _pytest._code.code import ExceptionChainRepr, ExceptionRepr, ReprFileLocation, ReprTraceback

from commcheck.model.base import ranks_text, sentence
from commcheck.model.case import Ended
from commcheck.pytest_plugin.diagnosis import diagnosis_text, told
from commcheck.pytest_plugin.ranks import THROUGH, OneRank, Ran
from commcheck.pytest_plugin.stacks import LIBRARIES, where

LOST = re.compile(
    r"Connection (?:closed|reset) by peer|Broken pipe|Connection refused|recvValue failed|sendBytes failed"
    r"|Timed out waiting \d+ms|wait timeout after|Application timeout|Software caused connection abort"
)
"""How a rank's libraries say that another one has gone, or has not come."""


class WorldFailedError(Exception):
    """A test has failed on the ranks of its world. `lead`: what failed first; `sections`: what is shown below it."""

    def __init__(self, message: str, place: tuple[str, int]) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.heading = ""
        self.lead: Any = None
        self.sections: list[tuple[str, str]] = []


def failed(config: Any, ran: Ran) -> WorldFailedError | None:
    """The failure of a test; None where it did not fail."""
    if ran.ended_by:
        return _error(ran, ran.ended_by, _place(ran, None), waiting=True)
    failures = _failures(config, ran)
    died = [r for r in ran.ranks if r.died and not _reported(r)]
    lost = [f for f in failures if f.lost]
    real = [f for f in failures if not f.lost]
    if not failures and any(not r.begun for r in ran.ranks):
        return _error(ran, "the world of the test did not form", _place(ran, None), waiting=False)
    if died and (not real or min(f.at for f in real) > _moment(died)):
        return _of_dead(ran, died, failures)
    if real:
        return _of_failures(ran, real[0], [f for f in failures if f is not real[0]])
    if any(not r.complete for r in ran.ranks) and not lost:
        return _of_hang(ran)
    if lost:
        return _of_failures(ran, lost[0], lost[1:])
    return None


@cache
def _class_of(place: tuple[str, int], kind: str) -> type[WorldFailedError]:
    """A class of its own for every place and kind of failure: Hypothesis tells failures apart by that, and must not shrink
    one into another."""
    return type(WorldFailedError.__name__, (WorldFailedError,), {"__doc__": f"{kind} at {place}"})


class _Failure:
    """A failure that one rank reports, or several alike."""

    def __init__(self, report: Any, rank: OneRank, at: float) -> None:
        self.report = report
        self.ranks = [rank]
        self.at = at
        crash = getattr(report.longrepr, "reprcrash", None)
        self.message = crash.message if crash is not None else report.longreprtext
        self.place = (crash.path, crash.lineno) if crash is not None else ("", 0)
        self.lost = bool(LOST.search(self.message))

    @property
    def line(self) -> str:
        """The failure in a line."""
        path, number = self._own_place()
        return f"{f'{path}:{number}: ' if path else ''}{first_line(self.message).partition(' This is typically')[0]}"

    def _own_place(self) -> tuple[str, int]:
        """Where the test was, rather than the library that it called."""
        traceback = getattr(self.report.longrepr, "reprtraceback", None)
        for entry in reversed(getattr(traceback, "reprentries", ())):
            place = getattr(entry, "reprfileloc", None)
            if place is not None and not any(part in str(place.path) for part in LIBRARIES):
                return str(place.path), place.lineno
        return self.place


def _failures(config: Any, ran: Ran) -> list[_Failure]:
    """What the ranks report, alike ones once, in the order of their time."""
    found: dict[tuple[str, tuple[str, int], str], _Failure] = {}
    for rank in sorted(ran.ranks, key=lambda r: r.failed_at):
        for data in rank.reports:
            if data["outcome"] != "failed" or str(data.get("longrepr") or "").startswith("[XPASS(strict)]"):
                continue
            report = config.hook.pytest_report_from_serializable(config=config, data=dict(data))
            failure = _Failure(report, rank, rank.failed_at)
            known = found.setdefault((failure.message, failure.place, report.when), failure)
            if known is not failure:
                known.ranks.append(rank)
            break
    return list(found.values())


def _reported(rank: OneRank) -> bool:
    return any(r["outcome"] == "failed" for r in rank.reports) or rank.complete


def _moment(ranks: list[OneRank]) -> float:
    """When the first of the ranks that died was last heard of; it cannot have told when it died."""
    return min(r.failed_at for r in ranks)


def _who(ran: Ran, ranks: list[OneRank]) -> str:
    return f"{ranks_text(r.number for r in ranks)} of {len(ran.ranks)}"


def _of_failures(ran: Ran, lead: _Failure, others: list[_Failure]) -> WorldFailedError:
    who = _who(ran, lead.ranks)
    kind = first_line(lead.message).partition(":")[0]
    error = _class_of(lead.place, kind)(f"{who}: {first_line(lead.message)}", lead.place)
    phase = "" if lead.report.when == "call" else f" in the {lead.report.when} of its fixtures"
    order = ", first" if others else ""
    alike = " in the same way" if len(lead.ranks) > 1 else ""
    error.heading = f"{who} failed{phase}{alike}{order}:"
    error.lead = lead.report.longrepr
    for other in others:
        follows = other.lost and not lead.lost
        title = f"{ranks_text(r.number for r in other.ranks)}: {'follows from it' if follows else 'failed too'}"
        error.sections.append((title, other.line if follows else other.report.longreprtext))
    if any(r.doing for r in ran.ranks if not r.complete):
        error.sections.append(("the other ranks then", waiting_text(ran)))
    if lead.lost:
        _with_diagnosis(error, ran)
    return error


def _of_dead(ran: Ran, died: list[OneRank], others: list[_Failure]) -> WorldFailedError:
    alike: dict[str, list[OneRank]] = {}
    for rank in died:
        alike.setdefault(_end(rank), []).append(rank)
    text = "; ".join(f"{_who(ran, ranks)} {how}{_at(ran, ranks[0])}" for how, ranks in alike.items())
    error = _error(ran, text, _place(ran, died[0]), waiting=False)
    for other in others:
        error.sections.insert(0, (f"{ranks_text(r.number for r in other.ranks)}: follows from it", other.line))
    if any(not r.complete and not r.died for r in ran.ranks):
        error.sections.insert(0, ("the other ranks then", waiting_text(ran)))
    return error


def _at(ran: Ran, rank: OneRank) -> str:
    place = where(rank.stack, ran.trial.nodeid)
    return f" at {place}" if place else ""


def _end(rank: OneRank) -> str:
    """How a rank died."""
    ended = rank.record.exit
    assert ended is not None
    if ended.signal:
        name = signal.Signals(ended.signal).name
        return "was killed: the kernel was out of memory" if ended.oom else f"was ended by {name}"
    return f"left with exit code {ended.code}"


def _of_hang(ran: Ran) -> WorldFailedError:
    stuck = [r for r in ran.ranks if not r.complete]
    late = [r for r in stuck if not r.doing]
    what = (
        "stands still"
        if ran.case.ended is Ended.STALLED
        else f"has not ended after {ran.spec.deadline or ran.case.seconds:g} s"
    )
    states: dict[str, list[OneRank]] = {}
    for rank in ran.ranks:
        states.setdefault(_state(rank), []).append(rank)
    doing = "; ".join(sentence((r.number for r in ranks), state).lower() for state, ranks in states.items())
    return _error(ran, f"the test {what}: {doing}", _place(ran, (late or stuck)[0]), waiting=True)


def _error(ran: Ran, message: str, place: tuple[str, int], *, waiting: bool) -> WorldFailedError:
    error = _class_of(place, message.partition(":")[0])(message, place)
    error.heading = message
    if waiting:
        error.sections.append(("who waits for whom", waiting_text(ran)))
    _with_diagnosis(error, ran)
    return error


def _with_diagnosis(error: WorldFailedError, ran: Ran) -> None:
    if ran.judgement is None:
        return
    formed = all(r.begun for r in ran.ranks)
    text = diagnosis_text(ran.judgement, formed=formed)
    if text:
        error.sections.append(("commcheck", text))
        title = told(ran.judgement, formed=formed)[0].title
        if not error.message.endswith(title):
            error.message = f"{error.message}: {title}"


def _state(rank: OneRank) -> str:
    if rank.died:
        return "has ended"
    return rank.doing or (THROUGH if rank.complete else "runs code of the test" if rank.begun else "forms the group")


def waiting_text(ran: Ran) -> str:
    """Every rank, what it is in, and where; alike stacks once."""
    width = max(len(f"rank {r.number}") for r in ran.ranks)
    lines = [
        f"{f'rank {rank.number}':<{width}}  {_state(rank):<48}  {where(rank.stack, ran.trial.nodeid)}".rstrip()
        for rank in ran.ranks
    ]
    alike: dict[tuple[str, ...], list[int]] = {}
    for rank in ran.ranks:
        if rank.stack:
            alike.setdefault(rank.stack, []).append(rank.number)
    for frames, numbers in alike.items():
        lines += ["", f"stack of {ranks_text(numbers)}, most recent call first:", *(f"  {f}" for f in frames)]
    return "\n".join(lines)


def _place(ran: Ran, rank: OneRank | None) -> tuple[str, int]:
    """The file and line that stand for the failure."""
    for one in [rank] if rank is not None else ran.ranks:
        path, _, rest = where(one.stack, ran.trial.nodeid).partition(":")
        if path and rest.split()[0].isdigit():
            return path, int(rest.split()[0])
    return ran.trial.nodeid.partition("::")[0], 0


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def longrepr(error: WorldFailedError) -> ExceptionRepr:
    """The failure as pytest shows it: in colours, in any --tb style, through pytest-xdist, and in a line in the summary."""
    chain: list[Any] = [(ReprTraceback([], error.heading, "value"), None, None)]
    crash = ReprFileLocation(str(error.place[0]), error.place[1], error.message)
    lead = error.lead
    if isinstance(lead, ExceptionChainRepr):
        chain += list(lead.chain)
    elif isinstance(lead, ExceptionRepr):
        chain.append((lead.reprtraceback, lead.reprcrash, None))
    elif lead is not None:
        chain.append((ReprTraceback([], str(lead), "value"), None, None))
    chain[-1] = (chain[-1][0], crash, chain[-1][2])
    shown = ExceptionChainRepr(chain)
    for title, text in error.sections:
        shown.addsection(title, text, "- ")
    notes = getattr(error, "__notes__", ())
    if notes:
        shown.addsection("Hypothesis", "\n".join(notes), "- ")
    return shown
