"""Where reports go: formats, files, exit codes, colour."""

import argparse
import io
import json
import os
from xml.etree import ElementTree as ET

import pytest

from commcheck.cli import output
from commcheck.errors import UsageError
from commcheck.model.diagnosis import SCHEMA, Report, Verdict


def report(verdict: Verdict = Verdict.HEALTHY) -> Report:
    return Report(
        schema=SCHEMA,
        verdict=verdict,
        command=("lint",),
        versions={},
        world=None,
        phases=(),
        diagnoses=(),
        not_evaluated=(),
        next=(),
        replay="",
        seconds=0.1,
    )


def arguments(**changes) -> argparse.Namespace:
    given = {"format": "text", "output": None, "quiet": False, "no_color": False} | changes
    return argparse.Namespace(**given)


def test_exit_codes() -> None:
    assert {v.value: output.exit_code(v) for v in Verdict} == {"healthy": 0, "unhealthy": 1, "inconclusive": 3}


def test_the_options_have_their_defaults() -> None:
    parser = argparse.ArgumentParser()
    output.add_output_arguments(parser)
    assert parser.parse_args([]) == arguments()


def test_each_format_on_standard_output(capsys) -> None:
    output.emit(report(), arguments())
    assert capsys.readouterr().out.startswith("HEALTHY  nothing found")
    output.emit(report(), arguments(format="json"))
    assert json.loads(capsys.readouterr().out)["verdict"] == "healthy"
    output.emit(report(), arguments(format="junit"))
    assert ET.fromstring(capsys.readouterr().out).tag == "testsuites"


def test_into_a_file(tmp_path, capsys) -> None:
    path = tmp_path / "report.txt"
    path.write_text("a longer text than the report of a healthy host" * 20)
    output.emit(report(), arguments(output=str(path)))
    assert path.read_text().startswith("HEALTHY")
    assert path.read_text().endswith("(0.1 s)\n")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"commcheck: healthy; the report is in {path}\n"


def test_a_verdict_is_not_lost_with_its_file(tmp_path, capsys) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        output.emit(report(Verdict.UNHEALTHY), arguments(output=str(tmp_path)))
    assert capsys.readouterr().out.startswith("UNHEALTHY")


@pytest.mark.parametrize("path", ["/nonexistent/report", "/", "", "a\0b", "/proc/nonexistent"])
def test_paths_that_cannot_be_written(path) -> None:
    with pytest.raises(UsageError, match="--output"):
        output.check_output(arguments(output=path))


def test_a_pipe_is_left_alone(tmp_path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    output.check_output(arguments(output=str(path)))
    output.check_output(arguments(output="/dev/null"))
    output.check_output(arguments())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_only_where_it_is_wanted(monkeypatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.use_color(arguments(), Terminal())
    assert not output.use_color(arguments(), io.StringIO())
    assert not output.use_color(arguments(no_color=True), Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not output.use_color(arguments(), Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.use_color(arguments(), Terminal())
    assert output.text_width(io.StringIO()) == 100
