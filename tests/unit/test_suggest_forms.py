"""The settings in each form, read back by what reads them: bash, a YAML parser, the quoting rules of a Dockerfile."""

import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from commcheck.model.diagnosis import Verdict
from commcheck.registry import exported
from commcheck.suggest.form import Form
from commcheck.suggest.forms.dockerfile import quoted as docker_quoted
from commcheck.suggest.model import Leftover, Setting, Suggestion
from commcheck.suggest.text import form_named, render

NAMES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "RES_OPTIONS", "OMP_NUM_THREADS")
RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT")
FORMS = ("dockerfile", "kubernetes", "shell", "slurm", "torchrun")
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NASTY = "a'b\"c $HOME `id` $(id) \\ \n # é \U0001f600 \x85 \u2028 !x $$"
HOSTS = ("h0", "h1")
PATIENT = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def suggestion(told, hosts=HOSTS, leftovers=()):
    """One with these settings: by name a value for all hosts, or one per host."""
    made = tuple(
        Setting(
            name=name,
            values=value if isinstance(value, dict) else dict.fromkeys(hosts, value),
            of_main=name in RENDEZVOUS,
        )
        for name, value in sorted(told.items())
    )
    return Suggestion(
        verdict=Verdict.HEALTHY,
        size=len(hosts),
        backend="gloo",
        hosts=hosts,
        hostnames={h: h for h in hosts},
        ranks={h: (i,) for i, h in enumerate(hosts)},
        settings=made,
        leftovers=leftovers,
    )


@st.composite
def told(draw):
    """Settings, some the same on both hosts, some not, some on one host alone."""
    same = draw(st.dictionaries(st.sampled_from(NAMES[:2] + RENDEZVOUS), VALUES, max_size=3))
    own = draw(
        st.dictionaries(
            st.sampled_from(NAMES[2:]), st.dictionaries(st.sampled_from(HOSTS), VALUES, min_size=1), max_size=2
        )
    )
    return same | own


def commands(folder, **programs):
    """Programs of these names in a folder of their own, to stand in front of PATH."""
    for name, text in programs.items():
        path = Path(folder, name)
        path.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def bash(script, env):
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, check=True, timeout=20)
    return done.stdout


def environment(output):
    """What `env -0` printed, without what bash adds."""
    rows = dict(row.split("=", 1) for row in output.decode().split("\0") if "=" in row)
    return {k: v for k, v in rows.items() if k in NAMES + RENDEZVOUS}


@PATIENT
@given(told(), st.sampled_from(HOSTS))
@example(dict.fromkeys(NAMES, NASTY), "h0")
def test_a_shell_that_sources_it_has_the_environment(told, host):
    found = suggestion(told)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "settings").write_text(render(found, form_named("shell"), commented=True), encoding="utf-8")
        env = commands(folder, uname=f"[ $# = 1 -a $1 = -n ] && echo {host}")
        assert environment(bash(f". {folder}/settings; env -0", env)) == found.environment(host)


@PATIENT
@given(told(), st.sampled_from(HOSTS))
@example(dict.fromkeys(NAMES, NASTY), "h1")
def test_a_task_of_the_batch_script_has_the_environment(told, host):
    found = suggestion(told)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "batch").write_text(render(found, form_named("slurm"), commented=True), encoding="utf-8")
        env = commands(folder, srun='exec "$@"', python="env -0")
        env |= {"SLURMD_NODENAME": host, "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}
        output = bash(f"bash {folder}/batch", env)
    usual = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    assert environment(output) == usual | found.environment(host)
    assert {b"RANK=1", b"WORLD_SIZE=2", b"LOCAL_RANK=0"} <= set(output.split(b"\0"))


def test_slurm_reads_its_lines_before_the_first_command():
    lines = render(suggestion({"MASTER_ADDR": "h0"}), form_named("slurm"), commented=True).splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    read = [line for line in lines[:first] if line.startswith("#SBATCH")]
    assert read == [line for line in lines if line.startswith("#SBATCH")]
    assert read == [
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks=2",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --nodelist=h0,h1",
    ]


@PATIENT
@given(told(), st.sampled_from(HOSTS))
@example(dict.fromkeys((*NAMES, *RENDEZVOUS), NASTY), "h0")
def test_torchrun_gets_the_environment_and_its_options(told, host):
    found = suggestion(told)
    block = form_named("torchrun").render(found)
    with tempfile.TemporaryDirectory() as folder:
        env = commands(folder, torchrun='printf "%s\\0" "$@"; env -0')
        start = block.index(f"# on {host}\n") + len(f"# on {host}\n")
        end = block.find("\n# on h1\n") if host == "h0" else len(block)
        output = bash(block[start:end], env).decode().split("\0")
    options = dict(o[2:].split("=", 1) for o in output if o.startswith("--"))
    expected = found.environment(host)
    assert options.pop("nnodes") == "2"
    assert options.pop("nproc-per-node") == "1"
    assert options.pop("node-rank") == str(HOSTS.index(host))
    given_as_options = {name: expected[name] for name in RENDEZVOUS if name in expected}
    assert options == {name.lower().replace("_", "-"): value for name, value in given_as_options.items()}
    rest = environment("\0".join(o for o in output if not o.startswith("--")).encode())
    assert rest == {k: v for k, v in expected.items() if k not in RENDEZVOUS}


def expanded(value):
    """What Kubernetes makes of a value: $$ is a dollar sign, $(NAME) a variable (and must not be left)."""
    assert not re.search(r"(?<!\$)(?:\$\$)*\$\(", value)
    return value.replace("$$", "$")


@PATIENT
@given(told())
@example(dict.fromkeys(NAMES, NASTY))
@example({"RES_OPTIONS": {"h0": "\x7f\x9f\ufeff", "h1": "~"}, "NCCL_SOCKET_IFNAME": "yes"})
def test_a_yaml_parser_reads_the_environment_of_each_node(told):
    found = suggestion(told)
    documents = [d for d in yaml.safe_load_all(render(found, form_named("kubernetes"), commented=True)) if d]
    by_node = {
        d["spec"].get("nodeSelector", {}).get("kubernetes.io/hostname", ""): {
            e["name"]: expanded(e["value"]) for e in d["spec"]["containers"][0]["env"]
        }
        for d in documents
    }
    for host in HOSTS:
        assert by_node.get(host, by_node.get("", {})) == found.environment(host)
    assert all(d["spec"]["hostNetwork"] is True for d in documents)


def docker_env(line):
    """ENV NAME="VALUE" by the rules of the Dockerfile reference: in double quotes a backslash stands before what is meant
    as it is where that is a quote, a dollar sign or a backslash, and a dollar sign begins a variable."""
    name, _, rest = line.removeprefix("ENV ").partition("=")
    assert rest[0] == '"'
    value, i = "", 1
    while rest[i] != '"':
        if rest[i] == "\\" and rest[i + 1] in '"$\\':
            i += 1
        else:
            assert rest[i] != "$"
        value += rest[i]
        i += 1
    assert i == len(rest) - 1
    return name, value


@PATIENT
@given(told())
@example(dict.fromkeys(NAMES, NASTY.replace("\n", "")))
def test_the_lines_of_a_dockerfile_say_what_all_hosts_share(told):
    found = suggestion(told)
    lines = render(found, form_named("dockerfile"), commented=True).split("\n")
    read = dict(docker_env(line) for line in lines if line.startswith("ENV "))
    first, second = (found.environment(h) for h in HOSTS)
    shared = {k: v for k, v in first.items() if second.get(k) == v}
    assert read == {k: v for k, v in shared.items() if not set(v) & {"\n", "\r"}}
    for name in (first.keys() | second.keys()) - read.keys():
        assert any(line.startswith("#") and name in line for line in lines)


def test_a_dockerfile_cannot_end_its_line_inside_a_value():
    assert docker_quoted("a\\") == '"a\\\\"'


@pytest.mark.parametrize("form", FORMS)
def test_where_nothing_is_needed_nothing_is_set(form):
    text = render(suggestion({}, hosts=("h0",)), form_named(form), commented=True)
    assert "NOTHING NEEDS TO BE SET" in text
    told = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not [line for line in told if any(name in line for name in NAMES)]


@pytest.mark.parametrize("form", ["shell", "slurm", "torchrun"])
def test_what_does_harm_in_this_shell_is_unset(form):
    harm = (
        Leftover(name="GLOO_SOCKET_IFNAME", value="nope0", harmless=False),
        Leftover(name="NCCL_SOCKET_IFNAME", value="eth0", harmless=True),
    )
    block = form_named(form).render(suggestion({"MASTER_ADDR": "h0"}, leftovers=harm))
    assert re.search(r"(unset|-u) GLOO_SOCKET_IFNAME", block)
    assert "NCCL_SOCKET_IFNAME" not in block


def test_the_forms_are_those_that_the_command_offers():
    from commcheck.cli.suggest import FORMS as OFFERED

    assert sorted(f.name for f in exported("commcheck.suggest.forms", "FORM", Form)) == sorted(OFFERED) == list(FORMS)
