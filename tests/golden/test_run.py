"""`commcheck run -- CMD`: what the job's caller sees is what it would see without us; real processes throughout."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import commcheck

ROOT = Path(commcheck.__file__).parents[1]
RUN = [sys.executable, "-m", "commcheck", "run"]
ENV = {**{k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "RANK", "WORLD_SIZE"}}, "PYTHONPATH": str(ROOT)}


def run(*job, options=(), data=b"", timeout=100):
    return subprocess.run([*RUN, *options, "--", *job], env=ENV, input=data, capture_output=True, timeout=timeout)


def python(code):
    return [sys.executable, "-c", code]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("job", "code"), [("exit 0", 0), ("exit 1", 1), ("exit 77", 77), ("kill -9 $$", 137), ("kill -SEGV $$", 139)]
)
def test_the_exit_code_is_the_job_s(job, code):
    done = run("sh", "-c", job, options=("--quiet",))
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_a_healthy_job_gets_nothing_added():
    done = run("sh", "-c", "echo out; echo err >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")


def test_bytes_are_the_same_and_input_goes_through():
    data = bytes(range(256)) * 4000
    done = run("tee", "/dev/stderr", data=data)
    assert done.stdout == data
    assert done.stderr == data


def test_a_command_that_cannot_be_started(tmp_path):
    assert run("nosuchcommand-xyz").returncode == 127
    assert run(str(tmp_path)).returncode == 126
    done = run()
    assert done.returncode == 2
    assert b"no command is given" in done.stderr


def test_options_of_the_job_are_its_own():
    done = run("sh", "-c", 'echo "$@"', "x", "--help", "--stall", "-q", "--")
    assert done.stdout == b"--help --stall -q --\n"


def test_a_failing_import_is_named(tmp_path):
    report = tmp_path / "report.json"
    done = run(*python("import no_such_module_here"), options=("--report", str(report)))
    assert done.returncode == 1
    assert done.stderr.startswith(b"Traceback (most recent call last):")
    assert b"library-missing" in done.stderr
    found = json.loads(report.read_text())
    assert found["diagnoses"][0]["cause"] == "library-missing"
    assert found["verdict"] == "unhealthy"


def test_a_refused_connection_is_named():
    says = "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:1] connect [127.0.0.1]:5: Connection refused"
    done = run(*python(f"raise SystemExit({says!r})"))
    assert done.returncode == 1
    assert b"\nUNHEALTHY" in done.stderr
    assert b"Connection refused" in done.stderr.partition(b"UNHEALTHY")[2]


def test_the_report_of_a_job_that_went_well(tmp_path):
    report = tmp_path / "report.json"
    done = run("true", options=("--report", str(report)))
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(report.read_text())["verdict"] == "healthy"
    assert run("true", options=("--report", "/nonexistent/x")).returncode == 2


def test_killed_by_whom(tmp_path):
    done = run("sh", "-c", "kill -9 $$")
    assert done.returncode == 137
    assert b"SIGKILL" in done.stderr
    assert b"rank-killed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_job_once(number):
    code = (
        "import signal, time, sys\n"
        "got = []\n"
        f"signal.signal({int(number)}, lambda n, f: got.append(n))\n"
        "print('ready', flush=True)\n"
        "while not got: time.sleep(0.05)\n"
        "time.sleep(0.5)\n"
        "print(len(got), flush=True)\n"
        "sys.exit(9)\n"
    )
    process = subprocess.Popen([*RUN, "--", *python(code)], env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
    try:
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, number)  # as `timeout` and shells do: to the group
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == b"1\n"
    assert process.returncode == 9
    assert err == b""  # it was ended on purpose: nothing to diagnose


def test_a_job_that_a_signal_ends_gives_its_code():
    process = subprocess.Popen([*RUN, "--", "sh", "-c", "echo ready; exec sleep 60"], env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    assert process.wait(timeout=30) == 143
    process.stdout.close()


def test_when_commcheck_is_killed_the_job_is_ended():
    process = subprocess.Popen([*RUN, "--", "sh", "-c", "echo $$; exec sleep 60"], env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # fmt: skip
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    wait_for(lambda: gone(pid))


def test_a_reader_that_goes_away_ends_the_job_as_it_would():
    job = "i=0; while [ $i -lt 200000 ]; do echo $i || exit 44; i=$((i+1)); done; exit 45"
    script = f"{' '.join(RUN)} --quiet -- sh -c '{job}' | head -1"
    done = subprocess.run(
        ["bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}"], env=ENV, capture_output=True, timeout=60
    )
    assert done.stdout == b"0\n"
    assert done.returncode in {44, 141}


def test_children_that_hold_the_output_are_not_waited_for():
    begin = time.monotonic()
    done = subprocess.run([*RUN, "--", "sh", "-c", "sleep 15 & echo done"], env=ENV, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"done\n"
    assert time.monotonic() - begin < 10


def test_a_slow_reader_loses_nothing():
    process = subprocess.Popen([*RUN, "--", *python("import os; os.write(1, b'x' * 900_000); os._exit(0)")], env=ENV, stdout=subprocess.PIPE)  # fmt: skip
    time.sleep(3)
    assert len(process.stdout.read()) == 900_000
    assert process.wait(timeout=10) == 0
    process.stdout.close()


def test_large_output_passes_quickly():
    code = (
        "import os\nb = b'a line of some length that is written often\\n' * 20000\nfor _ in range(300): os.write(1, b)"
    )
    size = 44 * 20000 * 300

    def seconds(command):
        begin = time.monotonic()
        process = subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE)
        total = 0
        while data := process.stdout.read1(1 << 20):
            total += len(data)
        assert process.wait(timeout=60) == 0
        process.stdout.close()
        assert total == size
        return time.monotonic() - begin

    bare, under = seconds(python(code)), seconds([*RUN, "--", *python(code)])
    rate = size / 1e6 / under
    print(f"\n{size / 1e6:.0f} MB: bare {bare:.2f} s, under run {under:.2f} s, {rate:.0f} MB/s")
    assert rate > 50


def test_in_a_terminal_the_job_sees_one_and_ctrl_c_comes_once():
    code = (
        "import os, signal, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGINT, lambda n, f: got.append(n))\n"
        "print('tty', [os.isatty(i) for i in range(3)], os.get_terminal_size(1).columns, flush=True)\n"
        "while not got: time.sleep(0.05)\n"
        "time.sleep(0.5)\n"
        "print('ints', len(got), flush=True)\n"
        "sys.exit(5)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(RUN[0], [*RUN, "--", *python(code)], ENV)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 91, 0, 0))
    text = b""
    deadline = time.monotonic() + 60
    sent = False
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            text += data
        if b"91\r\n" in text and not sent:
            os.write(terminal, b"\x03")
            sent = True
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 5
    assert b"tty [True, True, True] 91\r\n" in text
    assert b"ints 1\r\n" in text
    assert b"\r\r\n" not in text


def test_a_job_that_stands_still_is_named_and_left_alone(tmp_path):
    report = tmp_path / "r.json"
    done = run(*python("import time; print('begin', flush=True); time.sleep(14); print('end')"), options=("--stall", "2", "--report", str(report)))  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == b"begin\nend\n"
    assert b"no output and no work for" in done.stderr
    assert b"the job goes on" in done.stderr or done.stderr.count(b"INCONCLUSIVE") == 1
    assert json.loads(report.read_text())["verdict"] == "inconclusive"


def test_a_job_that_computes_in_silence_is_left_in_peace():
    done = run(*python("import time\nend = time.time() + 6\nwhile time.time() < end: sum(range(10000))"), options=("--stall", "1.5"))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
