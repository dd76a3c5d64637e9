"""A page of `commcheck explain` as text: a head line, what is short, then lists and prose, wrapped to the width."""

import re
from collections.abc import Mapping
from typing import Any

from commcheck.report.clean import wrap

Page = Mapping[str, Any]
"""What `commcheck.cli.explain` knows of one id, ready for JSON."""

LABEL = 16
WORDINGS = 6  # lines of logs that a page shows
PLAIN = 0.6  # the weight from which a line says this cause rather than another
STUDY = (
    "Counts are tallies of the labels of the 637 faults that were released with arXiv 2112.06222; half of them are "
    "Horovod's."
)
_STAGE = {
    "build": "build and import",
    "setup": "communication setup",
    "preparation": "data and model preparation",
    "training": "training",
}
_READ_AT = {
    "import": "when the process starts or imports its library; a later change has no effect",
    "init": "when the process group is made",
    "collective": "at a collective",
    "unknown": "not known",
}
_SOURCES = {
    "run": "seen with torch 2.13 and gloo",
    "source": "read in the software's source",
    "issue": "from a public report",
    "general": "widely seen",
}
_HEADING = re.compile(r"^\*\*(What you see|Why it happens|How to fix|How to confirm)\.?\*\*\s*", re.MULTILINE)


class _Lines:
    """Lines under construction."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = []

    def prose(self, text: str, indent: str = "", first: str | None = None) -> None:
        head = indent if first is None else first
        self.lines += wrap(text, self.width, head, indent)

    def fact(self, label: str, text: str) -> None:
        self.prose(text, " " * LABEL, f"{label:<{LABEL}}")

    def section(self, title: str) -> None:
        self.lines += ["", title.upper()]

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def list_text(page: Page, width: int) -> str:
    """All ids, for choosing one. A line each, however narrow the terminal: the list is searched with grep."""
    lines = []
    for stage, title in _STAGE.items():
        lines += ["", f"SYMPTOMS: {title}"]
        lines += [f"  {s['id']:<34}{s['title']}" for s in page["symptoms"] if s["stage"] == stage]
    longest = max(len(c["id"]) for c in page["causes"]) + 2
    lines += ["", "CAUSES"] + [f"  {c['code']}  {c['id']:<{longest}}{c['title']}" for c in page["causes"]]
    lines += ["", "FIX PATTERNS"] + [f"  {f['id']:<34}{f['title']}" for f in page["fixes"]]
    lines += ["", f"Also {page['variables']} environment variables. Any of them: commcheck explain ID"]
    return "\n".join(lines[1:]) + "\n"


def page_text(page: Page, width: int) -> str:
    """One page."""
    lines = _Lines(width)
    lines.lines.append(f"{' '.join(str(page[k]) for k in ('code', 'id') if page.get(k))} ({page['kind']})")
    lines.prose(page["title"], "  ")
    lines.lines.append("")
    {"cause": _cause, "symptom": _symptom, "fix": _fix, "variable": _variable}[page["kind"]](lines, page)
    return lines.text()


def _cause(lines: _Lines, page: Page) -> None:
    lines.fact("stage", _STAGE[page["stage"]])
    lines.fact("shows as", ", ".join(page["symptoms"]))
    if page["explains"]:
        lines.fact("then follow", ", ".join(page["explains"]))
    _documented(lines, page)
    if page["fixes"]:
        lines.section("fixes")
        for fix in page["fixes"]:
            told = f": mended {fix['frequency']}" if fix["frequency"] else ""
            lines.prose(f"{fix['text']}  [{fix['pattern']}{told}]", "    ", "  ")
    if page["wordings"]:
        lines.section("lines of a log that point to it")
        for wording in page["wordings"][:WORDINGS]:
            alone = "" if wording["weight"] >= PLAIN else "; other causes show it too"
            lines.prose(f"{wording['example']}  [{wording['source']}{alone}]", "    ", "  ")
        if len(page["wordings"]) > WORDINGS:
            lines.prose(f"and {len(page['wordings']) - WORDINGS} more (--format json shows all)", "    ", "  ")


def _documented(lines: _Lines, page: Page) -> None:
    """The rule's own text. Its first sentence often repeats the title; that one is left out."""
    before, *parts = _HEADING.split(page["text"])
    if before.strip().rstrip(".") != page["title"]:
        lines.lines.append("")
        _paragraphs(lines, before)
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        lines.section(heading)
        _paragraphs(lines, text, "  ")


def _paragraphs(lines: _Lines, text: str, indent: str = "") -> None:
    for number, paragraph in enumerate(p for p in text.strip().split("\n\n") if p.strip()):
        if number:
            lines.lines.append("")
        if re.search(r"^( |- |\* )", paragraph, re.MULTILINE):  # a list or a block to copy
            lines.lines += [f"{indent}{line}".rstrip() for line in paragraph.split("\n")]
        else:
            lines.prose(paragraph.replace("**", ""), indent)


def _symptom(lines: _Lines, page: Page) -> None:
    lines.fact("means", page["definition"])
    lines.fact("communication", page["communication"])
    lines.fact("stage", _STAGE[page["stage"]])
    by = ", ".join(f"{name} {n}" for name, n in page["frameworks"].items() if n)
    lines.fact(
        "in the study",
        f"{page['faults']} of 637 faults ({by}); {page['distributed']} of them in distributed training alone",
    )
    if page["look_alikes"]:
        lines.fact("looks alike", ", ".join(page["look_alikes"]))
    if page["messages"]:
        lines.section("messages")
        for message in page["messages"]:
            text, tagged, source = message.removesuffix("]").rpartition(" [")
            shown = f"{text}  ({_SOURCES.get(source, source)})" if tagged else message
            lines.prose(shown, "    ", "  ")
    _rows(lines, "usual causes", page["causes"])
    if page["other_causes"]:
        lines.section("other causes")
        lines.prose(", ".join(c["id"] for c in page["other_causes"]), "  ")
    _frequencies(lines, "what mended it", "pattern", page["fixes"])


def _fix(lines: _Lines, page: Page) -> None:
    lines.fact("covers", page["covers"])
    if page["faults"] is not None:
        lines.fact("in the study", f"mended {page['faults']} of 637 faults")
    _frequencies(lines, "what it mended", "symptom", page["symptoms"])


def _variable(lines: _Lines, page: Page) -> None:
    values = ", ".join(page["choices"]) or page["values"]
    bounds = (("at least", page["low"]), ("at most", page["high"]))
    limits = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
    lines.fact("read by", page["owner"])
    lines.fact("values", f"{values}, {limits}" if limits else values)
    if page["default"]:
        lines.fact("default", page["default"])
    lines.fact("read", _READ_AT[page["read_at"]])
    lines.fact("a bad value is", page["bad_value"])
    for key, label in (("since", "since"), ("until", "read until"), ("instead", "instead use")):
        if page.get(key):
            lines.fact(label, page[key])
    for other in page["interactions"]:
        lines.fact("goes with", f"{', '.join(n for n in other['names'] if n != page['id'])}: {other['effect']}")
    lines.fact("source", page["source"])


def _rows(lines: _Lines, title: str, causes: list[Mapping[str, str]]) -> None:
    if not causes:
        return
    lines.section(title)
    longest = max(len(c["id"]) for c in causes) + 2
    for c in causes:
        lines.prose(c["title"], " " * (longest + 9), f"  {c['code']:<7}{c['id']:<{longest}}")


def _frequencies(lines: _Lines, title: str, key: str, rows: list[Mapping[str, Any]]) -> None:
    if rows:
        lines.section(title)
        longest = max(len(r[key]) for r in rows) + 2
        for r in rows:
            lines.prose(r["frequency"], " " * (longest + 2), f"  {r[key]:<{longest}}")
    lines.lines.append("")
    lines.prose(STUDY)
