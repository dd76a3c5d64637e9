"""`commcheck cluster` as a command that has not begun: what it refuses, and what it says to start."""

import shlex

import pytest

from commcheck.cli import cluster
from commcheck.cli.main import main
from commcheck.cluster import exclude, rendering

LAUNCHERS = (
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
        ((), {"RANK": "0", "WORLD_SIZE": "2"}, "give --report-dir DIR"),
        (("--report-dir", "x"), {"RANK": "2", "WORLD_SIZE": "2"}, "name no rank of a world"),
        (("--bandwidth-seconds", "0"), {}, "--bandwidth-seconds 0: must be more than 0"),
        (("--hosts", "a"), {}, "give at least two"),
        (("--lab", "/nowhere.toml"), {}, "--lab /nowhere.toml: No such file"),
        (("--format", "yaml"), {}, "invalid choice"),
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


def test_the_hosts_are_told_what_to_start(capsys):
    assert main(["cluster", "--hosts", "n1,n2", "--report-dir", "/shared/x y", "--quick"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    own = ["commcheck", "cluster", "--report-dir", "/shared/x y", "--quick"]
    srun, mpirun, first, second = (shlex.split(line) for line in lines)
    assert srun[:4] == ["srun", "--nodes=2", "--ntasks-per-node=1", "--nodelist=n1,n2"]
    assert srun[-5:] == own
    assert mpirun[:3] == ["mpirun", "--host", "n1,n2"]
    assert (first[:2], second[:2]) == (["ssh", "n1"], ["ssh", "n2"])
    assert shlex.split(second[2]) == ["env", "RANK=1", "WORLD_SIZE=2", *own]
