"""The command as its user meets it: real processes, their output and their exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import commcheck
from commcheck.cli.main import VERBS

ROOT = Path(commcheck.__file__).parents[1]
TRACE = "COMMCHECK_TRACEBACK"


def environment(**changes: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in {TRACE, "NO_COLOR", "RANK", "WORLD_SIZE", "MASTER_ADDR"}}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **changes}


def run(*arguments: str, cwd: Path | None = None, text: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commcheck", *arguments],
        cwd=cwd,
        env=environment(**env),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )


def is_one_error_line(stderr: str) -> bool:
    return stderr.startswith("commcheck: error: ") and stderr.count("\n") == 1


def test_help_names_every_verb_and_exit_code(tmp_path: Path) -> None:
    for arguments in (["--help"], ["-h"], ["help"]):
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        for verb in VERBS:
            assert f"\n  {verb} " in done.stdout
        assert "0 healthy   1 unhealthy (a fault was found)   2 wrong usage or input   3 inconclusive" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 120


def test_every_verb_of_the_folder_is_in_the_table() -> None:
    folder = Path(commcheck.__file__).parent / "cli"
    verbs = {p.stem for p in folder.glob("*.py") if "\ndef add_arguments(" in p.read_text(encoding="utf-8")}
    assert verbs == set(VERBS)


def test_no_arguments_is_wrong_usage() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: commcheck VERB")


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"commcheck {commcheck.__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str) -> None:
    done = run(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: commcheck {verb}")
    assert run("help", verb).stdout == done.stdout


@pytest.mark.parametrize("verb", ["preflight", "lint", "diagnose"])
def test_verbs_with_a_verdict_share_the_output_options(verb: str) -> None:
    text = run(verb, "--help").stdout
    for option in ("--format {text,json,junit,html,prometheus,nagios,nhc}", "--output FILE", "--quiet", "--no-color"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lnt"], "unknown verb 'lnt': did you mean 'lint'?"),
        (["xyzzy"], "unknown verb 'xyzzy': the verbs are preflight, lint"),
        (["--frobnicate"], "unknown option '--frobnicate'"),
        (["lint", "--frobnicate"], "unrecognized arguments: --frobnicate (see commcheck lint --help)"),
        (["lint", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["lint", "--form", "json"], "unrecognized arguments: --form json"),
        (["lint", "--output", "/nonexistent/dir/report"], "--output /nonexistent/dir/report: No such file"),
        (["lint", "--output", "/"], "--output /: Is a directory"),
        (["lint", "--output", ""], "--output : No such file"),
        (["lint", "--output"], "argument --output: expected one argument"),
        (["preflight", "--output", "/proc/nonexistent"], "--output /proc/nonexistent: "),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert is_one_error_line(done.stderr), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "smoke-signals"], "backend"),
        (["--world-size", "0"], "world-size"),
        (["--world-size", "-2"], "world-size"),
        (["--world-size", "1000000"], "world-size"),
        (["--world-size", "two"], "world-size"),
        (["--master-port", "0"], "master-port"),
        (["--master-port", "65536"], "master-port"),
        (["--master-port", "http"], "master-port"),
        (["--netns", "0:nosuchns"], "no network namespace named 'nosuchns'"),
        (["--netns", "0:../../etc"], "no network namespace named '../../etc'"),
        (["--report-dir", "/dev/null"], "--report-dir /dev/null"),
        (["--env", "NOVALUE"], "--env"),
        (["--rank-env", "A=B"], "--rank-env"),
        (["--rank-env", "9:A=B", "--world-size", "2"], "--rank-env"),
        (["--timeout", "0"], "timeout"),
    ],
)
def test_bad_settings_of_preflight_are_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = run("preflight", *arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert is_one_error_line(done.stderr), done.stderr
    assert said in done.stderr


def test_checking_the_output_leaves_nothing_behind_and_no_file_changed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("before")
    run("lint", "--output", str(kept), "--frobnicate")
    run("lint", "--output", str(tmp_path / "new"), "--frobnicate")
    assert kept.read_text() == "before"
    assert list(tmp_path.iterdir()) == [kept]


def test_report_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    done = run("lint", "--format", "json", "--output", str(path))
    assert done.stdout == ""
    report = json.loads(path.read_text())
    assert report["schema"] == "commcheck/report/1"
    assert done.returncode == {"healthy": 0, "unhealthy": 1, "inconclusive": 3}[report["verdict"]]
    assert str(path) in done.stderr
    assert run("lint", "--quiet", "--output", str(path)).stderr == ""


def test_a_reader_that_goes_away_does_no_harm() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        for arguments in (["--help"], ["explain"]):
            done = subprocess.run(
                [sys.executable, "-m", "commcheck", *arguments],
                env=environment(),
                stdout=write,
                stderr=subprocess.PIPE,
                timeout=60,
            )
            assert (done.returncode, done.stderr) == (0, b"")
    finally:
        os.close(write)


def broken(body: str, **env: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys, commcheck.cli.main as m\n"
        "class Verb:\n"
        "    def add_arguments(self, parser): pass\n"
        f"    def run(self, args): {body}\n"
        "m.load = lambda name: Verb()\n"
        "sys.exit(m.main(['lint']))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(**env), capture_output=True, text=True, timeout=60
    )


def test_an_error_of_our_own_is_inconclusive() -> None:
    done = broken("{}['gone']")
    assert done.returncode == 3
    assert done.stderr.startswith("commcheck: internal error: KeyError: 'gone' at ")
    assert done.stderr.endswith("COMMCHECK_TRACEBACK=1 prints the traceback)\n")
    assert done.stderr.count("\n") == 1
    shown = broken("{}['gone']", COMMCHECK_TRACEBACK="1")
    assert shown.returncode == 3
    assert shown.stderr.startswith("Traceback (most recent call last)")
    assert shown.stderr.endswith("the traceback is above)\n")


def test_known_errors_carry_their_exit_code() -> None:
    done = broken("from commcheck.errors import InputError; raise InputError('a\\nb  c')")
    assert (done.returncode, done.stderr) == (2, "commcheck: error: a b c\n")
    done = broken("from commcheck.errors import LaunchError; raise LaunchError('no process could be started')")
    assert (done.returncode, done.stderr) == (3, "commcheck: error: no process could be started\n")


def test_an_interrupt_is_one_line_and_130() -> None:
    done = broken(f"import os, time; os.kill(os.getpid(), {signal.SIGINT.value}); time.sleep(30)")
    assert (done.returncode, done.stderr) == (130, "commcheck: interrupted\n")


def test_output_that_the_terminal_cannot_encode() -> None:
    done = broken("print('\\u4e16\\udc80'); return 0", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "\\u4e16\\udc80\n")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        (["GLOO_SOCKET_IFNAME=lo,nope0"], "interface-missing"),
        (["GLOO_DEVICE_TRANSPORT=UV"], "transport-unavailable"),
        (["GLOO_SOCKET_IFNAME=lo", "WORLD_SIZE=4", "LOCAL_WORLD_SIZE=2"], "interface-loopback"),
    ],
)
def test_lint_says_what_a_world_would_meet(changes, cause):
    done = run("lint", "--format", "json", *(f"--env={change}" for change in changes))
    assert done.returncode == 1
    assert cause in {d["cause"] for d in json.loads(done.stdout)["diagnoses"]}
