"""The examples of docs/examples that need no cluster: each is taken by what it is for, or by its schema."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from made_clusters import cluster

from commcheck.cluster.history import file_name
from commcheck.cluster.rendering import rendered

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SHELL = sorted((*EXAMPLES.rglob("*.sh"), *EXAMPLES.rglob("*.sbatch"), *EXAMPLES.rglob("*.nhc")))
JOB = json.loads((Path(__file__).parent / "kubernetes" / "schemas.json").read_text())["kinds"]["Job"]


def wrapper(directory):
    """A command named commcheck that is this one."""
    path = directory / "commcheck"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m commcheck "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("path", SHELL, ids=lambda p: p.name)
def test_shell_scripts_are_such(path):
    shell = "sh" if path.read_text().startswith("#!/bin/sh") else "bash"
    checked = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stderr
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", "-s", shell, str(path)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout


# --- LBNL Node Health Check ----------------------------------------------------------------------------------------------

HARNESS = r"""
# As nhc does: read all checks, then for each line of the configuration whose nodes match, run the check; `die` ends it.
die() { local code="$1"; shift; echo "ERROR:  nhc:  Health check failed:  $*"; exit "$code"; }
source "$1"
while IFS= read -r line; do
    case "$line" in ''|'#'*) continue ;; esac
    check="${line#*|| }"
    eval "${check//\/shared\/commcheck\/history/$3}" || exit 1
done < "$2"
"""


def node_health(directory, interface, history):
    conf = (EXAMPLES / "nhc" / "nhc.conf").read_text().replace("eth1", interface)
    (directory / "nhc.conf").write_text(conf)
    words = [
        "bash",
        "-c",
        HARNESS,
        "nhc",
        str(EXAMPLES / "nhc" / "commcheck.nhc"),
        str(directory / "nhc.conf"),
        str(history),
    ]
    environment = {"COMMCHECK": str(wrapper(directory)), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)


def test_a_node_health_check_passes_and_names_what_is_wrong(tmp_path):
    history = tmp_path / "history"
    fine = node_health(tmp_path, "lo", history)
    assert (fine.returncode, fine.stdout) == (0, ""), fine.stderr
    wrong = node_health(tmp_path, "nope0", history)
    assert wrong.returncode == 1
    assert "check_commcheck_lint:  commcheck: interface-missing: " in wrong.stdout


def test_a_node_health_check_reads_whether_the_cluster_s_report_calls_this_node_bad(tmp_path):
    history = tmp_path / "history"
    history.mkdir()
    here = subprocess.run(["uname", "-n"], capture_output=True, text=True, timeout=10).stdout.strip()
    for begun, name in ((1e9, "node0003"), (1e9 + 60, here)):
        report = cluster(4, dead=3, begun=begun)
        text = rendered(report, "json").replace("node0003", name)
        (history / file_name(report)).write_text(text, encoding="utf-8")
        done = node_health(tmp_path, "lo", history)
        assert done.returncode == int(name == here), done.stdout + done.stderr
    assert f"check_commcheck_cluster:  commcheck: data-ports-dropped: {here} lets nobody in" in done.stdout


# --- Kubernetes, GitHub, systemd ------------------------------------------------------------------------------------------


def described(fields):
    """The schema's own excerpt has the fields that commcheck writes; an example has these too, checked by their shape."""
    pod = fields["template"]["spec"]
    assert set(pod) <= {"subdomain", "restartPolicy", "initContainers", "containers", "volumes"}
    for volume in pod.pop("volumes", []):
        assert set(volume) == {"name", "persistentVolumeClaim"}
        assert set(volume["persistentVolumeClaim"]) == {"claimName"}
    for one in (*pod.get("initContainers", []), *pod["containers"]):
        assert isinstance(one["name"], str)
        one["command"] += one.pop("args", [])
        for variable in one.pop("env", []):
            assert set(variable) == {"name", "value"}
            assert isinstance(variable["value"], str)
    pod["containers"] += pod.pop("initContainers", [])  # of the same type


def test_the_init_container_is_a_job_that_the_api_takes_and_says_what_is_wrong(tmp_path):
    (job,) = yaml.safe_load_all((EXAMPLES / "kubernetes" / "init-container.yaml").read_text())
    (check,) = job["spec"]["template"]["spec"]["initContainers"]
    command = [str(wrapper(tmp_path)), *check["command"][1:]]
    assert check["command"][0] == "commcheck"
    for interface, code in (("lo", 0), ("nope0", 1)):
        settings = {v["name"]: v["value"] for v in check["env"]} | {"GLOO_SOCKET_IFNAME": interface}
        done = subprocess.run(
            command, env={"PATH": "/usr/bin:/bin", **settings}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, done.stdout + done.stderr
    described(job["spec"])
    jsonschema.validate(job, JOB)


def test_the_cron_job_holds_a_job_that_the_api_takes():
    (made,) = yaml.safe_load_all((EXAMPLES / "kubernetes" / "cronjob.yaml").read_text())
    assert (made["apiVersion"], made["kind"]) == ("batch/v1", "CronJob")
    spec = made["spec"]
    assert set(spec) == {
        "schedule",
        "concurrencyPolicy",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
        "jobTemplate",
    }
    assert len(spec["schedule"].split()) == 5
    inner = spec["jobTemplate"]["spec"]
    (container,) = inner["template"]["spec"]["containers"]
    options = container["args"][0].partition("commcheck cluster")[2].split()
    from commcheck.cli import cluster as verb
    from commcheck.cli.parser import Parser

    parser = Parser(prog="commcheck cluster")
    verb.add_arguments(parser)
    assert parser.parse_args(options).history == "/shared/history"
    described(inner)
    inner.pop("activeDeadlineSeconds")
    jsonschema.validate({"apiVersion": "batch/v1", "kind": "Job", "metadata": made["metadata"], "spec": inner}, JOB)


def test_the_workflow_s_step_runs_as_it_stands(tmp_path):
    flow = yaml.safe_load((EXAMPLES / "github" / "commcheck.yml").read_text())
    steps = flow["jobs"]["test"]["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    assert flow["jobs"]["test"]["runs-on"] == "ubuntu-latest"
    (run,) = [step["run"] for step in steps if step.get("run", "").startswith("commcheck ")]
    pytest.importorskip("torch")
    wrapper(tmp_path)
    done = subprocess.run(
        ["bash", "-e", "-c", f"PATH={tmp_path}:$PATH; {run}"], cwd=tmp_path, capture_output=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    assert b"<testsuite" in (tmp_path / "commcheck.xml").read_bytes()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on PATH (Debian: systemd)")
def test_systemd_takes_the_units(tmp_path):
    for unit in sorted((EXAMPLES / "systemd").iterdir()):
        text = unit.read_text()
        if unit.suffix == ".service":
            assert text.count("/usr/local/bin/commcheck") == 1
            text = text.replace("/usr/local/bin/commcheck", str(wrapper(tmp_path)))
        (tmp_path / unit.name).write_text(text)
    words = ["systemd-analyze", "verify", "--man=no", *(str(p) for p in sorted(tmp_path.glob("commcheck.*")))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "commcheck" not in done.stderr, done.stderr


def test_the_service_s_command_leaves_metrics(tmp_path):
    text = (EXAMPLES / "systemd" / "commcheck.service").read_text()
    (line,) = [x for x in text.splitlines() if x.startswith("ExecStart=")]
    command = line.removeprefix("ExecStart=").replace("/usr/local/bin/commcheck", str(wrapper(tmp_path)))
    command = command.replace("/var/lib/node_exporter", str(tmp_path))
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert 'commcheck_verdict{verdict="healthy"} 1\n' in (tmp_path / "commcheck.prom").read_text()
