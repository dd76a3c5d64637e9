"""What launchers' variables say of a process, and what would be started under each engine."""

import json
import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose.ingest import marks
from commcheck.engines.base import Wanted
from commcheck.engines.detecting import completed, engines, held, member, run_named
from commcheck.engines.nodelist import expand

SRUN = {
    "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_NTASKS": "6", "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "2", "SLURM_STEP_NODELIST": "gpu[07-09]", "SLURM_STEP_TASKS_PER_NODE": "2(x3)",
}  # fmt: skip
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}


def test_srun() -> None:
    added, said = completed(SRUN)
    assert said is not None
    assert added == {
        "RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "gpu07", "MASTER_PORT": "24711",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"SLURM_STEP_ID": None},  # a batch script's own shell
        {"SLURM_PROCID": None},  # a shell that salloc gave
        {"SLURM_STEP_NUM_TASKS": "1"},  # srun --pty bash
        {"RANK": "0"},  # somebody has set up the world already
        {"SLURM_PROCID": "nonsense"},
    ],
)
def test_what_is_no_rank_under_slurm(change: dict[str, str | None]) -> None:
    environ = {name: value for name, value in {**SRUN, **change}.items() if value is not None}
    assert completed(environ) == ({}, None)


def test_what_the_user_has_set_stays() -> None:
    added, _ = completed({**SRUN, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"})
    assert {"MASTER_ADDR", "MASTER_PORT"}.isdisjoint(added)


def test_mpi_names_no_host_where_there_are_several() -> None:
    assert "MASTER_ADDR" not in completed(MPIRUN)[0]
    assert completed({**MPIRUN, "OMPI_COMM_WORLD_LOCAL_SIZE": "4"})[0]["MASTER_ADDR"] == "127.0.0.1"
    assert completed(HYDRA)[0] == {
        "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
    }  # fmt: skip


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}
SAGEMAKER = {"SM_HOSTS": '["algo-2", "algo-1"]', "SM_CURRENT_HOST": "algo-2", "SM_NUM_GPUS": "1"}


@pytest.mark.parametrize(
    ("environ", "engine", "rank", "size"),
    [
        (TORCHRUN, "torchrun", 3, 4),
        ({**TORCHRUN, "ACCELERATE_MIXED_PRECISION": "no"}, "torchrun", 3, 4),
        ({"RANK": "1", "WORLD_SIZE": "2", "ACCELERATE_MIXED_PRECISION": "no"}, "accelerate", 1, 2),
        (
            {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_SIZE": "8", "CROSS_RANK": "1", "CROSS_SIZE": "2"},
            "deepspeed",
            9,
            16,
        ),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "4"}, "lightning", 1, 4),
        (SAGEMAKER, "sagemaker", 1, 2),
        ({**SAGEMAKER, **TORCHRUN}, "torchrun", 3, 4),
        ({**SAGEMAKER, **MPIRUN}, "openmpi", 3, 4),
    ],
)
def test_frameworks_launchers(environ: dict[str, str], engine: str, rank: int, size: int) -> None:
    said = member(environ)
    assert said is not None
    assert (said.engine, said.rank, said.world_size) == (engine, rank, size)


@pytest.mark.parametrize(
    "environ",
    [
        {"LOCAL_RANK": "1", "NODE_RANK": "1", "WORLD_SIZE": "4"},  # how many ranks the first host has is not said
        {**SAGEMAKER, "SM_NUM_GPUS": "8"},
        {**SAGEMAKER, "SM_HOSTS": '["algo-1"'},
        {**SAGEMAKER, "SM_HOSTS": "[1, 2]"},
        {**SAGEMAKER, "SM_CURRENT_HOST": "algo-9"},
        {"RANK": "1", "WORLD_SIZE": "2"},
    ],
)
def test_what_does_not_say_which_rank_it_is(environ: dict[str, str]) -> None:
    assert member(environ) is None


def test_a_host_s_entry_point_under_sagemaker_joins() -> None:
    assert completed(SAGEMAKER)[0] == {
        "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "algo-1", "MASTER_PORT": "29500",
    }  # fmt: skip


BATCH = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "4", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_NODEID": "0"}


@pytest.mark.parametrize(
    ("change", "ranks"),
    [
        ({}, 4),
        ({"SLURM_NTASKS": "32"}, 32),
        ({"SLURM_NTASKS": None}, 4),  # a shell that salloc gave
        ({"SLURM_GPUS_ON_NODE": "8"}, 32),
        ({"SLURM_STEP_ID": "4294967290"}, 4),  # the step of salloc's own shell
        ({"SLURM_STEP_ID": "4294967291"}, 4),  # the batch script's
        ({"SLURM_STEP_ID": "0"}, None),  # srun --pty bash
        ({"SLURM_JOB_NUM_NODES": "1"}, None),
        ({"RANK": "0"}, None),
        ({"SLURM_JOB_ID": None}, None),
    ],
)
def test_an_allocation_without_a_step_is_there_to_start_ranks_in(change: dict[str, str | None], ranks) -> None:
    found = held({name: value for name, value in {**BATCH, **change}.items() if value is not None})
    assert (found and (found.engine, found.ranks)) == (ranks and ("slurm", ranks))


def test_an_entry_point_of_a_ray_job_has_the_cluster() -> None:
    found = held({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"})
    assert found is not None
    assert (found.engine, found.nodes) == ("ray", 0)
    assert held({"RAY_ADDRESS": "10.0.0.1:6379"}) is None


def test_a_run_has_the_launcher_s_name() -> None:
    assert run_named(SRUN) == "4711.0"
    assert run_named({}) == ""
    assert run_named({**MPIRUN, "PMIX_NAMESPACE": "prte-1"}) == "prte-1"


def test_the_innermost_engine_speaks() -> None:
    said = member({**SRUN, **MPIRUN})
    assert said is not None
    assert (said.engine, said.rank) == ("openmpi", 3)


def test_nothing_is_made_up() -> None:
    assert member({}) is None
    assert member({"OMPI_COMM_WORLD_RANK": "4", "OMPI_COMM_WORLD_SIZE": "4"}) is None


@given(
    st.dictionaries(
        st.sampled_from([*SRUN, *MPIRUN, *HYDRA, *SAGEMAKER, "FLUX_TASK_RANK", "JOB_COMPLETION_INDEX", "PET_NNODES"]),
        st.text(max_size=12),
    )
)
def test_any_environment_is_read(environ: dict[str, str]) -> None:
    added, said = completed(environ)
    assert bool(added) == (said is not None)
    if said is not None:
        assert 0 <= said.rank < said.world_size


# --- host lists ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("h0", ["h0"]),
        ("gpu[08-10],head", ["gpu08", "gpu09", "gpu10", "head"]),
        ("r[1-2]n[01,3]", ["r1n01", "r1n3", "r2n01", "r2n3"]),
        ("a[1", []),
        ("a[2-1]", []),
        ("a]b", []),
        ("", []),
    ],
)
def test_host_lists(text: str, hosts: list[str]) -> None:
    assert list(expand(text)) == hosts


@given(st.integers(0, 900), st.integers(1, 60), st.integers(1, 4))
def test_ranges_keep_their_zeros(low: int, count: int, width: int) -> None:
    names = [f"n{str(low + i).zfill(width)}" for i in range(count)]
    assert list(expand(f"n[{str(low).zfill(width)}-{low + count - 1:0{width}d}]")) == names


@given(st.text(max_size=60))
def test_any_text_is_a_host_list_or_none(text: str) -> None:
    assert isinstance(expand(text), tuple)


def test_a_list_of_more_hosts_than_there_are_is_none() -> None:
    assert expand("a[1-9999999999]") == ()
    assert expand("a[1-99999]b[1-99999]") == ()


# --- what would be started -------------------------------------------------------------------------------------

RENDERED = [engine for engine in engines() if engine.render is not None]


@pytest.mark.parametrize("engine", RENDERED, ids=lambda engine: engine.name)
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_plan_starts_every_rank_with_the_options_that_were_given(engine, nodes) -> None:
    hosts = tuple(f"host{n}" for n in range(nodes))
    wanted = Wanted(nodes=nodes, ranks_per_node=4, report_dir="/shared/a b", options=("--backend", "gloo"), hosts=hosts)
    launch = engine.render(wanted)
    text = "\n".join((*launch.commands, *(content for _, content in launch.files)))
    assert "commcheck" in text
    assert "preflight" in text
    assert "/shared/a b" in text
    assert "--backend" in text
    assert all(shlex.split(command) for command in launch.commands)


@pytest.mark.parametrize("name", ["slurm", "openmpi", "hydra"])
def test_another_program_is_started_once_per_host_without_a_rendezvous(name: str) -> None:
    (engine,) = [e for e in RENDERED if e.name == name]
    runs = ("commcheck", "cluster", "--report-dir", "/a b")
    command = shlex.split(engine.render(Wanted(nodes=2, ranks_per_node=1, hosts=("x", "y"), runs=runs)).commands[0])
    assert command[-len(runs) :] == list(runs)
    assert not any("MASTER" in word for word in command)
    assert any("x" in word and "y" in word for word in command)


def test_srun_is_told_to_pass_its_input_on() -> None:
    (engine,) = [e for e in RENDERED if e.name == "slurm"]
    for talks in (False, True):
        (command, _) = engine.render(Wanted(nodes=2, ranks_per_node=1, runs=("true",), talks=talks)).commands
        assert ("--input=all" in command) is talks


def test_srun_says_which_hosts_it_has_not_reached() -> None:
    (slurm,) = [e for e in engines() if e.name == "slurm"]
    assert slurm.unreached is not None
    said = "Task launch for StepId=4.0 failed on node h2: Communication connection failure"
    others = (
        "srun: error: Application launch failed: Communication connection failure",
        "srun: error: h0: task 0: Killed",
    )
    assert slurm.unreached((f"srun: error: {said}", *others)) == {"h2": said}


def test_an_allocation_tells_its_hosts_in_the_order_of_ranks() -> None:
    (slurm,) = [e for e in engines() if e.name == "slurm"]
    allocated = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_NODELIST": "a[1-2],b"}
    assert slurm.holds is not None
    assert slurm.holds(allocated).hosts == ("a1", "a2", "b")


def test_a_kubernetes_manifest_is_what_its_api_takes() -> None:
    (engine,) = [e for e in RENDERED if e.name == "kubernetes"]
    launch = engine.render(Wanted(nodes=3, ranks_per_node=2, report_dir="/reports", image="img:1"))
    service, job = json.loads(launch.files[0][1])["items"]
    pod = job["spec"]["template"]["spec"]
    assert (job["apiVersion"], job["spec"]["completions"], job["spec"]["completionMode"]) == ("batch/v1", 3, "Indexed")
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    env = {e["name"]: e["value"] for e in pod["containers"][0]["env"]}
    assert (env["WORLD_SIZE"], env["LOCAL_WORLD_SIZE"], env["MASTER_ADDR"]) == ("6", "2", "commcheck-0.commcheck")


def test_the_ray_driver_is_python() -> None:
    (engine,) = [e for e in RENDERED if e.name == "ray"]
    launch = engine.render(Wanted(nodes=2, ranks_per_node=2, report_dir="/x'y\"z"))
    compile(launch.files[0][1], "driver", "exec")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=6))
def test_options_come_back_from_a_shell(parts: list[str]) -> None:
    for engine in RENDERED:
        if engine.name in {"torchrun", "slurm", "openmpi", "hydra"}:
            assert engine.render is not None
            launch = engine.render(Wanted(nodes=1, ranks_per_node=2, report_dir="/r", options=tuple(parts)))
            command = shlex.split(launch.commands[0].removesuffix(" && commcheck diagnose /r"))
            assert command[len(command) - len(parts) :] == parts


# --- the command -----------------------------------------------------------------------------------------------


def plan(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commcheck", "plan", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
    )


def test_plan_prints_commands_and_files() -> None:
    done = plan("slurm", "--nodes", "2", "--ranks-per-node", "8", "--options=--timeout 60")
    assert done.returncode == 0
    assert "#SBATCH --nodes=2" in done.stdout
    assert (
        "srun --nodes=2 --ntasks-per-node=8 --ntasks=16 --kill-on-bad-exit=0 commcheck preflight --report-to stdout"
        in done.stdout
    )
    assert "\ncommcheck preflight --timeout 60\n" in done.stdout
    assert "commcheck diagnose -" in done.stdout


def test_plan_with_a_directory_that_all_hosts_share() -> None:
    done = plan("slurm", "--nodes", "2", "--ranks-per-node", "8", "--report-dir", "/shared")
    assert done.stdout.count("--kill-on-bad-exit=0 commcheck preflight --report-dir /shared") == 2
    assert "# afterwards: commcheck diagnose /shared" in done.stdout


def test_plan_says_what_this_process_is() -> None:
    assert "slurm: rank 5 of 6" in plan(**SRUN).stdout
    assert "no engine's variables" in plan().stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nomad",), "no engine of that name"),
        (("slurm", "--nodes", "0"), "--nodes 0"),
        (("slurm", "--master-port", "70000"), "a port is a number"),
        (("slurm", "--nodes", "2", "--host", "a"), "1 hosts are named"),
        (("slurm", "--options=it's"), "--options it's: No closing quotation"),
    ],
)
def test_a_wrong_plan_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = plan(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_written_files_are_not_overwritten(tmp_path) -> None:
    assert plan("slurm", "--write", str(tmp_path)).returncode == 0
    assert (tmp_path / "commcheck.sbatch").read_text().startswith("#!/bin/bash")
    assert plan("slurm", "--write", str(tmp_path)).returncode == 2


def test_the_mark_of_sagemaker_s_mpirun_names_rank_and_host() -> None:
    """As in the training logs that its toolkit writes: -tag-output, with the toolkit's own form of the tag."""
    marked = marks.read("[1,mpirank:13,algo-2]<stderr>:RuntimeError: CUDA error")
    assert (marked.rank, marked.host, marked.text) == (13, "algo-2", "RuntimeError: CUDA error")
