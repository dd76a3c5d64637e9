"""The page: whole, harmless whatever a log says, readable without a network, with the cited lines in their context."""

import gzip
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.cli.context import AROUND, around
from commcheck.cli.reading import read
from commcheck.diagnose.build import report
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge
from commcheck.model.diagnosis import Report
from commcheck.report.to_html import render

OOM = "[rank3]: 2026-01-02 14:02:09 torch.OutOfMemoryError: CUDA out of memory."
CLOSED = "[rank{}]: 2026-01-02 14:02:39 RuntimeError: [x/gloo/transport/tcp/pair.cc:5] Connection closed by peer [10.0.0.3]:1"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that what is opened is closed, and gathers the text and everything that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [
            f"{name}={value}" for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}
        ]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def said_of(text: str, name: str = "job.log") -> Report:
    case = case_from_text([(name, text.encode())])
    return report(case, judge(case), command=("commcheck", "diagnose", name), seconds=0.1)


def test_the_page_has_the_verdict_the_cause_the_time_line_and_the_fixes() -> None:
    said = said_of("\n".join((OOM, CLOSED.format(0), CLOSED.format(1))))
    page = Page(render(said))
    assert "UNHEALTHY" in page.text
    assert "CC307 memory-exhausted" in page.text
    assert "First to fail: rank 3" in " ".join(page.text.split())
    assert "14:02:09" in page.text
    assert page.tags.count("circle") == len(said.timeline) == 2
    assert all(fix.text in page.text for fix in said.diagnoses[0].fixes)


def test_a_cause_that_comes_again_with_another_symptom_is_on_the_page_once() -> None:
    said = said_of(f"{OOM}\n[rank1]: KeyError: 'x'")
    again = replace(said, diagnoses=(*said.diagnoses, replace(said.diagnoses[0], confidence=0.1)))
    assert Page(render(again)).text.count("CC307 memory-exhausted") == 1


def test_nothing_is_loaded_and_nothing_runs() -> None:
    page = Page(render(said_of("\n".join((OOM, CLOSED.format(0))))))
    assert page.loads == []
    assert "script" not in page.tags


@pytest.mark.parametrize(
    "bad", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style><b>", "\"'><svg/onload=x>"]
)
def test_what_a_log_says_stays_text(bad: str) -> None:
    page = Page(
        render(said_of(f"[rank3]: torch.OutOfMemoryError: CUDA out of memory. {bad}\n{CLOSED.format(0)}", f"{bad}.log"))
    )
    assert bad in page.text
    assert page.tags.count("script") == page.tags.count("img") == page.tags.count("b") == 0


@given(st.text(max_size=300), st.text(max_size=60))
def test_any_text_gives_a_whole_page(text: str, name: str) -> None:
    said = said_of("\n".join((OOM, CLOSED.format(0))))
    first, *others = said.diagnoses
    evil = replace(
        first, title=text, hosts=(name,), evidence=tuple(replace(e, text=text, source=name) for e in first.evidence)
    )
    moments = tuple(replace(m, text=text, source=name, hosts=(name,)) for m in said.timeline)
    rendered = render(
        replace(
            said,
            diagnoses=(evil, *others),
            timeline=moments,
            first=moments[0],
            notes=(text, name),
            command=(name, text),
            not_evaluated=(text,),
        )
    )
    Page(rendered).text.encode()


# --- context ---------------------------------------------------------------------------------------------------


def cited(path: str) -> tuple[Report, dict]:
    case = read([path], lambda _: None).case
    said = report(case, judge(case), command=("commcheck",), seconds=0.1)
    return said, around(said)


@pytest.mark.parametrize("packed", [False, True])
def test_a_cited_line_is_shown_among_its_neighbours(tmp_path, packed) -> None:
    log = "".join(f"{OOM}\n" if n == 500 else f"line {n}\n" for n in range(1, 40_001)).encode()
    path = tmp_path / ("job.log.gz" if packed else "job.log")
    path.write_bytes(gzip.compress(log) if packed else log)
    said, context = cited(str(path))
    lines = context[str(path), 500]
    assert [n for n, _ in lines] == list(range(500 - AROUND, 500 + AROUND + 1))
    assert [text for n, text in lines if n != 500] == [f"line {n}" for n, _ in lines if n != 500]
    page = Page(render(said, context))
    assert f"line {500 + AROUND}" in page.text
    assert f"line {500 + AROUND + 1}" not in page.text


def test_secrets_are_not_shown_among_the_neighbours(tmp_path) -> None:
    path = tmp_path / "job.log"
    path.write_text(f"export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567\n{OOM}\n")
    said, context = cited(str(path))
    assert "0123456789abcdef" not in render(said, context)
    assert "WANDB_API_KEY" in render(said, context)


def test_a_log_that_has_gone_only_lacks_its_context(tmp_path) -> None:
    path = tmp_path / "job.log"
    path.write_text(f"{OOM}\n")
    said, _ = cited(str(path))
    path.unlink()
    assert around(said) == {}
    Page(render(said, around(said)))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30), st.integers(0, 29), st.booleans())
def test_lines_are_counted_right_however_long_they_are(tmp_path_factory, lengths, at, ends) -> None:
    path = tmp_path_factory.mktemp("context") / "job.log"
    rows = ["x" * length for length in lengths]
    rows[at % len(rows)] = OOM
    path.write_text("\n".join(rows) + ("\n" if ends else ""))
    said, context = cited(str(path))
    (number,) = {e.line for e in said.diagnoses[0].evidence}
    assert dict(context[str(path), number])[number] == OOM


def test_the_command_writes_the_page(tmp_path) -> None:
    log, page = tmp_path / "job.log", tmp_path / "page.html"
    log.write_text(f"{OOM}\n{CLOSED.format(0)}\n")
    words = ["-m", "commcheck", "diagnose", str(log), "--format", "html", "--output", str(page)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "lines around it" in Page(page.read_text(encoding="utf-8")).text
