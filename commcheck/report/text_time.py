"""The time-line of a report in words: who failed first, and what the others showed after that."""

from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import Moment, Report, Role
from commcheck.report.clean import one_line

_TEXT = 160  # of a moment's line
_HOSTS = 4


def time_lines(report: Report) -> list[tuple[str, str]]:
    """Label and text of each line; nothing where only one thing happened."""
    moments = report.timeline
    if len(moments) < 2:
        return []
    lines = []
    if report.first is not None and len({rank for m in moments for rank in m.ranks}) > 1:
        lines.append(("first", f"{_who(report.first)}: {when(report.first)}{one_line(report.first.text, _TEXT)}"))
    for number, moment in enumerate(moments):
        who = _who(moment)
        follows = ", follows" if moment.role is Role.CONSEQUENCE else ""
        text = f"{when(moment)}{f'{who}: ' if who else ''}{one_line(moment.text, _TEXT)} [{_place(moment)}{follows}]"
        lines.append(("time-line" if number == 0 else "", text))
    return lines


def when(moment: Moment) -> str:
    """A moment's time of day, as "14:02:09.123 " or "after 14:02:09 "; "" where it is not known."""
    if moment.seconds is None:
        return ""
    minutes, seconds = divmod(moment.seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours:02d}:{minutes:02d}:{seconds:06.3f}".removesuffix(".000")
    return f"{'' if moment.exact else 'after '}{text} "


def _who(moment: Moment) -> str:
    hosts = moment.hosts[:_HOSTS]
    more = ", ..." if len(moment.hosts) > _HOSTS else ""
    where = f" on {', '.join(map(one_line, hosts))}{more}" if hosts else ""
    return f"{ranks_text(moment.ranks)}{where}".strip()


def _place(moment: Moment) -> str:
    return f"{one_line(moment.source, 60)}:{moment.line}"
