"""The report for a person: one screen, the verdict first, then what, where, why and what to do."""

from msgspec.structs import replace

from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import Diagnosis, Evidence, Link, Report, Role, Verdict
from commcheck.model.taxonomy import Stage
from commcheck.report.clean import one_line, wrap
from commcheck.report.phases import PhaseSummary, bad_text, summarize
from commcheck.report.text_fix import fix_lines, slot_names
from commcheck.report.text_time import time_lines
from commcheck.report.text_world import headline, proof_lines, started_lines

FULL = 2  # root diagnoses that are shown in full; the others get a line each
EVIDENCE = 5  # pieces of evidence shown per diagnosis
LABEL = 12  # width of the column of labels

_COLORS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
VERDICT_STYLE = {Verdict.HEALTHY: "green", Verdict.UNHEALTHY: "red", Verdict.INCONCLUSIVE: "yellow"}
_STAGE = {
    Stage.BUILD: "build and import",
    Stage.SETUP: "communication setup",
    Stage.PREPARATION: "data and model preparation",
    Stage.TRAINING: "training",
}


class Page:
    """Lines of a report under construction: wraps prose, never a command."""

    def __init__(self, *, color: bool, width: int) -> None:
        self.color = color
        self.width = width
        self.lines: list[str] = []

    def paint(self, text: str, *styles: str) -> str:
        """Text in colour, where colour is wanted."""
        if not self.color or not styles:
            return text
        return f"\x1b[{';'.join(_COLORS[s] for s in styles)}m{text}\x1b[0m"

    def blank(self) -> None:
        """An empty line, unless there is one."""
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def row(self, label: str, text: str, style: str = "") -> None:
        """A labelled paragraph with a hanging indent; an empty label continues the one above."""
        space = max(20, self.width - LABEL - 2)
        wrapped = wrap(one_line(text), space)
        for number, line in enumerate(wrapped):
            head = self.paint(f"{one_line(label) if number == 0 else '':<{LABEL}}", "dim")
            self.lines.append(f"  {head}{self.paint(line, style) if style else line}".rstrip())

    def title(self, text: str, tag: str) -> None:
        """A diagnosis's sentence, and what to call it."""
        space = max(40, self.width)
        *whole, last = wrap(text, space)
        self.lines += [self.paint(line, "bold") for line in whole]
        self.lines.append(self.paint(last, "bold"))
        if len(last) + 2 + len(tag) <= space:
            self.lines[-1] += f"  {tag}"
        else:
            self.lines.append(f"  {tag}")

    def raw(self, text: str, label: str = "") -> None:
        """A line to copy: stays whole, however long."""
        self.lines.append(f"  {self.paint(f'{label:<{LABEL}}', 'dim') if label else ' ' * LABEL}{text}".rstrip())


def render(report: Report, *, color: bool = False, width: int = 100) -> str:
    """The report as text that ends with a newline."""
    page = Page(color=color, width=width)
    page.lines.append(
        f"{page.paint(report.verdict.value.upper(), 'bold', VERDICT_STYLE[report.verdict])}  {headline(report)}  "
        f"({report.seconds:.1f} s)"
    )
    roots = [d for d in report.diagnoses if d.role is Role.ROOT]
    shown: dict[tuple[Evidence, ...], int] = {}  # evidence -> the diagnosis under which it stands
    # A cause that stands there again, with another symptom, is last and gets a line.
    full = [d for number, d in enumerate(roots[:FULL]) if all(d.cause != other.cause for other in roots[:number])]
    for number, diagnosis in enumerate(full, 1):
        first = shown.setdefault(diagnosis.evidence, number)
        show_diagnosis(page, diagnosis, number if len(full) > 1 else 0, slot_names(report.world), first)
    _others(page, roots[len(full) :], [d for d in report.diagnoses if d.role is not Role.ROOT])
    if report.world is not None and report.verdict is not Verdict.UNHEALTHY:
        page.blank()
        for label, text in proof_lines(report.world):
            page.row(label, text)
    elif report.world is not None:
        page.blank()
    _phases(page, report)
    if report.world is not None:
        for label, text in started_lines(report.world, healthy=report.verdict is Verdict.HEALTHY):
            page.row(label, text)
    page.blank()
    for label, text in time_lines(report):
        page.row(label, text)
    page.blank()
    for label, texts in (("not judged", report.not_evaluated), ("next", report.next), ("note", report.notes)):
        for text in texts[:6]:
            page.row(label, text)
        if len(texts) > 6:
            page.row("", f"and {len(texts) - 6} more (--format json shows all)")
    if report.replay and report.verdict is not Verdict.HEALTHY:
        page.raw(one_line(report.replay), "again")
    while page.lines and not page.lines[-1]:
        page.lines.pop()
    return "\n".join(page.lines) + "\n"


def confidence_words(value: float) -> str:
    """A number that is a judgement needs a word."""
    for bound, words in ((0.9, "almost certain"), (0.7, "likely"), (0.4, "possible")):
        if value >= bound:
            return words
    return "a guess"


def show_diagnosis(page: Page, diagnosis: Diagnosis, number: int, names: dict[int, str], same: int) -> None:
    """One in full. `same`: the diagnosis under which this one's evidence stands already, or its own number."""
    page.blank()
    title = f"{f'{number}. ' if number else ''}{one_line(diagnosis.title)}"
    page.title(title, f"[{one_line(f'{diagnosis.code} {diagnosis.cause}')}]")
    where = place(diagnosis)
    if where:
        page.row("where", where, "bold")
    page.row("symptom", f"{diagnosis.symptom.value} (stage of a job: {_STAGE[diagnosis.stage]})")
    page.row("confidence", f"{confidence_words(diagnosis.confidence)} ({diagnosis.confidence:.2f})")
    if number and same != number and diagnosis.evidence:
        page.row("why", f"what is said for {same} fits this too")
    else:
        _evidence(page, "why", diagnosis.evidence)
    _evidence(page, "against", diagnosis.against)
    for fix in diagnosis.fixes:
        page.row("do", fix.text)
        prose, commands = fix_lines(fix, names)
        for command in commands:
            page.raw(page.paint(command, "bold"))
        style = {True: "green", False: "yellow", None: ""}[fix.verified]
        if prose:
            page.row("", prose, style)
        if fix.frequency:
            page.row("", f"such a repair mended {fix.frequency}")
    if diagnosis.confirm:
        page.row("confirm", diagnosis.confirm)


def _evidence(page: Page, label: str, pieces: tuple[Evidence, ...]) -> None:
    found = alike(pieces)
    for number, (piece, ranks) in enumerate(found[:EVIDENCE]):
        source = f"{piece.source}:{piece.line}" if piece.line is not None else piece.source
        origin = ", ".join(filter(None, (ranks_text(ranks), piece.kind.value, one_line(source, 60))))
        page.row(label if number == 0 else "", f"{one_line(piece.text, 400)} [{origin}]")
    if len(found) > EVIDENCE:
        page.row("", f"and {len(found) - EVIDENCE} more (--format json shows all)")


def alike(pieces: tuple[Evidence, ...]) -> list[tuple[Evidence, tuple[int, ...]]]:
    """Each observation once, with the ranks that show it: what several show alike is one to a reader."""
    found: dict[Evidence, list[int]] = {}
    for piece in pieces:
        found.setdefault(replace(piece, rank=None), []).extend(() if piece.rank is None else (piece.rank,))
    return [(piece, tuple(ranks)) for piece, ranks in found.items()]


def place(diagnosis: Diagnosis) -> str:
    """Its ranks, hosts and links; of many the first, and how many more."""
    return "; ".join(filter(None, (ranks_text(diagnosis.ranks), _hosts(diagnosis.hosts), _links(diagnosis.links))))


def _hosts(hosts: tuple[str, ...]) -> str:
    if not hosts:
        return ""
    return f"host{'s' if len(hosts) > 1 else ''} {_list(hosts)}"


def _links(links: tuple[Link, ...]) -> str:
    names = tuple(f"{k.source} -> {k.target}{'' if k.port is None else f' port {k.port}'}" for k in links)
    return f"link{'s' if len(names) > 1 else ''} {_list(names)}" if names else ""


def _list(names: tuple[str, ...], limit: int = 6) -> str:
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def _others(page: Page, roots: list[Diagnosis], consequences: list[Diagnosis]) -> None:
    if roots or consequences:
        page.blank()
    for diagnosis in roots[:6]:
        ranks = ranks_text(diagnosis.ranks)
        page.row(
            "or else",
            f"{one_line(diagnosis.title)} [{diagnosis.code} {diagnosis.cause}]{f', {ranks}' if ranks else ''}, "
            f"{confidence_words(diagnosis.confidence)} ({diagnosis.confidence:.2f})",
        )
    if len(roots) > 6:
        page.row("", f"and {len(roots) - 6} more (--format json shows all)")
    if consequences:
        names = tuple(f"{d.cause}{f' ({ranks_text(d.ranks)})' if d.ranks else ''}" for d in consequences)
        page.row("follows", f"{_list(names)}: what comes of it, not causes of their own")


def _phases(page: Page, report: Report) -> None:
    phases = summarize(report.phases)
    if not phases:
        return
    page.blank()
    fine = [p for p in phases if not p.bad]
    if fine:
        page.row(
            "phases", "done: " + ", ".join(f"{p.phase} {p.seconds:.2f}" for p in fine) + " (seconds, slowest rank)"
        )
    for phase in phases:
        if phase.bad:
            page.row(_phase_label(phase), _phase_text(phase), "red" if phase.failed else "")


def _phase_label(phase: PhaseSummary) -> str:
    return phase.phase if len(phase.phase) < LABEL else ""


def _phase_text(phase: PhaseSummary) -> str:
    name = "" if _phase_label(phase) else f"{phase.phase}: "
    return f"{name}{f'done on {phase.ok} of {phase.ranks}; ' if phase.ok else ''}{bad_text(phase)}"
