"""Variants of one message, as its source builds them: every one of them is read alike, whichever an example showed."""

import pytest

from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import FLAGGED, judge

_DIED = ("rank-exited", "rank-killed", "rank-crashed")

VARIANTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (  # slurm: src/common/slurm_errno.c behind what srun, salloc, sbatch and slurmstepd were doing
        ("launcher-failure",),
        (
            "srun: error: Unable to create step for job 77: Requested node configuration is not available",
            "srun: error: Unable to create step for job 77: Invalid generic resource (gres) specification",
            "srun: error: Unable to allocate resources: Requested nodes are busy",
            "srun: error: Unable to confirm allocation for job 42: Invalid job id specified",
            "salloc: error: Job submit/allocate failed: Invalid qos specification",
            "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy",
            "srun: error: Application launch failed: Communication connection failure",
            "srun: error: Task launch for StepId=42.0 failed on node trainer-b: Job credential expired",
            "srun: error: invalid number of tasks (-n -1)",
            "srun: fatal: cpus-per-task set by two different environment variables",
            "slurmstepd: error: execve(): python: No such file or directory",
            "slurmstepd: error: mpi/pmi2: failed to send temp kvs to compute nodes",
            "slurmstepd: error: pyxis: container start failed with error code: 1",
        ),
    ),
    (("rank-oom-killed",), ("srun: error: trainer-b: task 3: Out Of Memory",)),
    (
        ("rank-killed",),
        (
            "slurmstepd: error: *** STEP 626.1 ON trainer-b CANCELLED AT 2031-07-27T11:38:46 DUE TO TIME LIMIT ***",
            "slurmstepd: error: *** JOB 626 ON trainer-b CANCELLED AT 2031-07-27T11:38:46 DUE TO PREEMPTION ***",
            "srun: error: Node failure on trainer-b",
        ),
    ),
    (  # ray: python/ray/exceptions.py, gcs_actor_manager.cc
        _DIED,
        (
            "ray.exceptions.LocalRayletDiedError: The task's local raylet died. Check raylet.out for more information.",
            "The actor is dead because its owner has died. Owner Id: 0100 Owner Ip address: 10.9.0.2",
            "The actor is dead because its node has died. Node Id: ab12",
            "ray.exceptions.OwnerDiedError: Failed to retrieve object 00ff. The object's owner has exited.",
            "ray.exceptions.NodeDiedError: Task failed due to the node (where this task was running) was dead or unavailable.",
            "ray.exceptions.ActorUnavailableError: The actor 0102 is unavailable: RpcError: keepalive watchdog timeout",
        ),
    ),
    (  # ray: core_worker.cc, worker_pool.cc
        ("launcher-failure",),
        (
            "core_worker.cc:228: Failed to register worker 01ff to Raylet. IOError: [RayletClient] Unable to register worker with raylet. No such file or directory",
            "(raylet) Some workers of the worker process(59) have not registered within the timeout. The process is still alive, probably it's hanging during start.",
        ),
    ),
    (  # xla: coordination_service.cc, coordination_service_agent.cc
        _DIED,
        (
            "UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was preempted/died/restarted unexpectedly or this task is experiencing network issues.",
            "ABORTED: /job:jax_worker/replica:0/task:1 unexpectedly tried to connect with a different incarnation. It has likely restarted.",
            "ABORTED: /job:jax_worker/replica:0/task:0 Heartbeat: Incarnation ID mismatch: expecting 12 but got 13.",
            "INTERNAL: Barrier failed because a task is in error. Barrier Id: x, Task: /job:worker/task:1",
            "INTERNAL: Shutdown barrier has failed.",
            "E coordination_service_agent.cc:481] Failed to disconnect from coordination service with status: DEADLINE_EXCEEDED: Deadline Exceeded",
        ),
    ),
    (
        ("rank-missing",),
        (
            "E xla/pjrt/distributed/client.cc:96] Coordination service agent in error status: DEADLINE_EXCEEDED: Deadline Exceeded",
            "DEADLINE_EXCEEDED: GetKeyValue() timed out with key: cuda:gpus:0 and duration: 10m",
            "[W228 18:45:15 socket.cpp:462] [c10d] waitForInput: poll for socket SocketImpl(fd=11, addr=[a]:38674, remote=[b]:23456) returned 0, likely a timeout",
            "[W228 18:45:15 socket.cpp:487] [c10d] waitForInput: socket SocketImpl(fd=11, addr=[a]:38674, remote=[b]:23456) timed out after 900000ms",
        ),
    ),
    (("rank-exited",), ("Child process 32378 (local_rank 0) FAILED (exitcode 1)",)),  # torchelastic until 1.9
    (("rank-killed", "rank-oom-killed"), ("Child process 32378 (local_rank 0) FAILED (exitcode -9)",)),
    (("rank-crashed",), ("Child process 32378 (local_rank 0) FAILED (exitcode -11)",)),
    (  # megatron: parallel_state.py
        ("process-group-misuse",),
        (
            "AssertionError: pipeline_model parallel group is not initialized",
            "AssertionError: data parallel group-gloo with context parallel combined is not initialized",
            "AssertionError: tensor model parallel group is already initialized",
            "AssertionError: FP8 amax reduction group is not initialized",
        ),
    ),
    (
        ("world-size-mismatch", "process-group-misuse"),
        (
            "AssertionError: world size (1) is not divisible by tensor parallel size (2) times pipeline parallel size (1)",
            "AssertionError: world size: 1, tensor model parallel size: 2",
            "AssertionError: world size (2) is less than tensor model parallel size (4)",
        ),
    ),
    (  # pytorch: cpp_extension.py, in Python's and IPython's way to write a frame
        ("build-failure",),
        (
            '  File "/opt/torch/utils/cpp_extension.py", line 1893, in _run_ninja_build\n    subprocess.run(',
            "/opt/torch/utils/cpp_extension.py in _run_ninja_build(build_directory, verbose, error_prefix)",
        ),
    ),
    (  # pytorch: TensorIterator.cpp, TensorUtils.cpp: within one rank
        ("script-error",),
        (
            "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
            "RuntimeError: Expected object of backend CUDA but got backend CPU for argument #2 'mat2'",
            "RuntimeError: Input and hidden tensors are not at the same device, found input tensor at cuda:1",
        ),
    ),
    (  # hccl: CANN's err_msg, old and new; torch_npu
        ("rank-missing", "rank-exited", "collective-missing-rank", "rank-straggling"),
        (
            "EI0006: 2031-08-05-18:15:21.270.506 Getting socket times out. Reason: Remote Rank did not send the data in time.",
            "[rank1]: Communication_Error_Get_Socket(EI0006): [PID: 12] Failed to get the socket in time.",
            "EI0002: The wait execution of the Notify register times out. Reason: The Notify register has not received the Notify record",
            "EI0002: A timeout occurs when the Notify register waits for the record from the remote rank",
            "NPU error, error code is 507046[Error]: \n[Error]: In the specified timeout waiting event, all tasks in the specified stream are not completed.",
            "EE1002: Stream synchronize timeout. rtDeviceSynchronize execute failed, reason=[stream sync timeout]",
            "EI0015: Failed to collect cluster information of the communicator based on the root node information",
            "RuntimeError: InnerRunOpApi:torch_npu/csrc/framework/OpParamMaker.cpp:281 OPS function error: HcclAllreduce, error code is 6",
        ),
    ),
    (
        ("env-malformed",),
        ("EI0004: The ranktable or rank is invalid,Reason:[Use a rank ID that exceeds the rank size]",),
    ),
    (
        ("collective-shape-mismatch",),
        ("EI0005: The parameters of operator AllReduce are inconsistent between ranks: count",),
    ),
    (
        ("port-in-use",),
        ("EJ0003: Failed to bind the IP port. Reason: The IP address and port have been bound already.",),
    ),
    (  # ps-lite: postoffice.cc, van.cc, zmq_van.h
        ("env-missing",),
        (
            'MXNetError: [06:04:43] src/postoffice.cc:18: Check  notnull: Environment::Get()->find("DMLC_NUM_SERVER")',
            'src/van.cc:260: Check  notnull: Environment::Get()->find("DMLC_PS_ROOT_URI") ',
        ),
    ),
    (
        ("port-in-use",),
        (
            "src/van.cc:291: Check failed: (my_node_.port) != (-1) bind failed",
            "src/van.cc:425: Check failed: my_node_.port != -1 bind failed",
        ),
    ),
    (
        ("interface-missing",),
        (
            "src/van.cc:63: Check failed: !ip.empty() failed to get ip",
            "src/van.cc:380: Check failed: !interface.empty() failed to get the interface",
        ),
    ),
    (  # rocm: runtime.cpp, queue.cpp; linux: amdgpu
        ("device-fault",),
        (
            "Memory access fault by GPU node-1 (Agent handle: 0x1d4a4a0) on address 0x7f2a5ca00000. Reason: Page not present or supervisor privilege.",
            "HW Exception by GPU node-2 (Agent handle: 0x5582) reason :GPU Hang",
            "Queue at 0x7f12 inactivated due to async error:\n\tHSA_STATUS_ERROR_MEMORY_APERTURE_VIOLATION",
            "[22340.220490] amdgpu: sq_intr: error, detail 0x00000000, type 1, sh 1, priv 1, wave_id 4, simd_id 0, wgp_id 0",
            "[ 1182.1] amdgpu 0000:83:00.0: amdgpu: [gfxhub0] no-retry page fault (src_id:0 ring:24 vmid:3 pasid:32770)",
            "[ 1182.1] amdgpu 0000:83:00.0: amdgpu: GPU reset begin!",
        ),
    ),
    (  # colossalai: hostinfo.py, multinode_runner.py, with paramiko's exceptions
        ("ssh-failure",),
        (
            "Error: failed to run torchrun --nnodes=2 train.py on trainer-b, is localhost: False, exception: No authentication methods available",
            "Error: failed to run torchrun --nnodes=2 train.py on trainer-b, is localhost: False, exception: Authentication failed.",
            "Error: failed to run torchrun --nnodes=2 train.py on trainer-b, is localhost: False, exception: [Errno None] Unable to connect to port 22 on 192.0.2.4",
            "paramiko.ssh_exception.AuthenticationException: Authentication failed.",
        ),
    ),
    (
        ("rank-exited",),
        (
            "Error: failed to run torchrun --nproc_per_node=4 --nnodes=1 train.py on 127.0.0.1, is localhost: True, exception: Encountered a bad command exit code!",
            "subprocess.CalledProcessError: Command '['deepspeed', '--num_gpus', '1', 'train.py']' returned non-zero exit status 2.",
            "subprocess.CalledProcessError: Command '['/opt/env/bin/torchrun', 'train.py']' returned non-zero exit status 1.",
            "RuntimeError: No hosts from previous set remaining, unable to broadcast state.",
            "ERROR:root:blacklisted slots count == 4 -> stop running",
            "RuntimeError: Job has been shutdown, see above error messages for details.",
        ),
    ),
    (  # pytorch: distributed_c10d.py, more than the world has
        ("stale-store", "rank-duplicate"),
        tuple(
            f"Timed out initializing process group in store based barrier on rank: 0, for key: store_based_barrier_key:1 (world_size={size}, {came}, timeout=0:30:00)"
            for size, came in (
                (2, "worker_count=4"),
                (8, "num_workers_joined=16"),
                (16, "worker_count=32"),
                (64, "worker_count=128"),
            )
        ),
    ),
    (
        ("rank-missing",),
        tuple(
            f"Timed out initializing process group in store based barrier on rank: 0, for key: store_based_barrier_key:1 (world_size={size}, {came}, timeout=0:30:00)"
            for size, came in (
                (4, "worker_count=2"),
                (16, "num_workers_joined=8"),
                (32, "worker_count=16"),
                (128, "worker_count=64"),
                (8, "worker_count=8"),
            )
        ),
    ),
    (  # lightning: device_parser.py writes two lines
        ("device-ordinal-out-of-range",),
        (
            "MisconfigurationException('You requested gpu: [0, 1, 2, 3]\n But your machine only has: [0]')",
            "lightning.fabric.utilities.exceptions.MisconfigurationException: You requested gpu: [1]\n But your machine only has: [0]",
        ),
    ),
    (  # colossalai: initialize.py; ignite: native.py; composer: dist.py
        ("env-missing",),
        (
            "RuntimeError: Could not find 'RANK' in the torch environment, visit https://www.colossalai.org/ for more information on launching with torch",
            "RuntimeError: Could not find 'OMPI_COMM_WORLD_LOCAL_RANK' in the OpenMPI environment, visit https://www.colossalai.org/",
            "RuntimeError: SLURM distributed configuration is missing 'SLURM_NTASKS' in env variables",
            "RuntimeError: PyTorch distributed configuration should define env variables '['RANK', 'LOCAL_RANK', 'WORLD_SIZE']'",
            "MissingEnvironmentError: Torch distributed is initialized but environment variable LOCAL_WORLD_SIZE is not set.",
        ),
    ),
    (
        ("launcher-mismatch",),
        (
            "RuntimeError: Defined env variables '['RANK', 'LOCAL_RANK', 'WORLD_SIZE']' should not be specified with SLURM. Typically, this happens",
            "ValueError: Arguments rank and world_size should not be specified with SLURM",
            "RuntimeError: SLURM does not appear to be installed.",
        ),
    ),
    (  # pytorch: MapAllocator.cpp with the system's reason, or without
        ("fd-limit",),
        (
            "RuntimeError: unable to open shared memory object </torch_77_40_792> in read-write mode: Too many open files (24)",
            "RuntimeError: unable to open shared memory object </torch_77_40_792> in read-only mode: Too many open files (24)",
            "RuntimeError: unable to open shared memory object </torch_77_40_792> in read-write mode",
        ),
    ),
    (
        ("shm-too-small",),
        (
            "RuntimeError: unable to open shared memory object </torch_77_40_792> in read-write mode: No space left on device (28)",
            "RuntimeError: unable to allocate shared memory(shm) for file </torch_77_1>: Resource temporarily unavailable (11)",
        ),
    ),
    (
        ("rank-exited",),
        (
            "RuntimeError: unable to open shared memory object </torch_77_40> in read-write mode: No such file or directory (2)",
        ),
    ),
    (  # what torch.distributed has in some versions only
        ("version-mismatch",),
        (
            "AttributeError: module 'torch.distributed' has no attribute 'deprecated'",
            "AttributeError: module 'torch.distributed' has no attribute '_all_gather_base'",
            "AttributeError: module 'torch.distributed' has no attribute 'is_torchelastic_launched'",
        ),
    ),
    (("backend-not-built",), ("AttributeError: module 'torch.distributed' has no attribute 'init_process_group'",)),
    (
        ("collective-missing-rank",),
        (
            "E rendezvous.cc:49] Termination timeout for `first call to collective 1` of 40 seconds exceeded. Exiting to ensure a consistent program state.",
            # xla: collective_ops_utils.h, and rendezvous.cc by its releases
            "E external/org_tensorflow/tensorflow/compiler/xla/service/collective_ops_utils.h:225] This thread has been waiting for 5000ms for and may be stuck: participant AllReduceParticipantData{replica_id=1, element_count=8, type=F32} waiting for all participants to arrive at rendezvous RendezvousKey{run_id=RunId: 7}",
            "E rendezvous.cc:31] This thread has been waiting for `acquire clique for rank 0` for 10 seconds and may be stuck.",
            "[id=3] This thread has been waiting for `first call to collective 1` for 20 seconds and may be stuck. Expected 8 threads to join the rendezvous, but not all of them arrived on time.",
        ),
    ),
    (  # nccl: include/core.h until 2.4.1; aws-ofi-nccl, by its releases
        ("data-ports-refused",),
        ("trainer-a:41:77 [0] include/socket.h:361 NCCL WARN Call to connect timeout : Connection refused",),
    ),
    (
        ("route-missing",),
        (
            "trainer-a:41:77 [0] NCCL INFO socketStartConnect: connect returned No route to host, retrying (33/34) after sleep for 3300 msec",
        ),
    ),
    (
        ("transport-unavailable",),
        (
            "trainer-a:41:77 [0] ofi_process_cq:1033 NCCL WARN NET/OFI Request 0x7f11 completed with error. RC: 21. Error: unknown error. Completed length: 0, Request: { dev: 0, size: 0, state: CREATED, direction: SEND }",
            "trainer-a:41:77 [0] int process_err_completion(nccl_net_ofi_rdma_device_t*, fid_cq*):1724 NCCL WARN NET/OFI Request 0x7f11 completed with error. RC: 107. Error: 4107 (Unreachable remote). Completed length: 0, Request: { dev: 0 }",
            "trainer-a:41:77 [0] rdma_process_error_entry:1463 NCCL WARN NET/OFI Remote write completed with error. RC: 5. Flags: 8192. Error: 14 (Unresponsive receiver). Completed length: 0",
            "trainer-a:41:77 [0] log_cq_error:1060 NCCL WARN NET/OFI Request 0x7f11 (send) completed with error: err: 5, flags: 0, prov_errno: 14, strerror: Unresponsive receiver, len: 0",
        ),
    ),
    (
        ("data-ports-dropped",),
        (
            "trainer-a:41:77 [0] log_cq_error:1047 NCCL WARN NET/OFI Request 0x7f11 (send) completed with error: err: 113, flags: 0, prov_errno: 4126, strerror: Unreachable, len: 0",
        ),
    ),
    (  # an abort over NCCL's error is not the cause
        ("device-fault",),
        (
            "terminate called after throwing an instance of 'std::runtime_error'\n  what():  NCCL Error 1: unhandled cuda error",
        ),
    ),
)


@pytest.mark.parametrize(
    ("causes", "text"), [(causes, text) for causes, texts in VARIANTS for text in texts], ids=lambda x: str(x)[:60]
)
def test_a_variant_is_read_as_its_message(causes: tuple[str, ...], text: str) -> None:
    found = judge(case_from_text([("job.log", text.encode())])).diagnoses
    assert found
    assert found[0].cause in causes


UNSTUCK = (
    "E rendezvous.cc:38] This thread has been waiting for `first call to collective 1` for 20 seconds and may be stuck. Expected 8 threads to join the rendezvous, but not all of them arrived on time.\n"
    "E rendezvous.cc:46] Thread is unstuck! Warning above was a false-positive. Perhaps the timeout is too short."
)
HARMLESS = (
    UNSTUCK,
    "src/van.cc:75: Bind to role=scheduler, id=1, ip=192.0.2.4, port=9091, is_recovery=0",
    "src/van.cc:206: the scheduler is connected to 1 workers and 1 servers",
    "amdgpu 0000:83:00.0: amdgpu: SMU is initialized successfully!",
    "HCCL_CONNECT_TIMEOUT is set to 600; see EI0006 in the documentation",
    "rpc_client.h:101] init rpc client with trainer_id 0",
    "INFO:root:wait for available slots: 4",
    "srun: job 42 queued and waiting for resources",
    "srun: job 42 has been allocated resources",
    "The actor is dead because all references to the actor were removed.",
    "Coordination agent has successfully connected.",
    "Polling for error from coordination service. This is a long-running RPC that will return only if an error is encountered or cancelled (e.g. due to shutdown).",
    "> initializing tensor model parallel with size 1",
    "the tensor model parallel group is initialized",
)


def test_what_is_stuck_again_is_not_taken_back() -> None:
    warned, back = UNSTUCK.splitlines()
    for text, found in ((f"{warned}\n{back}", False), (f"{warned}\n{back}\n{warned}", True)):
        causes = [d.cause for d in judge(case_from_text([("job.log", text.encode())])).diagnoses]
        assert ("collective-missing-rank" in causes) is found


@pytest.mark.parametrize("text", HARMLESS)
def test_what_says_that_all_is_well_is_no_variant(text: str) -> None:
    found = judge(case_from_text([("job.log", text.encode())])).diagnoses
    assert not [d for d in found if d.confidence >= FLAGGED]
