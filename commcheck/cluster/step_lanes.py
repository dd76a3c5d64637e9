"""The steps of a cluster's run on a time-line with a lane per host, and who was waited for. Pure."""

from __future__ import annotations

from statistics import median

from commcheck.cluster.steps import START
from commcheck.model.base import Value
from commcheck.model.cluster import ClusterReport, Step
from commcheck.report.lanes import Chart, Column, Kind

NOTICED = 0.1
"""Seconds of waiting from which a step is counted: answers are looked for every 0.02 s, and a machine is busy at times."""
_KNOWN: dict[str, tuple[str, tuple[int, int, int]]] = {
    "facts": ("says what it is", (140, 150, 164)),
    "reach": ("tries all others", (0, 158, 115)),
    "quiet": ("a link with few others talking", (0, 114, 178)),
    "again": ("a link once more, alone", (204, 121, 167)),
    "loaded": ("links while all talk", (230, 159, 0)),
    "loaded again": ("while all talk, once more", (125, 107, 181)),
}
_OTHER = ("another test", (86, 180, 233))
KINDS = tuple(Kind(name=text, colour=colour) for text, colour in (*_KNOWN.values(), _OTHER))
_KIND = {name: number for number, name in enumerate(_KNOWN)}


class Waited(Value, frozen=True):
    """A host for which the others waited: in how many steps, for how many seconds in all beyond the usual host's time, and
    the step with the most of them. `silent`: it gave no answer at all in some."""

    host: str
    steps: int
    seconds: float
    most: str
    longest: float
    silent: bool


def chart(report: ClusterReport) -> Chart | None:
    """The time-line of a run; None where the report does not tell (one of an earlier release)."""
    steps = [s for s in report.steps if s.name != START]
    if not steps:
        return None
    return Chart(
        what="host",
        names=tuple(h.name for h in report.hosts),
        kinds=KINDS,
        columns=tuple(_column(s, len(report.hosts)) for s in steps),
        end=max(s.begin + s.seconds for s in steps),
    )


def waited(report: ClusterReport) -> tuple[Waited, ...]:
    """The hosts that held up the others, those that cost the most first."""
    found: dict[int, list[tuple[float, Step]]] = {}
    silent: set[int] = set()
    for step in report.steps:
        lost = _lost(step)
        if step.name == START or lost < NOTICED:
            continue
        silent.update(step.silent)
        for host in step.waited_for:
            found.setdefault(host, []).append((lost, step))
    made = []
    for host, costs in found.items():
        if not 0 <= host < len(report.hosts):
            continue
        longest, most = max(costs, key=lambda c: c[0])
        made.append(
            Waited(
                host=report.hosts[host].name,
                steps=len(costs),
                seconds=sum(lost for lost, _ in costs),
                most=name_of(most),
                longest=longest,
                silent=host in silent,
            )
        )
    return tuple(sorted(made, key=lambda w: (-w.seconds, w.host)))


def name_of(step: Step) -> str:
    """A step for reading."""
    return f"{step.name}, round {step.round}" if step.round else step.name


def _lost(step: Step) -> float:
    """Seconds beyond what the usual host took."""
    known = [t for t in step.took if t is not None]
    return step.seconds - median(known) if known else step.seconds


def _column(step: Step, hosts: int) -> Column:
    took: list[float | None] = [*step.took[:hosts], *([None] * (hosts - len(step.took)))]
    bad = {}
    for host in step.silent:
        if 0 <= host < hosts:
            took[host], bad[host] = step.seconds, "gave no answer"
    return Column(
        name=name_of(step),
        kind=_KIND.get(step.name, len(_KNOWN)),
        begins=[step.begin] * hosts,
        seconds=took,
        late=frozenset(h for h in step.waited_for if 0 <= h < hosts and _lost(step) >= NOTICED),
        bad=bad,
    )
