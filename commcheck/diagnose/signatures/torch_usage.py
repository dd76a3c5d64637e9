"""PyTorch's checks of arguments and calls: torchrun, process groups, device meshes, DDP, FSDP, DTensor, DataLoader."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_C10D = "pytorch: torch/distributed/distributed_c10d.py"
_ELASTIC = "pytorch: torch/distributed/elastic"
_FSDP = "pytorch: torch/distributed/fsdp"

SIGNATURES = table(
    Wording(
        {"env-malformed": 0.75, "launcher-mismatch": 0.4},
        r"The (?:minimum|maximum) number of (?:rendezvous )?nodes \(|[Tt]he rendezvous (?:configuration (?:option|string)|endpoint '|backend '|backend name)"
        r"|nnodes=\S+ is not in \"MIN:MAX\" format|Unsupported nproc_per_node value|The run id must be a non-empty string",
        "number of nodes ( | number of rendezvous nodes ( | the rendezvous configuration | the rendezvous endpoint | the rendezvous backend"
        " | min:max | unsupported nproc_per_node | run id must be",
        _ELASTIC + "/rendezvous; torch/distributed/run.py: what torchrun was told",
        "ValueError: The port number of the rendezvous endpoint 'trainer-a:port' must be an integer between 0 and 65536.",
        "joined the rendezvous",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"env-missing": 0.75, "launcher-mismatch": 0.4},
        r"(?:rank|endpoint|[Pp]ort) is (?:absent|missing) in (?:RendezvousParameters|endpoint)|LOCAL_RANK is not in the environment",
        "is absent in | is missing in rend | is missing in end | is not in the environment",
        _ELASTIC + "/rendezvous/static_tcp_rendezvous.py, torch/distributed/device_mesh.py",
        "ValueError: rank is absent in RendezvousParameters.Try add --node-rank to the cmd request",
        "the endpoint is there",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"device-ordinal-out-of-range": 0.88},
        r"local_rank \d+ exceeds available GPUs|device_id \S+ is out of range\. Please use a device index|only support homogeneous hardware",
        "exceeds available gpus | please use a device index | only support homogeneous hardware",
        _ELASTIC + "/agent/server/local_elastic_agent.py; " + _C10D + "; torch/distributed/device_mesh.py",
        "ValueError: local_rank 7 exceeds available GPUs in CUDA_VISIBLE_DEVICES=0,1",
        "local_rank 1 uses GPU 1",
    ),
    Wording(
        {"rank-missing": 0.5, "rank-straggling": 0.42, "port-refused": 0.3},
        r"(?:all_gather|gather|barrier|broadcast) failed -- missing ranks: |Timed out waiting on barrier on rank"
        r"|timed out waiting for all \d+ members to join|Timeout while waiting for keys in EtcdStore",
        "failed -- missing ranks | timed out waiting on barrier | members to join | waiting for keys in etcdstore",
        _ELASTIC + "/utils/store.py, utils/distributed.py, rendezvous/etcd_store.py",
        "DistStoreError: Timed out waiting on barrier on rank 0, for key prefix: x (world_size=4, missing_ranks=[3], timeout=300)",
        "all members have joined",
        symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    ),
    Wording(
        {"port-refused": 0.5, "port-dropped": 0.45},
        r"Timed out waiting for etcd server|EtcdConnectionFailed|Machines cache is empty, connection to etcd failed",
        "waiting for etcd server | etcdconnectionfailed | connection to etcd failed",
        _ELASTIC + "/rendezvous/etcd_server.py; python-etcd",
        "etcd.EtcdConnectionFailed: Connection to etcd failed due to MaxRetryError",
        "connected to etcd",
    ),
    Wording(
        {"port-in-use": 0.88},
        r"RuntimeError: on \S+, port: \d+ already in use",
        "already in use",
        _ELASTIC + "/utils/distributed.py",
        "RuntimeError: on trainer-a, port: 29500 already in use",
        "port 29500 is free",
    ),
    Wording(
        {"stale-store": 0.5, "version-mismatch": 0.4},
        r"RendezvousStateError|The (?:rendezvous state|state object) is corrupt",
        "rendezvousstateerror | state is corrupt | object is corrupt",
        _ELASTIC + "/rendezvous (the store holds what something else wrote: another job, another version)",
        "RendezvousStateError: The state object is corrupt. See inner exception for details.",
        "the state is right",
    ),
    Wording(
        {"process-group-misuse": 0.78},
        r"Argument ``(?:gather|scatter)_list`` must (?:NOT )?be specified|Expected argument scatter_object_output_list|source rank must provide non-None"
        r"|Invalid (?:source|destination|\w+) rank: \S*:? ?rank should not be the same|Group \S+ is not registered|[Pp]rocess group \S+ is not initialized in the world"
        r"|All ops need to use the same group|Rank \d+ has appeared in both subgroup|the (?:split )?group cannot (?:be empty|have duplicate)"
        r"|Invalid function argument\. Expected parameter `|Expecting a ProcessGroup, but got|The specified group name has already been created"
        r"|ranks list must not contain duplicate|Global rank \d+ is not part of group|The given group is not registered|group rank is -1",
        "_list`` must | scatter_object_output_list | must provide non-none | should not be the same | is not registered | not initialized in the world"
        " | to use the same group | has appeared in both subgroup | group cannot be empty | group cannot have duplicate"
        " | expected parameter ` | expecting a processgroup | group name has already | must not contain duplicate | is not part of group"
        " | group rank is -1",
        _C10D,
        "ValueError: Argument ``scatter_list`` must be specified on source rank.",
        "the list is on the source rank",
    ),
    Wording(
        {"process-group-misuse": 0.75, "world-size-mismatch": 0.3},
        r"Mesh should not be bigger than default world size|The world size \(\d+\) must (?:be|equal|not)|The arg 'group_size' \(\d+\) must|mesh_shape and mesh_dim_names"
        r"|Rank \d+ is out of range\. Valid ranks are|world_size \(\d+\) must be divisible",
        "bigger than default world size | the world size ( | the arg 'group_size' | mesh_shape and mesh_dim_names | valid ranks are | world_size (",
        _C10D + ", torch/distributed/device_mesh.py; megatron-core: parallel_state.py",
        "RuntimeError: Mesh should not be bigger than default world size 4, but found 8 ranks!",
        "the mesh has 4 ranks",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"collective-dtype-mismatch": 0.7, "process-group-misuse": 0.4},
        r"Invalid usage of tensors with different dtypes",
        "tensors with different dtypes",
        _C10D,
        "ValueError: Invalid usage of tensors with different dtypesFound torch.float32 and  torch.int64",
        "the tensors have one dtype",
    ),
    Wording(
        {"collective-shape-mismatch": 0.72, "script-error": 0.3},
        r"Inconsistent tensor metadata \(including shape and stride\) across ranks|Rank \d+ has different values for \S+: .* Other ranks:",
        "inconsistent tensor metadata | has different values for",
        "pytorch: torch/distributed/checkpoint, " + _FSDP,
        "ValueError: Inconsistent tensor metadata (including shape and stride) across ranks.",
        "the metadata is consistent",
    ),
    Wording(
        {"op-unsupported": 0.85},
        r"does not have a sharding strategy registered|redistribute from \S+ to \S+ not supported yet|Operator \S+ does not have a DTensor"
        r"|Could not run 'c10d::\w+' with arguments from the '\w+' backend|No backend for the parent process group"
        r"|no support for \w+ in \w+ process group|\b(?:Work|ProcessGroup(?:Gloo|NCCL|MPI)?|Store)::\w+ (?:is )?not (?:implemented|supported)|Cannot access storage of"
        r"|found no DeviceMesh from dtensor args for",
        "sharding strategy registered | not supported yet | does not have a dtensor | could not run 'c10d:: | for the parent process group"
        " | no support for  | work:: | processgroup:: | processgroupgloo:: | processgroupnccl:: | processgroupmpi:: | store:: | cannot access storage of | found no devicemesh",
        "pytorch: torch/distributed/tensor/_sharding_prop.py; the dispatcher",
        "NotImplementedError: Operator aten.foo.default does not have a sharding strategy registered.",
        "the operator has a sharding strategy",
        symptoms=(Symptom.TRAIN_NOT_IMPLEMENTED,),
    ),
    Wording(
        {"script-error": 0.62},
        r"got mixed torch\.Tensor and DTensor|Cannot run \S+ on inputs with different meshes|Expected param's DTensor mesh to be"
        r"|is shared with a parameter already managed by another FSDP|Parameter indices which did not receive grad",
        "mixed torch.tensor and dtensor | with different meshes | dtensor mesh to be | managed by another fsdp | which did not receive grad",
        "pytorch: torch/distributed/tensor/_dispatch.py, " + _FSDP,
        "RuntimeError: aten.mm.default: got mixed torch.Tensor and DTensor, need to convert all torch.Tensor to DTensor",
        "all are DTensors",
    ),
    Wording(
        {"script-error": 0.64},
        r"FSDP (?:doesn't support scalar|auto wrapping requires|expects)|The module has CPU parameters or buffers when `sync_module_states|Expects one homogeneous value for"
        r"|Flattening a zero-dimension parameter|Manual wrapping with \S+ requires|module must have its parameters and buffers on device"
        r"|DistributedDataParallel is not needed when a module doesn't have any parameters|DistributedDataParallel device_ids and output_device arguments",
        "fsdp doesn't support | fsdp auto wrapping | fsdp expects | module has cpu parameters | one homogeneous value | zero-dimension parameter"
        " | manual wrapping with | its parameters and buffers on device | is not needed when a module | device_ids and output_device",
        _FSDP + ", torch/nn/parallel",
        "ValueError: FSDP doesn't support scalar parameters. Change scale to a 1D tensor with numel equal to 1.",
        "FSDP wrapped the module",
        symptoms=(Symptom.PREP_MODEL_LOADING_FAILURE,),
    ),
    Wording(
        {"script-error": 0.64},
        r"Checkpoint at \S+ is missing keys|Failed to validate global plan|Size mismatch between saved \S+ and current|Invalid checkpoint metadata for"
        r"|Expects (?:state \S+ for parameter|group key \S+ to be in|equal param_group size)|Checkpoint background process is dead",
        "is missing keys | validate global plan | size mismatch between saved | invalid checkpoint metadata | expects state | expects group key"
        " | expects equal param_group | checkpoint background process",
        "pytorch: torch/distributed/checkpoint",
        "ValueError: Size mismatch between saved torch.Size([8]) and current: torch.Size([4]) for weight",
        "the checkpoint is whole",
        symptoms=(Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING, Symptom.PREP_MODEL_LOADING_FAILURE),
    ),
    Wording(
        {"script-error": 0.6},
        r"(?:sampler|batch_sampler) option is mutually exclusive with|batch_size should be a positive integer|DataLoader with IterableDataset: expected unspecified"
        r"|prefetch_factor option could only be|(?:persistent_workers|num_workers) option (?:needs|should)|Size mismatch between datasets",
        "mutually exclusive with | batch_size should be | dataloader with iterabledataset | prefetch_factor option | workers option"
        " | mismatch between datasets",
        "pytorch: torch/utils/data/dataloader.py",
        "ValueError: sampler option is mutually exclusive with shuffle",
        "the sampler shuffles",
        symptoms=(Symptom.PREP_DATA_LOADING_FAILURE,),
    ),
    Wording(
        {"op-unsupported": 0.6, "process-group-misuse": 0.59, "backend-mismatch": 0.4},
        r"Function argument device_ids not supported for the selected backend|Invalid function argument: device_ids",
        "argument device_ids not supported | function argument: device_ids",
        _C10D + ", barrier (device_ids are NCCL's alone)",
        "RuntimeError: Function argument device_ids not supported for the selected backend gloo",
        "device_ids=[0] is given to the barrier",
        symptoms=(Symptom.TRAIN_NOT_IMPLEMENTED, Symptom.TRAIN_COMMUNICATION_ERROR),
    ),
    Wording(
        {"rank-out-of-range": 0.27, "world-size-mismatch": 0.26, "device-shared-by-ranks": 0.2},
        r"NCCL error in: .{0,200}\binvalid argument\b",
        "nccl error in: ",
        "pytorch: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp (a rank beyond the world, as when a launcher starts more than --world-size)",
        "RuntimeError: NCCL error in: ProcessGroupNCCL.cpp:825, invalid argument, NCCL version 2.7.8",
        "RuntimeError: NCCL error in: ProcessGroupNCCL.cpp:825, invalid usage, NCCL version 2.7.8",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR),
    ),
)
