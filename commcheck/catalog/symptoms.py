"""The thirty symptoms of failing distributed training, one row each.

Source: Liu, Gu, Chen, Wen, Zhang, Ma, Wang, Jin, "Rise of Distributed Deep Learning Training in the Big Model Era:
From a Software Engineering Perspective", TOSEM 2023 (arXiv 2112.06222). Names, parents and counts are tallies of the
labels in the authors' released data (637 faults, Apache-2.0), not figures printed in the paper. That data has 38
labels; the fold into thirty rows is ours: eight labels of one or two faults each make `prep-other`, and "unexpected
parallelization" (29), "unexpected device" (6) and one fault labelled with both make `perf-unexpected-parallelization`.
So "thirty" may be said of the paper as a whole, and no single row is its published figure. Half of the data is
Horovod's: raw counts are no prior for a user of PyTorch, and the counts per framework are kept for that.

Ids, definitions, angles, example messages and look-alikes are ours. A message ends with where it is known from: [run]
seen with torch 2.13 and gloo, [source] read in the source of the software named, [issue] seen in a public report,
[general] widely seen and not checked word for word.
"""

from typing import NamedTuple

from commcheck.model.taxonomy import Stage, Symptom

S = Symptom


class SymptomRow(NamedTuple):
    """One symptom. `faults` of the study's 637; `distributed` of them arise in distributed training alone;
    `frameworks` is how many concern Horovod, TensorFlow, PyTorch, Keras (a fault may carry two).

    `plural` is how a sentence speaks of them. `look_alikes` are symptoms that show the same or nearly so, `causes` the
    ids of causes that usually end here."""

    id: Symptom
    paper_name: str
    parent: str
    stage: Stage
    faults: int
    distributed: int
    frameworks: tuple[int, int, int, int]
    plural: str
    definition: str
    angle: str
    messages: tuple[str, ...] = ()
    look_alikes: tuple[Symptom, ...] = ()
    causes: tuple[str, ...] = ()


FRAMEWORKS: tuple[str, ...] = ("Horovod", "TensorFlow", "PyTorch", "Keras")
"""The order of `SymptomRow.frameworks`."""

_BUILD = "Package build & import"
_SETUP = "Communication setup"
_PREP = "Data and model preparation"
_FAIL = "Training & evaluation > Program failure"
_PERF = "Training & evaluation > Unexpected performance"

# fmt: off
SYMPTOMS: tuple[SymptomRow, ...] = (
    SymptomRow(
        S.BUILD_INSTALL_FAILURE, "Installation & build failure", _BUILD, Stage.BUILD, 51, 50, (51, 0, 0, 0),
        "installation and build failures",
        "A package of the distributed stack does not install or compile.",
        "The wanted backend is left out of the build without notice.",
        ("Horovod: Extension ... has not been built [source]",
         "DeepSpeed: Unable to JIT load the ... op [general]"),
        (S.BUILD_IMPORT_ERROR,),
        ("build-failure", "backend-not-built", "library-missing", "version-mismatch"),
    ),
    SymptomRow(
        S.BUILD_IMPORT_ERROR, "Import error", _BUILD, Stage.BUILD, 31, 31, (24, 3, 1, 3), "import errors",
        "Installed, but cannot be imported, or imports without a backend.",
        "A backend's library is missing on one host only, or the library path leads to another one.",
        ("ImportError: libnccl.so.2: cannot open shared object file [general]",
         "Horovod: MPI support has not been built. [source]"),
        (S.BUILD_INSTALL_FAILURE, S.SETUP_FAILURE),
        ("library-missing", "backend-not-built", "version-mismatch", "driver-mismatch"),
    ),
    SymptomRow(
        S.SETUP_FAILURE, "Setup failure", _SETUP, Stage.SETUP, 85, 85, (55, 13, 17, 0), "setup failures",
        "The world fails to form, with an error.",
        "The central row: address, port, rank, world size, interface, backend, versions.",
        ("environment variable MASTER_ADDR expected, but not set [run]",
         "port must have value from 0 to 65535 but was 70000. [run]",
         "DistNetworkError ... EADDRINUSE [run]",
         "ifa != nullptr. Unable to find address for: nope0 [run]",
         "Distributed package doesn't have NCCL built in [run]",
         "NCCL: Bootstrap : no socket interface found [source]"),
        (S.SETUP_HANG_TIMEOUT, S.PREP_COMMUNICATION_ERROR),
        ("env-missing", "env-malformed", "port-out-of-range", "port-in-use", "rank-duplicate", "wrong-service-on-port",
         "interface-missing", "backend-not-built", "backend-unknown", "host-resolves-to-loopback"),
    ),
    SymptomRow(
        S.SETUP_HANG_TIMEOUT, "Hang and timeout", _SETUP, Stage.SETUP, 44, 44, (26, 10, 8, 0),
        "setup hangs and time-outs",
        "The world does not form in time: silence, or a time-out.",
        "A peer is missing, the port or interface is wrong, a firewall drops, the time-out is too short, ssh waits.",
        ("Timed out after 7 seconds waiting for clients. 1/2 clients joined. [run]",
         "The client socket has timed out after 6000ms while trying to connect to (host, port) [run]",
         "Gloo connectFullMesh failed with ... Connect timeout [run]",
         "Horovod: Timed out waiting for ... [source]",
         "TensorFlow: silence after Started server with target: grpc:// [issue]"),
        (S.SETUP_FAILURE, S.PREP_HANG_TIMEOUT, S.PERF_HANG),
        ("rank-missing", "rank-out-of-range", "port-mismatch", "port-dropped", "port-refused", "host-unresolvable",
         "wrong-master-host", "world-size-mismatch", "store-timeout-too-short", "reverse-dns-slow",
         "data-ports-dropped", "partition", "ssh-failure"),
    ),
    SymptomRow(
        S.SETUP_UNEXPECTED_PROTOCOL, "Unexpected protocol", _SETUP, Stage.SETUP, 4, 4, (3, 0, 1, 0),
        "unexpected protocols",
        "It works, but over another transport, interface or backend than meant.",
        "TCP in place of InfiniBand, no GPU-direct, the wrong network card.",
        ("NCCL: Using network Socket, where InfiniBand was meant [source]",),
        (S.PERF_LOW_EFFICIENCY,),
        ("transport-fallback", "transport-unavailable", "interface-differs-between-ranks"),
    ),
    SymptomRow(
        S.PREP_MODEL_LOADING_FAILURE, "Model loading failure", _PREP, Stage.PREPARATION, 12, 12, (3, 2, 2, 5),
        "model loading failures",
        "Building, wrapping or restoring the model fails.",
        "Parameters are checked or broadcast between ranks when the model is wrapped.",
        ("DDP expects same model across all ranks, but Rank ... [source]",),
        (S.PREP_COMMUNICATION_ERROR, S.TRAIN_CHECKPOINT_UNFUNCTIONING),
        ("collective-shape-mismatch", "script-error", "version-mismatch"),
    ),
    SymptomRow(
        S.PREP_DATA_LOADING_FAILURE, "Data loading failure", _PREP, Stage.PREPARATION, 8, 5, (4, 2, 1, 1),
        "data loading failures",
        "Reading or sharding data fails.",
        "Workers forked after the backend has started; a path that is not on every host.",
        ("DataLoader worker (pid ...) exited unexpectedly [general]",),
        (S.PREP_ITERATION_FAILURE, S.TRAIN_MEMORY_ISSUE),
        ("fork-or-pickle", "shm-too-small", "script-error"),
    ),
    SymptomRow(
        S.PREP_COMMUNICATION_ERROR, "Communication error", _PREP, Stage.PREPARATION, 7, 7, (5, 0, 2, 0),
        "communication errors before the first step",
        "The first collectives (parameter broadcast, barrier) fail.",
        "The group was formed through the store, but the data path is broken.",
        ("gloo: Read error [host]:port: Connection reset by peer [run]",
         "ncclSystemError: System call (e.g. socket, malloc) or external library call failed [source]"),
        (S.SETUP_FAILURE, S.TRAIN_COMMUNICATION_ERROR),
        ("data-ports-refused", "collective-shape-mismatch", "fd-limit", "mtu-mismatch"),
    ),
    SymptomRow(
        S.PREP_HANG_TIMEOUT, "Hang and timeout", _PREP, Stage.PREPARATION, 7, 7, (4, 1, 2, 0),
        "hangs and time-outs before the first step",
        "Stuck before the first step.",
        "The first broadcast never ends; one rank downloads while the others wait.",
        ("Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1, OpType=BROADCAST, ...) [issue]",),
        (S.SETUP_HANG_TIMEOUT, S.PERF_HANG),
        ("data-ports-dropped", "mtu-mismatch", "rank-straggling", "rank-stopped", "collective-missing-rank",
         "timeout-too-short"),
    ),
    SymptomRow(
        S.PREP_DEVICE_ERROR, "Device error", _PREP, Stage.PREPARATION, 6, 6, (0, 3, 2, 1),
        "device errors before the first step",
        "Placement on a device fails.",
        "The mapping from local rank to device.",
        ("invalid device ordinal [general]", "Torch not compiled with CUDA enabled [run]"),
        (S.TRAIN_DEVICE_ERROR, S.BUILD_IMPORT_ERROR),
        ("device-ordinal-out-of-range", "device-missing", "local-rank-unused", "backend-not-built"),
    ),
    SymptomRow(
        S.PREP_ITERATION_FAILURE, "Iteration failure", _PREP, Stage.PREPARATION, 5, 4, (0, 2, 3, 0),
        "iteration failures",
        "The input iterator fails or runs out.",
        "Uneven shards: the ranks make different numbers of collective calls.",
        ("TensorFlow: OutOfRangeError: End of sequence [general]",),
        (S.PREP_DATA_LOADING_FAILURE, S.PERF_HANG),
        ("uneven-inputs", "script-error"),
    ),
    SymptomRow(
        S.PREP_OTHER, "Others (eight small labels)", _PREP, Stage.PREPARATION, 12, 5, (2, 6, 3, 1),
        "other failures before the first step",
        "Any other failure before the first step: download, partition, path, scope, log handlers, model compilation.",
        "All ranks download into one place, relative paths, log handlers per rank.",
        ("FileExistsError in a shared cache [general]",),
        (S.PREP_DATA_LOADING_FAILURE, S.TRAIN_PATH_ERROR),
        ("script-error", "disk-full"),
    ),
    SymptomRow(
        S.TRAIN_COMMUNICATION_ERROR, "Communication error", _FAIL, Stage.TRAINING, 38, 38, (15, 3, 20, 0),
        "communication errors in training",
        "A collective raises during training.",
        "A peer died, the link was reset, the collectives do not match, the group is wrong.",
        (("gloo: Received data size doesn't match expected size. Is there a distributed collective mismatch in your "
         "code? [run]"),
         "Connection closed by peer [source]",
         "ncclRemoteError: ... network error or a remote process exiting prematurely [source]",
         "Detected mismatch between collectives on ranks. [run, TORCH_DISTRIBUTED_DEBUG=DETAIL]",
         "Horovod has been shut down. [source]"),
        (S.PREP_COMMUNICATION_ERROR, S.PERF_HANG, S.TRAIN_SEGMENTATION_FAULT, S.TRAIN_OTHER_FAILURE),
        ("rank-crashed", "rank-killed", "rank-oom-killed", "collective-order-mismatch", "collective-shape-mismatch",
         "collective-dtype-mismatch", "link-flapping", "partition"),
    ),
    SymptomRow(
        S.TRAIN_DEVICE_ERROR, "Device error", _FAIL, Stage.TRAINING, 28, 26, (8, 11, 7, 2),
        "device errors in training",
        "A device operation fails.",
        "Two ranks on one device, peer access, the list of visible devices.",
        ("NCCL: Multiple Ranks are using the same GPU/Partition (older: Duplicate GPU detected) [source]",
         "ncclUnhandledCudaError [source]"),
        (S.PREP_DEVICE_ERROR, S.TRAIN_COMMUNICATION_ERROR),
        ("device-shared-by-ranks", "device-fault", "peer-access-broken", "wrong-device-for-backend"),
    ),
    SymptomRow(
        S.TRAIN_GRAPH_EXECUTION_ERROR, "Graph execution error", _FAIL, Stage.TRAINING, 25, 20, (8, 7, 2, 8),
        "graph execution errors",
        "Graph or autograd execution fails.",
        "Hooks of the backward pass need every rank to run the same graph.",
        ("Expected to have finished reduction in the prior iteration before starting a new one [source]",),
        (S.TRAIN_TENSOR_MISMATCH, S.PERF_HANG),
        ("unused-parameters", "script-error", "version-mismatch"),
    ),
    SymptomRow(
        S.TRAIN_TENSOR_MISMATCH, "Tensor mismatch", _FAIL, Stage.TRAINING, 25, 9, (4, 13, 3, 6),
        "tensor mismatches",
        "Shape or type of tensors disagree.",
        "Between ranks it is a matter of communication; within one rank it is not (9 of 25 are distributed-specific).",
        ("Horovod: Mismatched data types: One rank had type ... [source]",
         "Horovod: Mismatched reduction operation: ... [source]"),
        (S.TRAIN_COMMUNICATION_ERROR, S.PERF_UNEXPECTED_RESULT),
        ("collective-shape-mismatch", "collective-dtype-mismatch", "collective-op-mismatch", "script-error"),
    ),
    SymptomRow(
        S.TRAIN_OUT_OF_MEMORY, "Out of memory", _FAIL, Stage.TRAINING, 21, 21, (11, 8, 0, 2),
        "out-of-memory failures",
        "Host or device memory is used up.",
        "Extra contexts on device 0, buffer sizes, too many ranks per host.",
        ("CUDA out of memory [general]",),
        (S.TRAIN_MEMORY_ISSUE, S.TRAIN_COMMUNICATION_ERROR),
        ("memory-exhausted", "rank-oom-killed", "local-rank-unused"),
    ),
    SymptomRow(
        S.TRAIN_CHECKPOINT_UNFUNCTIONING, "Checkpoint unfunctioning", _FAIL, Stage.TRAINING, 21, 21, (1, 2, 0, 18),
        "checkpoint failures",
        "Saving or restoring does not work.",
        "All ranks write one file; only one rank reaches a barrier.",
        ("Missing key(s) in state_dict, with keys that begin with module. [general]",),
        (S.PREP_MODEL_LOADING_FAILURE, S.PERF_HANG),
        ("collective-missing-rank", "disk-full", "script-error"),
    ),
    SymptomRow(
        S.TRAIN_SEGMENTATION_FAULT, "Segmentation fault", _FAIL, Stage.TRAINING, 16, 15, (16, 0, 0, 0),
        "segmentation faults",
        "A process dies by a signal (SIGSEGV; commcheck counts SIGABRT too).",
        "Mixed library versions; gloo aborts when sizes do not match.",
        ("exit code 139 or -11 [general]",
         "terminate called after throwing an instance of 'gloo::EnforceNotMet' [run]"),
        (S.TRAIN_COMMUNICATION_ERROR, S.PERF_OTHER),
        ("rank-crashed", "collective-shape-mismatch", "version-mismatch"),
    ),
    SymptomRow(
        S.TRAIN_ATTRIBUTE_NOT_FOUND, "Attribute not found", _FAIL, Stage.TRAINING, 13, 8, (5, 3, 4, 1),
        "missing attributes",
        "A function or attribute is not there in this version or behind this wrapper.",
        "The wrapper hides the inner module; versions differ between hosts.",
        ("'DistributedDataParallel' object has no attribute ... [general]",),
        (S.TRAIN_NOT_IMPLEMENTED, S.BUILD_IMPORT_ERROR),
        ("script-error", "version-mismatch"),
    ),
    SymptomRow(
        S.TRAIN_MEMORY_ISSUE, "Memory issue", _FAIL, Stage.TRAINING, 7, 5, (2, 3, 2, 0),
        "memory issues",
        "A leak or bad memory state that is not plain exhaustion.",
        "A small mount of shared memory, a limit on locked memory.",
        ("NCCL: Error while creating shared memory segment [source]", "Bus error [general]"),
        (S.TRAIN_OUT_OF_MEMORY, S.TRAIN_SEGMENTATION_FAULT),
        ("shm-too-small", "memlock-limit", "memory-exhausted"),
    ),
    SymptomRow(
        S.TRAIN_PATH_ERROR, "Path error", _FAIL, Stage.TRAINING, 6, 5, (5, 0, 1, 0),
        "path errors",
        "A file or program is absent at run time.",
        "The path of interpreter, script or library differs between hosts.",
        ("No such file or directory, on one rank [general]",),
        (S.PREP_DATA_LOADING_FAILURE, S.BUILD_IMPORT_ERROR),
        ("script-error", "launcher-failure"),
    ),
    SymptomRow(
        S.TRAIN_NOT_IMPLEMENTED, "Not implemented error", _FAIL, Stage.TRAINING, 5, 5, (2, 3, 0, 0),
        "unsupported operations",
        "The operation is not supported here.",
        "The backend does not support this collective, type or device.",
        ("No backend type associated with device type cpu [source]",
         "does not support monitoredBarrier, only GLOO supports monitored barrier [source]"),
        (S.TRAIN_ATTRIBUTE_NOT_FOUND, S.SETUP_FAILURE),
        ("op-unsupported", "wrong-device-for-backend"),
    ),
    SymptomRow(
        S.TRAIN_OTHER_FAILURE, "Others", _FAIL, Stage.TRAINING, 10, 5, (2, 6, 0, 3),
        "other failures in training",
        "Any other crash in training.",
        "The launcher reports a child's exit and hides the first cause.",
        ("torchrun: ChildFailedError with Root Cause (first observed failure) [run]",),
        (S.TRAIN_COMMUNICATION_ERROR, S.TRAIN_SEGMENTATION_FAULT),
        ("script-error", "rank-exited", "launcher-failure", "unclassified"),
    ),
    SymptomRow(
        S.PERF_HANG, "Hang", _PERF, Stage.TRAINING, 44, 44, (22, 10, 11, 1), "hangs in training",
        "Training stops making progress.",
        "A missing participant, another order, a fault of transport or peer-to-peer access, uneven data.",
        ("gloo: Timed out waiting 5000ms for recv operation to complete [run]",
         "Rank 1 failed to pass monitoredBarrier in 3000 ms [run]",
         'Horovod: One or more rank (marked by "!") is stalled for longer than [source]'),
        (S.PREP_HANG_TIMEOUT, S.SETUP_HANG_TIMEOUT, S.TRAIN_COMMUNICATION_ERROR),
        ("collective-missing-rank", "collective-order-mismatch", "rank-stopped", "rank-straggling", "uneven-inputs",
         "partition", "peer-access-broken", "timeout-too-short"),
    ),
    SymptomRow(
        S.PERF_UNEXPECTED_PARALLELIZATION, "Unexpected parallelization; Unexpected device", _PERF, Stage.TRAINING,
        36, 33, (16, 13, 5, 2), "cases of unexpected parallelization or device",
        "Runs with other ranks or devices than meant.",
        "A world of one in every process, launcher variables that nobody reads, all ranks on device 0.",
        ("every process says that it is rank 0 of 1 [general]",),
        (S.PERF_LOW_EFFICIENCY, S.PERF_UNEXPECTED_RESULT),
        ("launcher-mismatch", "local-rank-unused", "device-shared-by-ranks", "env-conflict"),
    ),
    SymptomRow(
        S.PERF_LOW_EFFICIENCY, "Low efficiency", _PERF, Stage.TRAINING, 35, 29, (15, 9, 6, 6),
        "cases of low efficiency",
        "Right, but slower than expected.",
        "A slow interface, TCP in place of RDMA, small buckets, more threads than cores.",
        ("no message: less throughput than a control run",),
        (S.SETUP_UNEXPECTED_PROTOCOL, S.PERF_HANG),
        ("link-slow", "link-lossy", "transport-fallback", "rank-straggling"),
    ),
    SymptomRow(
        S.PERF_UNEXPECTED_RESULT, "Unexpected intermediate result", _PERF, Stage.TRAINING, 21, 16, (7, 8, 5, 1),
        "unexpected results",
        "Values are wrong, or differ between ranks.",
        "Collectives that pair wrongly and yet succeed.",
        (("no message: a gloo all-reduce with another operation or a type of the same size gives wrong values and "
         "exit code 0 [run]"),),
        (S.TRAIN_TENSOR_MISMATCH, S.PERF_NON_CONVERGENCE),
        ("wrong-values", "collective-op-mismatch", "collective-dtype-mismatch", "collective-order-mismatch"),
    ),
    SymptomRow(
        S.PERF_NON_CONVERGENCE, "Non-convergence", _PERF, Stage.TRAINING, 9, 5, (3, 5, 0, 1),
        "cases of non-convergence",
        "The loss does not fall, or becomes NaN.",
        "Effective batch and learning rate change with the world size; gradients that are not averaged.",
        ("loss is nan [general]",),
        (S.PERF_UNEXPECTED_RESULT,),
        ("wrong-values", "collective-op-mismatch"),
    ),
    SymptomRow(
        S.PERF_OTHER, "Others", _PERF, Stage.TRAINING, 5, 4, (2, 1, 2, 0), "other unexpected behaviours",
        "Any other unexpected behaviour.",
        "Order of output, processes left behind, noise at the end.",
        ("terminate called without an active exception, at exit [run]",),
        (S.TRAIN_SEGMENTATION_FAULT,),
        ("teardown-noise",),
    ),
)
# fmt: on
"""In the order of `Symptom`."""

_BY_ID: dict[Symptom, SymptomRow] = {row.id: row for row in SYMPTOMS}


def row(symptom: Symptom) -> SymptomRow:
    """The row of a symptom."""
    return _BY_ID[symptom]
