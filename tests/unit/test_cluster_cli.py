"""`commcheck cluster` as a command that has not begun: what it refuses, and what it says to start."""

import shlex
import sys
from math import isqrt
from pathlib import Path

import pytest

from commcheck import __version__
from commcheck.cli import cluster, cluster_through
from commcheck.cli.main import main
from commcheck.cluster import exclude, inlab, lead, rendering
from commcheck.errors import UsageError
from commcheck.model.topology import Topology

LAUNCHERS = (
    "SLURM_JOB_ID",
    "RANK",
    "WORLD_SIZE",
    "SLURM_PROCID",
    "PMI_RANK",
    "OMPI_COMM_WORLD_RANK",
    "FLUX_TASK_RANK",
    "JOB_COMPLETION_INDEX",
)


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ((), {}, "no launcher's variables are set here"),
        (("--report-dir", "x"), {}, "in a Slurm allocation leave out --report-dir"),
        ((), {"RANK": "0", "WORLD_SIZE": "2"}, "give --report-dir DIR"),
        (("--report-dir", "x"), {"RANK": "2", "WORLD_SIZE": "2"}, "name no rank of a world"),
        (("--bandwidth-seconds", "0"), {}, "--bandwidth-seconds 0: must be more than 0"),
        (("--all-pairs-up-to", "-1"), {}, "--all-pairs-up-to -1: must be 0 or more hosts"),
        (("--hosts", "a"), {}, "give at least two"),
        (("--lab", "/nowhere.toml"), {}, "--lab /nowhere.toml: No such file"),
        (("--format", "yaml"), {}, "invalid choice"),
        (("--hosts", "a,b,a"), {}, "a is there twice"),
        (("--hosts", "a,b", "--through", "ssh"), {}, "put {host} where a host's name goes"),
        (("--hosts", "a,b", "--through", "ssh '{host}"), {}, "No closing quotation"),
        (
            ("--hosts", "a,b", "--through", "ssh {host}", "--report-dir", "x"),
            {},
            "--through and --report-dir: give one",
        ),
        (("--hosts", "a,b", "--through", "ssh {host}", "--program", ""), {}, "--program: name the command"),
        (("--through", "ssh {host}"), {}, "--through: say on which hosts"),
        (("--hosts", "a", "--through", "ssh {host}"), {}, "give at least two"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, environment, said, monkeypatch, capsys):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["cluster", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_every_form_can_be_asked_for():
    assert cluster.FORMATS == rendering.FORMATS
    assert tuple(exclude.FORMS) == cluster.EXCLUDES


def test_what_decides_the_rounds_is_told_to_the_hosts_too(capsys):
    assert cluster.ALL_PAIRS_UP_TO == lead.ALL_PAIRS_UP_TO  # written twice: the command's help loads none of this
    assert main(["cluster", "--hosts", "n1,n2", "--all-pairs-up-to", "64"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert all("--all-pairs-up-to 64" in line for line in lines)


def test_the_hosts_are_told_what_to_start(capsys):
    assert main(["cluster", "--hosts", "n1,n2", "--report-dir", "/shared/x y", "--quick"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    own = ["commcheck", "cluster", "--report-dir", "/shared/x y", "--quick"]
    srun, mpirun, hydra, first, second = (shlex.split(line) for line in lines)
    assert srun[:5] == ["srun", "--nodes=2", "--ntasks-per-node=1", "--ntasks=2", "--nodelist=n1,n2"]
    assert mpirun[:5] == ["mpirun", "-np", "2", "--host", "n1:1,n2:1"]
    assert hydra[:7] == ["mpiexec", "-n", "2", "-ppn", "1", "-hosts", "n1,n2"]
    assert srun[-5:] == mpirun[-5:] == hydra[-5:] == own
    assert (first[:2], second[:2]) == (["ssh", "n1"], ["ssh", "n2"])
    assert shlex.split(second[2]) == ["env", "RANK=1", "WORLD_SIZE=2", *own]


def test_without_a_directory_they_are_told_what_needs_none(capsys):
    assert main(["cluster", "--hosts", "n[1-2]", "--quick"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert [shlex.split(line) for line in lines[:2]] == [
        ["commcheck", "cluster", "--quick"],
        ["commcheck", "cluster", "--hosts", "n[1-2]", "--through", "ssh {host}", "--quick"],
    ]


# --- through what gets to the hosts anyway ---------------------------------------------------------------------


WORDS = ("commcheck", "cluster", "--attached", "r")


def test_a_command_per_host():
    found = cluster_through.commands("kubectl exec -i {host} -n 'my space' --", ("a", "b"), WORDS)
    assert [(c.rank, c.words) for c in found] == [
        (n, ("kubectl", "exec", "-i", name, "-n", "my space", "--", *WORDS)) for n, name in enumerate("ab")
    ]


def test_one_command_for_all_hosts():
    (found,) = cluster_through.commands("mpiexec -s all -n {count} -ppn 1 -hosts {hosts}", ("a", "b"), WORDS)
    assert found.rank is None
    assert found.words == ("mpiexec", "-s", "all", "-n", "2", "-ppn", "1", "-hosts", "a,b", *WORDS)


def test_where_no_command_is_there_it_says_so(capsys):
    assert main(["cluster", "--hosts", "a,b", "--through", "no-such-command {host}"]) == 3
    assert "no-such-command: No such file or directory: is it on PATH here?" in capsys.readouterr().err


def test_hosts_that_cannot_be_reached_are_no_verdict(capsys):
    """What starts them says why."""
    through = "sh -c 'echo ssh: connect to host {host} port 22: No route to host; exit 255'"
    assert main(["cluster", "--quiet", "--hosts", "a,b", "--through", through]) == 3
    said = capsys.readouterr().err
    assert "error: sh has ended with exit code 255: ssh: connect to host a port 22" in said


def test_two_processes_on_one_host_are_no_cluster(capsys):
    """They come, and are the same host by whatever name."""
    assert main(["cluster", "--quiet", "--hosts", "a,b", "--through", "sh -c 'exec \"$@\"' {host}"]) == 2
    assert "a, b are one host: start one process per host" in capsys.readouterr().err


def test_another_release_is_not_talked_to(capsys):
    other = "import commcheck; commcheck.__version__ = '0.0.1'; from commcheck.cli.main import main; main()"
    program = shlex.join((sys.executable, "-c", other))
    through = "sh -c 'exec \"$@\"' {host}"
    assert main(["cluster", "--quiet", "--hosts", "a,b", "--through", through, "--program", program]) == 3
    assert f"commcheck 0.0.1 runs there, and {__version__} here: use the same" in capsys.readouterr().err


@pytest.mark.skipif(
    not Path(inlab.NEIGHBOURS).exists(), reason="this network namespace does not show the kernel's limit"
)
def test_virtual_hosts_that_the_kernel_s_table_of_neighbours_does_not_hold_are_refused():
    room = isqrt(int(Path(inlab.NEIGHBOURS).read_text()))
    with pytest.raises(UsageError, match=f"take at most {room} hosts, or sysctl -w net.ipv4.neigh.default.gc_thresh3="):
        inlab.collected(Topology(hosts=room + 2), (), lambda _: None, lead.Options())
