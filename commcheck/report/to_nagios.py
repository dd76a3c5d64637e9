"""The report as a plugin of Nagios, Icinga or Checkmk answers: one line, the state first, then figures after a bar."""

from commcheck.model.diagnosis import Report, Role, Verdict
from commcheck.report.clean import one_line
from commcheck.report.phases import summarize
from commcheck.report.text_world import headline

STATES = {Verdict.HEALTHY: "OK", Verdict.UNHEALTHY: "CRITICAL", Verdict.INCONCLUSIVE: "UNKNOWN"}
EXITS = {"healthy": 0, "unhealthy": 2, "inconclusive": 3}
"""What a plugin returns, by the verdict: not commcheck's own codes. 1 is a warning, of which there is none."""
_LONG = 400


def render(report: Report) -> str:
    """One line of state and figures; further lines say what to do."""
    root = next((d for d in report.diagnoses if d.role is Role.ROOT), None)
    said = headline(report)
    if report.verdict is Verdict.UNHEALTHY and root is not None:
        said += f": {root.title}"
    figures = [("time", f"{report.seconds:.3f}s")]
    if report.world is not None:
        figures.append(("ranks", str(report.world.size)))
    figures += [(phase.phase, f"{phase.seconds:.3f}s") for phase in summarize(report.phases)]
    more = [f"do: {fix.text}" for fix in root.fixes] if root is not None and report.verdict is Verdict.UNHEALTHY else []
    return lines(report.verdict, said, figures, more)


def lines(verdict: Verdict, said: str, figures: list[tuple[str, str]], more: list[str]) -> str:
    """The answer. A bar in the text would begin the figures, so there is none."""
    data = " ".join(f"{_label(name)}={value}" for name, value in figures)
    first = f"COMMCHECK {STATES[verdict]} - {_plain(said)} | {data}"
    return "".join(f"{line}\n" for line in (first, *(_plain(text) for text in more)))


def _label(name: str) -> str:
    """A figure's name: quoted where it has a space; a quote or an equals sign would end it."""
    plain = _plain(name).replace("'", "").replace("=", "")
    return f"'{plain}'" if " " in plain else plain


def _plain(text: str) -> str:
    return one_line(text, _LONG).replace("|", "/")
