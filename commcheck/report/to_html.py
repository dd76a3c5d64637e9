"""The report as one page that opens without a network: no script, no font, no picture from elsewhere. Where there are too many
ranks to draw each, a script of our own (`lanes.js`, the only one that the page's policy lets run) tells what one points at.

Everything that a log or a host has said is escaped by the template engine; the template is `page.html.j2`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from commcheck.catalog.symptoms import row
from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import Diagnosis, Moment, Report, Role, Verdict
from commcheck.report.clean import one_line, visible
from commcheck.report.lanes import drawn, seconds_text
from commcheck.report.phase_lanes import chart, late
from commcheck.report.phases import bad_text, summarize
from commcheck.report.text_fix import fix_lines, slot_names
from commcheck.report.text_time import when
from commcheck.report.text_world import headline, proof_lines, started_lines
from commcheck.report.to_text import alike, confidence_words, place

Context = Mapping[tuple[str, int], tuple[tuple[int, str], ...]]
"""By source and line number: the lines around it, each with its number."""

_WIDTH, _LEFT, _LANE = 960, 150, 26  # of the picture, in its own units
_MOST_ROWS = 200  # of a table


class Mark(NamedTuple):
    """A moment in the picture."""

    x: float
    y: int
    moment: Moment
    when: str
    kind: str


class Lane(NamedTuple):
    """The moments of the same ranks, one under the other."""

    name: str
    y: int


class Picture(NamedTuple):
    """The time-line, drawn: where nothing is known of the time, by order."""

    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    height: int
    begin: str
    end: str


def environment(*directories: str) -> jinja2.Environment:
    """How the pages of all reports are made: what the templates of `directories` and this one's parts need."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader((*directories, os.path.dirname(__file__))),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(
        visible=visible, line=one_line, ranks=ranks_text, sure=confidence_words, when=when, symptom=_symptom,
        alike=alike, place=place, fix_lines=fix_lines, seconds=seconds_text,
    )  # fmt: skip
    return made


@cache
def _template() -> jinja2.Template:
    return environment().get_template("page.html.j2")


@cache
def lanes_script() -> str:
    """What makes a time-line of many lanes tell its times."""
    with open(os.path.join(os.path.dirname(__file__), "lanes.js"), encoding="utf-8") as file:
        return file.read()


def script_hashes(*scripts: str) -> Markup:
    """By which a page's policy knows its scripts, each in quotes."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts if script)
    return Markup(" ").join(Markup(f"'sha256-{digest}'") for digest in digests)  # noqa: S704 (letters and digits)


def render(report: Report, context: Context | None = None) -> str:
    """The page, as text that ends with a newline."""
    # A cause comes again with each symptom that it may show: on a page once is enough.
    first: dict[str, Diagnosis] = {}
    for diagnosis in report.diagnoses:
        if diagnosis.role is Role.ROOT:
            first.setdefault(diagnosis.cause, diagnosis)
    names = slot_names(report.world)
    world = report.world
    made = chart(report.phases, world.seconds if world is not None else 0.0)
    lanes = None if made is None else drawn(made)
    script = lanes_script() if lanes is not None and not lanes.lanes else ""
    return (
        _template().render(
            report=report,
            headline=headline(report),
            roots=list(first.values()),
            consequences=[d for d in report.diagnoses if d.role is not Role.ROOT],
            around=lambda e: () if e.line is None else (context or {}).get((e.source, e.line), ()),
            names=names,
            picture=_picture(report.timeline),
            phases=[(p, bad_text(p)) for p in summarize(report.phases)],
            proof=proof_lines(world) if world is not None and report.verdict is not Verdict.UNHEALTHY else (),
            started=started_lines(world, healthy=report.verdict is Verdict.HEALTHY) if world is not None else (),
            lanes=lanes,
            late=late(made) if made is not None else (),
            script=Markup(script),  # noqa: S704 (our own file)
            script_hash=script_hashes(script),
            rows=_MOST_ROWS,
            width=_WIDTH,
            left=_LEFT,
        )
        + "\n"
    )


def _symptom(diagnosis: Diagnosis) -> str:
    return row(diagnosis.symptom).definition


def _picture(moments: tuple[Moment, ...]) -> Picture | None:
    """Lanes of ranks, time to the right; None where there is nothing to compare."""
    if len(moments) < 2:
        return None
    lanes: dict[str, Lane] = {}
    for moment in moments:
        name = ranks_text(moment.ranks) or "rank not known"
        lanes.setdefault(name, Lane(name, 20 + _LANE * len(lanes)))
    timed = all(m.seconds is not None for m in moments)
    times = _running([m.seconds or 0.0 for m in moments]) if timed else [float(n) for n in range(len(moments))]
    span = (max(times) - min(times)) or 1.0
    marks = tuple(
        Mark(
            x=round(_LEFT + 20 + (time - min(times)) / span * (_WIDTH - _LEFT - 40), 1),
            y=lanes[ranks_text(moment.ranks) or "rank not known"].y,
            moment=moment,
            when=when(moment),
            kind="none" if moment.role is None else moment.role.value,
        )
        for moment, time in zip(moments, times, strict=True)
    )
    begin, end = (when(moments[0]), when(moments[-1])) if timed else ("first", "last (the times are not known)")
    return Picture(tuple(lanes.values()), marks, 20 + _LANE * len(lanes) + 14, begin, end)


def _running(times: list[float]) -> list[float]:
    """Times of day in their order, past midnight too."""
    day, found = 0.0, [times[0]]
    for before, now in pairwise(times):
        day += 86_400.0 if now < before - 43_200 else 0.0
        found.append(now + day)
    return found
