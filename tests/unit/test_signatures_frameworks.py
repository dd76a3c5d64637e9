"""Each of the study's thirty symptoms is read from logs of the frameworks in which the study saw it."""

import pytest

from commcheck.diagnose import index
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import FLAGGED, judge
from commcheck.model.diagnosis import Diagnosis
from commcheck.model.taxonomy import Symptom

# Lines as the software prints them: the symptom, the cause, the log.
LOGS: tuple[tuple[Symptom, str, str], ...] = (
    (
        Symptom.BUILD_INSTALL_FAILURE,
        "build-failure",
        "horovod/common/ops/nccl_operations.h:22:10: fatal error: nccl.h: No such file or directory\ncompilation terminated.\nmake[2]: *** [horovod/common/operations.cc.o] Error 1",
    ),
    (
        Symptom.BUILD_INSTALL_FAILURE,
        "build-failure",
        '  -- Configuring incomplete, errors occurred!\n  File "/tmp/pip-install-a/horovod/setup.py", line 193, in <module>',
    ),
    (
        Symptom.BUILD_INSTALL_FAILURE,
        "library-missing",
        'ImportError: libcuda.so.1: cannot open shared object file: No such file or directory\n  File "/tmp/pip-install-a/horovod/setup.py", line 72, in check_tf_version',
    ),
    (
        Symptom.BUILD_IMPORT_ERROR,
        "backend-not-built",
        "ImportError: Extension horovod.torch has not been built: /opt/x/mpi_lib_v2.so not found",
    ),
    (
        Symptom.BUILD_IMPORT_ERROR,
        "version-mismatch",
        "OSError: /opt/x/horovod/common/mpi_lib.so: undefined symbol: ompi_mpi_op_sum",
    ),
    (
        Symptom.SETUP_FAILURE,
        "ssh-failure",
        "Launching horovod task function was not successful:\nssh: connect to host trainer-b port 12345: Connection refused",
    ),
    (
        Symptom.SETUP_FAILURE,
        "launcher-failure",
        "Fatal error in PMPI_Init_thread: Other MPI error, error stack:\nMPIR_Init_thread(474)..............:",
    ),
    (
        Symptom.SETUP_FAILURE,
        "host-unresolvable",
        "ssh: Could not resolve hostname trainer-b: Name or service not known\nORTE was unable to reliably start one or more daemons.",
    ),
    (
        Symptom.SETUP_FAILURE,
        "launcher-failure",
        "ValueError: Hostfile contains a bad entry: trainer-b lots=8, unable to proceed with launching",
    ),
    (
        Symptom.SETUP_FAILURE,
        "launcher-mismatch",
        "ValueError: You set `num_nodes=4` in Lightning, but the number of nodes configured in SLURM `--nodes=2` does not match. HINT: Set `num_nodes=2`.",
    ),
    (Symptom.SETUP_FAILURE, "launcher-failure", "trainer-worker-0   0/1   CrashLoopBackOff   8   2m32s"),
    (
        Symptom.SETUP_FAILURE,
        "launcher-failure",
        "TimeoutError: Placement group creation timed out. Make sure your cluster either has enough resources",
    ),
    (
        Symptom.SETUP_HANG_TIMEOUT,
        "rank-missing",
        "I tensorflow/core/distributed_runtime/master.cc:221] CreateSession still waiting for response from worker: /job:ps/replica:0/task:0",
    ),
    (
        Symptom.SETUP_HANG_TIMEOUT,
        "rank-missing",
        "Exception: Timed out waiting for tasks to start. Please check connectivity between servers. You may need to increase the --start-timeout parameter if you have too many servers.",
    ),
    (
        Symptom.SETUP_HANG_TIMEOUT,
        "rank-missing",
        "jaxlib.xla_extension.XlaRuntimeError: DEADLINE_EXCEEDED: Barrier timed out. Barrier_id: PjRT_Client_Connect. Timed out task names:\n/job:jax_worker/replica:0/task:1",
    ),
    (
        Symptom.SETUP_HANG_TIMEOUT,
        "rank-missing",
        "initializing ddp: GLOBAL_RANK: 1, MEMBER: 2/8\ninitializing ddp: GLOBAL_RANK: 0, MEMBER: 1/8",
    ),
    (
        Symptom.SETUP_UNEXPECTED_PROTOCOL,
        "transport-unavailable",
        "[[767,1],1]: A high-performance Open MPI point-to-point messaging module\nwas unable to find any relevant network interfaces:\nAnother transport will be used instead, although this may result in",
    ),
    (
        Symptom.PREP_MODEL_LOADING_FAILURE,
        "script-error",
        "ValueError: You are trying to load a weight file containing 1 layers into a model with 31 layers.",
    ),
    (
        Symptom.PREP_MODEL_LOADING_FAILURE,
        "script-error",
        "  File \"/opt/megatron/checkpointing.py\", line 529, in load_checkpoint\n    iteration = state_dict['total_iters']\nKeyError: 'total_iters'",
    ),
    (
        Symptom.PREP_MODEL_LOADING_FAILURE,
        "world-size-mismatch",
        "AssertionError: Loading a checkpoint for MP=2 but world size is 4",
    ),
    (
        Symptom.PREP_DATA_LOADING_FAILURE,
        "script-error",
        "tensorflow.python.framework.errors_impl.DataLossError: corrupted record at 1234",
    ),
    (
        Symptom.PREP_COMMUNICATION_ERROR,
        "device-shared-by-ranks",
        '  File "horovod/torch/functions.py", line 59, in broadcast_parameters\nhorovod.common.exceptions.HorovodInternalError: ncclCommInitRank failed: invalid usage',
    ),
    (
        Symptom.PREP_HANG_TIMEOUT,
        "collective-missing-rank",
        "Stalled ops:\nHorovodBroadcast_fully_connected_weights_0 [missing ranks: 0]\nHorovodBroadcast_fully_connected_1_weights_0 [missing ranks: 0]",
    ),
    (
        Symptom.PREP_DEVICE_ERROR,
        "device-missing",
        "torch.distributed.init_process_group\nbroadcast_parameters\nRuntimeError: No CUDA GPUs are available",
    ),
    (
        Symptom.PREP_ITERATION_FAILURE,
        "uneven-inputs",
        "WARNING:tensorflow:Your input ran out of data; interrupting training.\nOutOfRangeError: End of sequence",
    ),
    (Symptom.PREP_OTHER, "script-error", "EOFError: Compressed file ended before the end-of-stream marker was reached"),
    (
        Symptom.PREP_OTHER,
        "uneven-inputs",
        "InvalidArgumentError: There aren't enough elements in this dataset for each shard to have at least one element (# elems = 1, # shards = 2).",
    ),
    (
        Symptom.TRAIN_COMMUNICATION_ERROR,
        "rank-exited",
        "W tensorflow/core/framework/op_kernel.cc:1651] OP_REQUIRES failed at mpi_ops.cc:316 : Unknown: Horovod has been shut down. This was caused by an exception on one of the ranks",
    ),
    (
        Symptom.TRAIN_COMMUNICATION_ERROR,
        "process-group-misuse",
        "ValueError: Requested to allreduce, allgather, or broadcast a tensor with the same name as another tensor that is currently being processed.",
    ),
    (
        Symptom.TRAIN_COMMUNICATION_ERROR,
        "collective-shape-mismatch",
        "OP_REQUIRES failed at collective_ops.cc:253 : Invalid argument: Shape mismatch in the collective instance 106. Op at device /job:worker/replica:0/task:1/device:CPU:0 expected shape [49] but another member in the group expected shape [64].",
    ),
    (
        Symptom.TRAIN_DEVICE_ERROR,
        "device-ordinal-out-of-range",
        "ValueError: To call `multi_gpu_model` with `gpus=8`, we expect the following devices to be available: ['/cpu:0', '/gpu:0']. However this machine only has: ['/cpu:0'].",
    ),
    (
        Symptom.TRAIN_DEVICE_ERROR,
        "device-ordinal-out-of-range",
        "InvalidArgumentError: Cannot assign a device for operation save/ShardedFilename: Operation was explicitly assigned to /job:ps/task:0/device:CPU:0",
    ),
    (
        Symptom.TRAIN_GRAPH_EXECUTION_ERROR,
        "script-error",
        "FailedPreconditionError: Attempting to use uninitialized value input_layer/embedding_weights",
    ),
    (
        Symptom.TRAIN_GRAPH_EXECUTION_ERROR,
        "script-error",
        "ValueError: Variable (<tf.Variable 'k:0' shape=(3,) dtype=float32>) was not created in the distribution strategy scope of (<MirroredStrategy object>).",
    ),
    (Symptom.TRAIN_TENSOR_MISMATCH, "script-error", "InvalidArgumentError: Incompatible shapes: [32,10] vs. [16,10]"),
    (
        Symptom.TRAIN_TENSOR_MISMATCH,
        "script-error",
        "ValueError: Tensor conversion requested dtype float32 for Tensor with dtype float64",
    ),
    (
        Symptom.TRAIN_OUT_OF_MEMORY,
        "memory-exhausted",
        "ResourceExhaustedError: OOM when allocating tensor with shape[8192,1000]",
    ),
    (
        Symptom.TRAIN_OUT_OF_MEMORY,
        "memory-exhausted",
        "[1,1]<stderr>:E tensorflow/stream_executor/cuda/cuda_driver.cc:828] failed to allocate 2.96G (3173555200 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    ),
    (
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
        "fork-or-pickle",
        '  File "keras/engine/saving.py", line 83, in _serialize_model\nTypeError: can\'t pickle module objects',
    ),
    (
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
        "script-error",
        "Not found: Key v0/cg/affine0/biases not found in checkpoint",
    ),
    (
        Symptom.TRAIN_SEGMENTATION_FAULT,
        "rank-crashed",
        "[trainer-a:03599] *** Process received signal ***\n[trainer-a:03599] Signal: Segmentation fault (11)",
    ),
    (
        Symptom.TRAIN_SEGMENTATION_FAULT,
        "rank-crashed",
        "[1,0]<stderr>:[trainer-a:05438] [ 4] /usr/local/openmpi/lib/openmpi/mca_pml_ob1.so(mca_pml_ob1_recv_frag_callback_ack+0x111)[0x7f1a3adbcae1]",
    ),
    (
        Symptom.TRAIN_ATTRIBUTE_NOT_FOUND,
        "script-error",
        "AttributeError: 'module' object has no attribute 'broadcast_optimizer_state'",
    ),
    (
        Symptom.TRAIN_MEMORY_ISSUE,
        "shm-too-small",
        "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
    ),
    (
        Symptom.TRAIN_PATH_ERROR,
        "script-error",
        "[1,0]<stderr>:python3: can't open file 'mnist.py': [Errno 2] No such file or directory",
    ),
    (
        Symptom.TRAIN_NOT_IMPLEMENTED,
        "backend-not-built",
        "No OpKernel was registered to support Op 'NcclAllReduce' used by {{node NcclAllReduce}} with these attrs: [reduction=\"sum\"]",
    ),
    (Symptom.TRAIN_OTHER_FAILURE, "script-error", "KeyError: 'labels'"),
    (
        Symptom.PERF_HANG,
        "collective-missing-rank",
        "Epoch 3/24\nOne or more tensors were submitted to be reduced, gathered or broadcasted by subset of ranks and are waiting for remainder of ranks for more than 60 seconds.\nStalled ranks:\n4: [horovod_allreduce.0]",
    ),
    (
        Symptom.PERF_UNEXPECTED_PARALLELIZATION,
        "launcher-mismatch",
        "[1,0]<stdout>:rank = 0, local_rank = 0, size = 1\n[1,1]<stdout>:rank = 0, local_rank = 0, size = 1",
    ),
    (
        Symptom.PERF_LOW_EFFICIENCY,
        "transport-fallback",
        "Epoch 1 step 100 loss 2.3\ntrainer-a:41:41 [0] NCCL INFO NET/IB : No device found.\ntrainer-a:41:41 [0] NCCL INFO Using network Socket",
    ),
    (
        Symptom.PERF_UNEXPECTED_RESULT,
        "wrong-values",
        "#  Errors with asterisks indicate errors that have exceeded the maximum threshold.\n# Out of bounds values : 12 FAILED",
    ),
    (Symptom.PERF_NON_CONVERGENCE, "script-error", "ERROR:tensorflow:Model diverged with loss = NaN."),
    (
        Symptom.PERF_NON_CONVERGENCE,
        "script-error",
        "Exception: Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.",
    ),
    (
        Symptom.PERF_OTHER,
        "teardown-noise",
        "Epoch 3: loss 0.1\ntraining done\nterminate called without an active exception",
    ),
    (
        Symptom.PREP_DEVICE_ERROR,
        "device-shared-by-ranks",
        (
            "node-1:2870757:2870757 [0] NCCL INFO comm 0x560c6a8aafd0 rank 0 nranks 2 cudaDev 0 busId 86000 - Abort COMPLETE\n"
            "node-1:2870756:2870756 [0] NCCL INFO comm 0x55592676f080 rank 1 nranks 2 cudaDev 0 busId 86000 - Abort COMPLETE\n"
            'Traceback (most recent call last):\n  File "/x/torch/nn/parallel/distributed.py", line 655, in __init__'
        ),
    ),
    (
        Symptom.SETUP_FAILURE,
        "data-ports-refused",
        (
            "going to try init_process_group: tcp://node-1:10638\n"
            "[W tensorpipe_agent.cpp:641] RPC agent for Test0 encountered error when sending outgoing request #0 to Test1:"
            " ECONNREFUSED: connection refused"
        ),
    ),
    (
        Symptom.TRAIN_SEGMENTATION_FAULT,
        "rank-crashed",
        "=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES\n=   PID 4774 RUNNING AT node-1\n=   EXIT CODE: 139",
    ),
    (
        Symptom.TRAIN_COMMUNICATION_ERROR,
        "rank-killed",
        "ERROR 07-04 23:23:23 multiproc_worker_utils.py:120] Worker VllmWorkerProcess pid 3283517 died, exit code: -15.",
    ),
    (
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
        "unclassified",
        (
            'Traceback (most recent call last):\n  File "/x/keras/engine/topology.py", line 2573, in save\n'
            '    save_model(self, filepath, overwrite)\n  File "/x/keras/models.py", line 111, in save_model'
        ),
    ),
    (
        Symptom.PERF_UNEXPECTED_PARALLELIZATION,
        "launcher-mismatch",
        (
            "Initializing distributed: GLOBAL_RANK: 0, MEMBER: 1/1\n"
            "All distributed processes registered. Starting with 1 processes\n"
            "LOCAL_RANK: 0 - CUDA_VISIBLE_DEVICES: [1,2]"
        ),
    ),
    (
        Symptom.TRAIN_COMMUNICATION_ERROR,
        "rank-crashed",
        (
            "[0]<stdout>:Iter #1: 114.1 img/sec per GPU\n[2]<stderr>:[2020-12-11 18:47:05.325138: E operations.cc:546] Horovod"
            " background loop uncaught exception: [/x/pair.cc:566] Read error [10.9.0.2]:21925: Connection reset by peer"
        ),
    ),
)

HEALTHY = (
    "[96c7e3d99641:24984] Read -1, expected 122880, errno = 1\nINFO:tensorflow:loss = 0.23, step = 190 (0.9 sec)",
    "WARNING:tensorflow:Efficient allreduce is not supported for 2 IndexedSlices\nEpoch 1/3\n469/469 - 4s - loss: 0.2",
    "2018-03-12 13:19:14.748934: I master.cc:221] CreateSession still waiting for response from worker: /job:worker/replica:0/task:1\nStep 100: loss 0.93",
    "Unable to find hostfile, will proceed with training with local resources only.\n[INFO] [launch.py:247:main] dist_world_size=1",
    "failed call to cuInit: CUDA_ERROR_NO_DEVICE\nEpoch 1/3\n469/469 - 4s - loss: 0.2",
    "initializing ddp: GLOBAL_RANK: 0, MEMBER: 1/2\ninitializing ddp: GLOBAL_RANK: 1, MEMBER: 2/2",
    "WARNING:tensorflow:AUTO sharding policy will apply DATA sharding policy as it failed to apply FILE sharding policy because of the following reason: Found an unshardable source dataset: name: TensorSliceDataset/_2",
    "Another transport will be used instead, although this may result in\nlower performance.\nEpoch 1 step 10 loss 0.3",
    "gcc -pthread -shared -c test_nccl.cc -o test_nccl.o\ncc1plus: warning: command line option '-Wstrict-prototypes' is valid for C/ObjC but not for C++",
    (
        "INFO: Initializing distributed: GLOBAL_RANK: 0, MEMBER: 1/2\n"
        "INFO:728989:25-04-04 11:05:23 [lightning.fabric] Initializing distributed: GLOBAL_RANK: 0, MEMBER: 1/2"
    ),
    (
        "n1:41:41 [0] NCCL INFO comm 0x1 rank 0 nranks 2 cudaDev 0 nvmlDev 0 busId 86000 commId 0xa1 - Init COMPLETE\n"
        "n1:42:42 [0] NCCL INFO comm 0x2 rank 1 nranks 2 cudaDev 0 nvmlDev 0 busId 86000 commId 0xb2 - Init COMPLETE"
    ),
    (
        "n1:41:41 [0] NCCL INFO comm 0x1 rank 0 nranks 2 cudaDev 0 busId 86000 - Init COMPLETE\n"
        "n2:41:41 [0] NCCL INFO comm 0x2 rank 1 nranks 2 cudaDev 0 busId 86000 - Init COMPLETE"
    ),
)


def _first(text: str) -> tuple[Diagnosis, ...]:
    return judge(case_from_text([("job.log", text.encode())])).diagnoses


@pytest.mark.parametrize(("symptom", "cause", "text"), LOGS, ids=[f"{s.value}:{c}" for s, c, _ in LOGS])
def test_the_first_diagnosis_is_the_studys_symptom(symptom: Symptom, cause: str, text: str) -> None:
    found = _first(text)
    assert found
    assert (found[0].symptom, found[0].cause) == (symptom, cause)


def test_every_symptom_can_be_read_from_a_log() -> None:
    assert {symptom for symptom, _, _ in LOGS} == set(Symptom)


@pytest.mark.parametrize("text", HEALTHY)
def test_noise_of_healthy_jobs_raises_no_alarm(text: str) -> None:
    assert not [d for d in _first(text) if d.confidence >= FLAGGED]


def test_a_wording_says_only_what_its_cause_can_show_as() -> None:
    rules = index.rules()
    wrong = [
        (entry.cause, entry.signature.positive)
        for entry in index.entries()
        if entry.signature.symptoms
        and not set(entry.signature.symptoms) & set(rules[entry.cause].symptoms)
        and entry.signature.weight >= 0.5
    ]
    assert not wrong
