"""The ranks' reports in what a launcher passed on: records on standard output, merged as if they lay in a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from commcheck.errors import InputError

if TYPE_CHECKING:
    from commcheck.model.case import Case
    from commcheck.model.rankreport import RankReport
    from commcheck.runtime.records import Collector, Message


class Collected(NamedTuple):
    """The case, what is to be said of where it comes from, and how many ranks have ended their watch."""

    case: Case
    notes: tuple[str, ...]
    done: int


_NAMED = 6
"""Ranks or reasons that one note names."""


def collected(records: Collector, *, run: str = "", cut: bool = False) -> Collected | None:
    """What the records tell; None where there are none. `run`: that one alone,
    else the last. `cut`: the text was not read to its end, so that who says nothing there may do so later."""
    from msgspec.structs import replace

    from commcheck.runtime.reports import SAME_RUN, current, merged
    from commcheck.runtime.speaker import KIND

    messages = tuple(m for m in records.messages() if m.kind == KIND and run in ("", m.run))
    reports, notes = _reports(messages)
    if not reports:
        return None
    newest = max(reports, key=lambda key: reports[key].begun)
    last = run or newest[0]
    of_last = [report for (of, _, _), report in reports.items() if of == last]
    there = tuple(r for r in of_last if reports[newest].begun - r.begun <= SAME_RUN or run)
    heard = {(m.run, m.rank) for m in messages}
    torn = [t for t in records.torn() if t.kind == KIND and t.run == last]
    lost = sorted({t.rank for t in torn if (t.run, t.rank) not in heard})
    if lost:
        notes.append(
            f"rank {', '.join(lost[:_NAMED])}{' and more' if len(lost) > _NAMED else ''} said something that is torn: of it "
            "nothing is known, and it is not taken to be missing; --report-dir DIR that all ranks share cannot be torn"
        )
    if earlier := len({of for of, _, _ in reports}) - 1:
        notes.append(f"{earlier} earlier run(s) in the same text were left out")
    silent = sorted(r.rank.name for r in there if not r.done)
    if silent and not cut:
        names = ", ".join(map(str, silent[:_NAMED]))
        notes.append(
            f"the last word of rank {names}{' and more' if len(silent) > _NAMED else ''} is not there: it was ended before, "
            "or what it said is cut off or torn"
        )
    case = merged(current(there), complete=not lost and not cut)
    return Collected(
        case=replace(case, not_read=tuple(dict.fromkeys((*case.not_read, *notes)))),
        notes=(_said(last, len(there)),),
        done=len(there) - len(silent),
    )


def _said(run: str, count: int) -> str:
    named = "" if run == "-" else f" of run {run}"
    return f"merged from the records of {count} rank(s){named} on the launcher's output"


def _reports(messages: tuple[Message, ...]) -> tuple[dict[tuple[str, str, str], RankReport], list[str]]:
    """The last report of each process (by run, rank and process), and what could not be read."""
    from commcheck.runtime.speaker import heard

    found: dict[tuple[str, str, str], RankReport] = {}
    notes: list[str] = []
    for message in messages:
        try:
            report = heard(message)
        except InputError as error:
            notes.append(str(error))
            continue
        key = (message.run, message.rank, message.stream.partition(".")[0])
        if key not in found or report.written >= found[key].written:
            found[key] = report
    return found, list(dict.fromkeys(notes))[:_NAMED]
