"""The examples of docs/examples, run where they are meant to run: on a real Slurm cluster between virtual hosts."""

import os
import re
import sys
import time
from pathlib import Path

import pytest
import slurm
from faulty import made

from commcheck.lab.lab import Lab
from commcheck.model.topology import Network, Topology

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "slurm"
TOPOLOGY = Topology(hosts=4, networks=(Network(), Network(interface="eth1", subnet="10.88.0.0/24")))
DRAIN_SECONDS = 30.0


@pytest.fixture
def cluster(tmp_path):
    """A cluster whose prolog and epilog are the examples; only where commcheck and Slurm's configuration lie is changed."""
    if reason := slurm.missing():
        pytest.skip(reason)
    command = tmp_path / "commcheck"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{os.getcwd()}" exec "{sys.executable}" -m commcheck "$@"\n')
    command.chmod(0o755)
    further = []
    for name in ("prolog", "epilog"):
        text = (EXAMPLES / f"{name}.sh").read_text()
        assert text.count("/usr/local/bin/commcheck") == 1
        script = tmp_path / f"{name}.sh"
        text = text.replace("/usr/local/bin/commcheck", str(command))
        script.write_text(text.replace("scontrol update", f"SLURM_CONF={tmp_path}/slurm.conf scontrol update"))
        script.chmod(0o755)
        further.append(f"{name.capitalize()}={script}")
    tmp_path.chmod(0o755)
    with Lab(TOPOLOGY) as lab, slurm.cluster(lab, tmp_path, *further, "PrologFlags=Alloc") as started:
        yield started


def states(cluster):
    """By host its state and the reason for it."""
    rows = cluster.run("sinfo", "-h", "-N", "-o", "%N|%T|%E").stdout.splitlines()
    return {name: (state, reason) for name, state, reason in (row.split("|", 2) for row in rows)}


def until(there, what):
    deadline = time.monotonic() + DRAIN_SECONDS
    while not (found := there()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)  # Slurm announces nothing
    return found


def test_the_prolog_drains_the_node_that_has_the_fault_and_no_other(cluster):
    begin = time.monotonic()
    fine = cluster.run("srun", "-N4", "true")
    print(f"srun of four hosts with prolog and epilog: {time.monotonic() - begin:.2f} s")
    assert fine.returncode == 0, fine.stderr
    until(lambda: all(s == "idle" for s, _ in states(cluster).values()), lambda: states(cluster))
    with made(cluster.lab, "link-down", hosts=(2,), interface="eth1"):
        # The job goes back into the queue: four hosts are not to be had any more.
        cluster.run("sbatch", "-N4", "--wrap", "true", "--output=/dev/null")
        until(lambda: states(cluster)["h2"][0].startswith("drain"), lambda: states(cluster))
        cluster.run("scancel", "--user=root")
        found = states(cluster)
    assert "ERROR: commcheck: interface-down" in found["h2"][1], found
    assert {name for name, (state, _) in found.items() if state.startswith("drain")} == {"h2"}


def test_the_epilog_takes_a_node_out_that_a_job_has_left_unfit(cluster):
    link = "ip link set eth1 down"
    done = cluster.run("srun", "-N1", "-w", "h1", "sh", "-c", link)
    assert done.returncode == 0, done.stderr
    try:
        until(lambda: states(cluster)["h1"][0].startswith("drain"), lambda: states(cluster))
        assert re.search(r"after job \d+: ERROR: commcheck: interface-down", states(cluster)["h1"][1])
    finally:
        cluster.lab.hosts[1].run(("ip", "link", "set", "eth1", "up"), timeout=10)


@pytest.mark.parametrize("port", ["29500", "70000"])
def test_a_batch_script_ends_at_its_first_line_where_the_world_cannot_form(cluster, tmp_path, port):
    pytest.importorskip("torch")
    (tmp_path / "train.py").write_text("import os; print('training on', os.environ['SLURM_PROCID'])\n")
    text = (EXAMPLES / "job.sbatch").read_text()
    assert "srun python train.py" in text
    text = text.replace("srun python", f"srun {sys.executable}").replace(
        "commcheck preflight", f"{tmp_path}/commcheck preflight --backend gloo"
    )
    (tmp_path / "job.sbatch").write_text(text)
    settings = {"GLOO_SOCKET_IFNAME": "eth1", "MASTER_ADDR": "10.88.0.10", "MASTER_PORT": port}
    done = cluster.run(
        "sbatch",
        "--wait",
        "--export=ALL",
        f"--output={tmp_path}/out",
        f"--chdir={tmp_path}",
        str(tmp_path / "job.sbatch"),
        **settings,
    )
    said = (tmp_path / "out").read_text()
    if port == "29500":
        assert done.returncode == 0, said
        assert said.count("training on") == 4
    else:
        assert done.returncode == 1, said
        assert "port-out-of-range" in said
        assert "training on" not in said
