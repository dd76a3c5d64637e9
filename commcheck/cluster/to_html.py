"""A cluster's report as one page that opens without a network: findings first, then the matrices as pictures, what differs,
and the hosts. A small script shows a cell's figures and filters by host; without it everything is still there.

Everything that a host has said is escaped; the page's policy lets no other script run than `heat.js`."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import jinja2
import msgspec
from markupsafe import Markup

from commcheck.cluster import heat
from commcheck.cluster.history import Comparison, rows
from commcheck.cluster.step_lanes import chart, waited
from commcheck.cluster.summary import HostSummary, figures, headline, hosts, roots
from commcheck.model.case import HostFacts
from commcheck.model.cluster import ClusterReport, HostRow, Reach
from commcheck.model.diagnosis import Evidence
from commcheck.report.clean import visible
from commcheck.report.lanes import Drawn, drawn
from commcheck.report.to_html import environment, lanes_script, script_hashes

TABLE_UP_TO = 20
"""Hosts up to which a matrix is a table with its figures in it."""
MOST = 12
"""Findings that are shown at once."""
MARKS = 40
"""Hosts and links of a finding that are marked on the pictures."""
ROWS = 60
"""Changes that are shown."""
_HERE = os.path.dirname(__file__)


class Map(NamedTuple):
    """A matrix on the page: `cells` for few hosts (text, background, ink, title), else `image`."""

    name: str
    title: str
    swatches: list[tuple[str, str]]
    cells: list[list[tuple[str, str, str, str]]]
    image: str


class Kind(NamedTuple):
    """One of the matrices of numbers."""

    name: str
    title: str
    label: str
    unit: str
    more_is_worse: bool
    matrix: heat.Matrix


@cache
def _template() -> jinja2.Template:
    made = environment(_HERE)
    made.filters["figure"] = lambda value: "" if value is None else heat.figure(value)
    return made.get_template("cluster.html.j2")


@cache
def _script() -> str:
    with open(os.path.join(_HERE, "heat.js"), encoding="utf-8") as file:
        return file.read()


def render(report: ClusterReport, changes: Comparison | None = None) -> str:
    """The page, as text that ends with a newline. The report is to be without secrets (commcheck.cluster.clean)."""
    script = _script()
    timeline = _timeline(report)
    lanes = lanes_script() if timeline is not None and not timeline.lanes else ""
    names = [visible(h.name) for h in report.hosts]
    maps, about = _maps(report, names)
    data = {"hosts": names, "matrices": about}
    text = _template().render(
        report=report,
        headline=headline(report),
        figures=figures(report),
        begun=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.begun)) if report.begun else "",
        roots=roots(report),
        consequences=[d for d in report.diagnoses if d not in roots(report)],
        around=_nothing,
        most=MOST,
        rows=ROWS,
        changes=None if changes is None else {"since": changes.since, "rows": rows(changes), "notes": changes.notes},
        maps=maps,
        marks=_marks(report, names) if len(names) > TABLE_UP_TO else [],
        names=names or [""],
        size=len(names),
        example=next(iter((*report.bad_hosts, *names)), ""),
        shown=_shown(report),
        facts=lambda row: list(_facts(row)),
        data=Markup(_json(data)),  # noqa: S704 (JSON in which no tag can begin)
        script=Markup(script),  # noqa: S704 (our own file)
        timeline=timeline,
        waited=waited(report),
        lanes_script=Markup(lanes),  # noqa: S704 (our own file)
        script_hash=script_hashes(script, lanes),
    )
    return f"{text}\n"


def _timeline(report: ClusterReport) -> Drawn | None:
    made = chart(report)
    return None if made is None else drawn(made)


def _json(data: Any) -> str:
    return msgspec.json.encode(data).decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _nothing(piece: Evidence) -> tuple[()]:
    """There is no log around a measurement."""
    return ()


def _shown(report: ClusterReport) -> list[tuple[int, HostSummary]]:
    """The hosts with their numbers, those with something to say first."""
    numbered = enumerate(hosts(report))
    return sorted(numbered, key=lambda n: (not n[1].row.said_nothing, not n[1].bad, not n[1].causes, n[0]))


def kinds(report: ClusterReport) -> tuple[Kind, ...]:
    """The matrices of numbers, in the order in which they are shown."""
    return (
        Kind("latency", "Latency: round trip", "round trip", "us", True, report.latency_us),
        Kind("gbit", "Bandwidth: one stream, alone", "alone", "Gbit/s", False, report.gbit),
        Kind("loaded", "Bandwidth: while all others talk", "loaded", "Gbit/s", False, report.gbit_loaded),
    )


def _maps(report: ClusterReport, names: list[str]) -> tuple[list[Map], dict[str, Any]]:
    """The pictures, and by name what the script needs to read them."""
    maps: list[Map] = []
    about: dict[str, Any] = {}
    if report.reach:
        drawn = heat.letters(report.reach)
        words = [text for _, text in heat.REACHED.values()]
        texts = [[_letter(c) for c in row] for row in report.reach] if _few(drawn) else []
        told = [[words[n] for n in row] for row in drawn.rows] if _few(drawn) else []
        maps.append(_map("reach", "Who reaches whom", drawn, texts, told))
        about["reach"] = {"words": words, "palette": drawn.palette}
    for kind in kinds(report):
        found = heat.numbers(kind.matrix, more_is_worse=kind.more_is_worse, unit=kind.unit)
        if found is None:
            continue
        texts = [["" if v is None else heat.figure(v) for v in row] for row in kind.matrix] if _few(found) else []
        titles = [[f"{text} {kind.unit}" if text else "not measured" for text in row] for row in texts]
        maps.append(_map(kind.name, kind.title, found, texts, titles))
        about[kind.name] = {
            "label": kind.label,
            "unit": kind.unit,
            "low": found.low,
            "step": found.step,
            "palette": found.palette,
        }
    return maps, about


def _marks(report: ClusterReport, names: list[str]) -> list[tuple[str, float, float, str]]:
    """What the findings name, on the pictures: a ring around a link, a tick at the edges for a host. Kind, left and top in
    hundredths, title."""
    place = {h.name: 100 * (n + 0.5) / len(names) for n, h in enumerate(report.hosts)}
    made: dict[tuple[str, float, float], str] = {}
    for d in roots(report):
        for name in d.hosts[:MARKS]:
            if name in place:
                made.setdefault(("row", 0.0, place[name]), f"{name}: {d.cause}")
                made.setdefault(("column", place[name], 0.0), f"{name}: {d.cause}")
        for k in d.links[:MARKS]:
            if k.source in place and k.target in place:
                text = f"{k.source} -> {k.target}: {d.cause}"
                made.setdefault(("ring", place[k.target], place[k.source]), text)
    return [(kind, round(left, 3), round(top, 3), visible(text)) for (kind, left, top), text in made.items()]


def _few(drawn: heat.Heat) -> bool:
    return len(drawn.rows) <= TABLE_UP_TO


def _letter(letter: str) -> str:
    return {Reach.OK.value: "ok", Reach.ITSELF.value: "", Reach.NOT_TRIED.value: "?"}.get(letter, letter)


def _map(name: str, title: str, drawn: heat.Heat, texts: list[list[str]], titles: list[list[str]]) -> Map:
    swatches = [(heat.hex_of(shade), text) for shade, text in drawn.swatches]
    if not _few(drawn):
        return Map(name, title, swatches, [], base64.b64encode(heat.png(drawn.rows, drawn.palette)).decode())
    if name == "reach":  # the letters stand in the cells: the legend says which is which
        letters = {words: letter for letter, (_, words) in heat.REACHED.items()}
        swatches = [(shade, f"{_letter(letters[text.rpartition(':')[0]])}: {text}") for shade, text in swatches]
    cells = [
        [
            (text, heat.hex_of(drawn.palette[level]), heat.ink(drawn.palette[level]), about)
            if row != column
            else ("", "transparent", "inherit", "the host itself")
            for column, (text, level, about) in enumerate(zip(given, levels, told, strict=True))
        ]
        for row, (given, levels, told) in enumerate(zip(texts, drawn.rows, titles, strict=True))
    ]
    return Map(name, title, swatches, cells, "")


def _facts(row: HostRow) -> Iterator[tuple[str, str]]:
    """Label and text of what is known of a host."""
    if row.said_nothing:
        yield "said", "nothing: it was expected and has not spoken"
    if row.interface or row.address:
        yield "reached at", f"{row.address} on {row.interface}" if row.interface else row.address
    if row.facts is not None:
        yield from _details(row.facts)


def _details(facts: HostFacts) -> Iterator[tuple[str, str]]:
    if facts.hostname and facts.hostname != facts.host:
        yield "hostname", facts.hostname
    for i in facts.interfaces:
        held = ", ".join(f"{a.address}/{a.prefix}" for a in i.addresses) or "no address"
        state = "up" if i.up and i.carrier else "up, no carrier" if i.up else "down"
        yield i.name, f"{held}; {state}, MTU {i.mtu}{f', {i.mac}' if i.mac else ''}"
    if facts.routes:
        yield "routes", "; ".join(f"{r.destination} by {r.gateway or r.interface}" for r in facts.routes[:12])
    if facts.lookups:
        yield "names", "; ".join(f"{n.name}: {', '.join(n.addresses) or n.error}" for n in facts.lookups[:8])
    if facts.limits:
        yield "limits", ", ".join(f"{n.name} {'unlimited' if n.soft == -1 else n.soft}" for n in facts.limits)
    if facts.versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    if facts.not_read:
        yield "not read", "; ".join(facts.not_read)
