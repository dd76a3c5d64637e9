"""Without root: the command becomes root of a user namespace, and builds its labs there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from census import gone, machine

from commcheck.lab.unprivileged import refusal

ROOT = Path(__file__).parents[2]
SECONDS = 90.0
USER = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
"""A user of the machine's files, without any privilege: also where the tests' interpreter is root's alone."""

BEGIN = """
import os, sys
from commcheck.lab.unprivileged import ENTERED, become_root
assert os.geteuid() == (0 if ENTERED in os.environ else 1000)
become_root()
"""

PROGRAM = (
    BEGIN
    + """
from faulty import made
from commcheck.api import preflight
from commcheck.lab import Lab, missing_requirement
from commcheck.model.topology import Network, Topology
from commcheck.planner import local_plan
from commcheck.runtime.launcher import Launcher

assert missing_requirement() == "", missing_requirement()
base = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"]}
topology = Topology(hosts=3, networks=(Network(kind="routed", subnet="10.80.0.0/16"),), shm=1 << 26, uptimes=(0, 9999))
with Lab(topology) as lab, Launcher(base) as launcher:
    plan = local_plan(size=3, base=base, master_addr=lab[0].address, master_port=29500, places=lab.places)
    healthy = preflight(plan, launcher=launcher)
    with made(lab, "drop", hosts=(0,), ports="29500"):
        blocked = preflight(plan, launcher=launcher, try_fixes=False)
    pids = [host.pid for host in lab]
print(os.geteuid(), healthy.verdict.value, blocked.verdict.value, blocked.diagnoses[0].cause, *pids)
"""
)


def run(program):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*USER, sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, timeout=SECONDS, cwd="/", check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def allowed():
    if subprocess.run([*USER, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespace can be made here")


def test_worlds_between_hosts_without_root():
    pytest.importorskip("torch")
    before = machine()
    done = run(PROGRAM)
    said, pids = done.stdout.split()[:4], [int(pid) for pid in done.stdout.split()[4:]]
    assert said == ["0", "healthy", "unhealthy", "port-dropped"], done.stdout + done.stderr
    assert len(pids) == 3
    assert gone(pids)
    assert machine() == before


def test_a_memory_group_says_why_there_is_none():
    """The machine's groups are not the namespace's to limit, unless its owner may write there anyway."""
    done = run(BEGIN + "from commcheck.lab.memory import memory_group\nwith memory_group(1 << 26): print('made')")
    assert done.stdout == "made\n" or "no memory control group can be made" in done.stderr


def test_the_command_is_started_again_once_with_its_arguments():
    done = run(BEGIN + "become_root(); print(os.geteuid(), sys.argv[1:], os.environ['COMMCHECK_USER_NAMESPACE'])")
    assert done.stdout == "0 [] 1\n", done.stderr


def test_where_it_is_forbidden_the_setting_is_named():
    # A user namespace has limits of its own: none below this one.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --bounding-set=-all "$@"'
    code = "from commcheck.lab import unprivileged\nimport os\nos.geteuid = lambda: 1000\nunprivileged.become_root()"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert "sysctl user.max_user_namespaces=10000" in done.stderr, done.stderr


def test_an_unknown_refusal_is_told_in_the_kernels_words():
    assert "Operation not permitted" in refusal(1)
