"""Jobs that never started: what launchers refuse, GPUs without a driver, ranks that never came; and who says it first."""

import pytest

from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import FLAGGED, judge

SAID = (
    (
        "launcher-failure",
        "torchrun: error: the following arguments are required: training_script, training_script_args",
    ),
    ("launcher-failure", "torchrun: error: ambiguous option: --start could match --start-method, --start_method"),
    ("launcher-failure", "accelerate <command> [<args>] launch: error: ambiguous option: --f could match --fp16"),
    ("launcher-failure", "Accelerate CLI tool: error: unrecognized arguments: --deepspeed_multinode_launcher"),
    ("launcher-failure", "run.py: error: argument --nproc_per_node: invalid int value: 'x'"),
    ("launcher-failure", "10.9.0.2: launch.py: error: the following arguments are required: training_script"),
    ("env-malformed", "torchrun: error: argument --master-port/--master_port: invalid int value: ''"),
    ("launcher-mismatch", "launch.py: error: unrecognized arguments: --local-rank=0"),
    ("script-error", "10.9.0.2: train.py: error: the following arguments are required: --data"),
    ("version-mismatch", "TypeError: __init__() got an unexpected keyword argument 'tpu_use_cluster'"),
    (
        "version-mismatch",
        "ValueError: The config file at a.yaml had unknown keys (['debug']), please try upgrading your `accelerate` version",
    ),
    ("device-missing", "OSError: libnvidia-ml.so.1: cannot open shared object file: No such file or directory"),
    ("device-missing", "AssertionError: libcuda.so cannot found!"),
    ("library-missing", "ImportError: libcudart.so.11.0: cannot open shared object file: No such file or directory"),
    (
        "collective-shape-mismatch",
        "trainer-a:1:2 [0] external/nccl_archive/src/transport/net_socket.cc:200 NCCL WARN NET/Socket : message truncated : receiving 65536 bytes instead of 4096",
    ),
    (
        "build-failure",
        "a/nccl_operations.cc:90:3: error: \u2018ncclCommGetAsyncError\u2019 was not declared in this scope",
    ),
    ("build-failure", "error: 'ncclCommGetAsyncError' was not declared in this scope"),
    ("build-failure", 'nccl.cu(90): error: identifier "ncclAlltoAll" is undefined'),
    ("world-size-mismatch", "RuntimeError: world_size (1) is not divisible by 2"),
)


@pytest.mark.parametrize(("cause", "text"), SAID, ids=lambda x: x[:60])
def test_what_a_start_failed_with(cause: str, text: str) -> None:
    found = judge(case_from_text([("job.log", text.encode())])).diagnoses
    assert found[0].cause == cause
    assert found[0].confidence >= FLAGGED


HARMLESS = (
    "[trainer-a:41] mca_base_component_repository_open: unable to open mca_plm_lsf: libbat.so: cannot open shared object file: No such file or directory (ignored)",
    "[trainer-a:41] mca_base_component_repository_open: unable to open mca_op_avx: /usr/lib/openmpi/mca_op_avx.so: undefined symbol: ompi_op_base_module_t_class (ignored)",
    "slurmstepd: error: Unable to create TMPDIR [/tmp/user/1000]: Permission denied\nslurmstepd: error: Setting TMPDIR to /tmp",
    "W0101 10:00:00.000 torch/distributed/elastic/rendezvous/dynamic_rendezvous.py:1267] The node 'a_1_0' has failed to send a keep-alive heartbeat to the rendezvous '100' due to an error of type RendezvousTimeoutError.",
    "libibverbs: Warning: couldn't load driver 'libmlx5-rdmav34.so': libmlx5-rdmav34.so: cannot open shared object file: No such file or directory",
    "t/io/image.py:13: UserWarning: Failed to load image Python extension: libjpeg.so.62: cannot open shared object file: No such file or directory",
    "E tensorflow/stream_executor/cuda/cuda_driver.cc:271] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected",
    "[W socket.cpp:697] [c10d] The client socket has failed to connect to [localhost]:12355 (errno: 99 - Cannot assign requested address).",
    "W tensorflow/core/common_runtime/bfc_allocator.cc:239] Allocator (GPU_0_bfc) ran out of memory trying to allocate 3.46GiB with freed_by_count=0. The caller indicates that this is not a failure, but may mean that there could be performance gains if more memory were available.",
    "I tensorflow/stream_executor/cuda/cuda_driver.cc:763] failed to allocate 343.34M (360015104 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    "WARNING 07-22 03:07:03 custom_all_reduce.py:134] Custom allreduce is disabled because it's not supported on more than two PCIe-only GPUs. To silence this warning, specify disable_custom_all_reduce=True explicitly.",
    "[2026-11-01 16:50:36 TP1] Setup Custom allreduce failed with CUDART error: peer access is not supported between these two devices. To silence this warning, specify --disable-custom-all-reduce explicitly.",
)


@pytest.mark.parametrize("text", HARMLESS, ids=lambda x: x[:40])
def test_what_calls_itself_no_failure_is_none(text: str) -> None:
    found = judge(case_from_text([("job.log", text.encode())])).diagnoses
    assert not [d for d in found if d.confidence >= FLAGGED]


def test_what_cannot_be_pickled_for_a_new_process_is_no_checkpoint() -> None:
    raised = "TypeError: can't pickle module objects"
    assert (
        judge(case_from_text([("a", raised.encode())])).diagnoses[0].symptom.value == "train-checkpoint-unfunctioning"
    )
    frame = "    ForkingPickler(file, protocol).dump(obj)\n"
    starting = judge(case_from_text([("a", (frame + raised).encode())])).diagnoses[0]
    assert (starting.cause, starting.symptom.value) == ("fork-or-pickle", "prep-data-loading-failure")


def _causes(text: str) -> list[str]:
    return [d.cause for d in judge(case_from_text([("job.log", text.encode())])).diagnoses]


def test_a_wait_at_the_store_while_the_group_is_set_up_is_for_one_that_never_came() -> None:
    frames = 'Traceback (most recent call last):\n  File "t/distributed_c10d.py", line 703, in {}\n    x\n'
    timeout = "RuntimeError: Socket Timeout"
    assert _causes(frames.format("_new_process_group_helper") + timeout)[0] == "rank-missing"
    assert _causes(frames.format("barrier") + timeout)[0] == "rank-straggling"


def test_what_an_engine_says_of_its_worker_stands_behind_the_workers_own_words() -> None:
    engine = "[2026-01-30 18:11:34 TP10] Scheduler hit an exception: Traceback (most recent call last):"
    worker = (
        "[rank10]:[E130 18:11:34.707542570 ProcessGroupGloo.cpp:143] Gloo connectFullMesh failed with "
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:144] no error"
    )
    assert _causes(engine)[0] == "rank-exited"
    assert "rank-exited" not in _causes(worker + "\n" + engine)
