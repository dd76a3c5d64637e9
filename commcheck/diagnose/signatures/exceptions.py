"""Python's own exceptions, and PyTorch's checks within one rank: of graph, shapes, checkpoints, models and data.

What kind of failure it is says the wording: the cause is the same for all.
"""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_RAISED = r"^(?:.*?\s)?(?:\w+\.)*"
_PYTHON = "Python: built-in exceptions"

SIGNATURES = table(
    Wording(
        {"script-error": 0.6},
        _RAISED
        + r"(?:KeyError|IndexError|NameError|UnboundLocalError|ZeroDivisionError|SyntaxError|IndentationError|UnicodeDecodeError|JSONDecodeError"
        r"|RecursionError)(?!: '(?:RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|MASTER_ADDR|MASTER_PORT|NODE_RANK|GROUP_RANK|SLURM_\w+|OMPI_\w+)'): \S",
        "keyerror: | indexerror: | nameerror: | localerror: | divisionerror: | syntaxerror: | indentationerror: | decodeerror: | recursionerror: ",
        "Python: exceptions that no communication library raises",
        "KeyError: 'labels'",
        "KeyError: 'RANK'",
    ),
    Wording(
        {"script-error": 0.5},
        _RAISED
        + r"(?:(?:Module)?AttributeError|TypeError|ValueError|AssertionError|NotImplementedError|OverflowError)(?:: \S|$)",
        "attributeerror | typeerror | valueerror | assertionerror | notimplementederror | overflowerror",
        "Python: exceptions that a communication library seldom raises",
        "ValueError: too many values to unpack (expected 2)",
        "no error",
    ),
    Wording(
        {"script-error": 0.4},
        _RAISED + r"(?:RuntimeError|OSError|IOError|SystemError|SystemExit): \S",
        "runtimeerror: | oserror: | ioerror: | systemerror: | systemexit: ",
        "Python: exceptions that may come from anything",
        "RuntimeError: something went wrong",
        "no RuntimeError",
    ),
    Wording(
        {"script-error": 0.6},
        _RAISED
        + r"(?:FileNotFoundError|NotADirectoryError|IsADirectoryError|PermissionError): ?\S|Parent directory \S+ does not exist",
        "notfounderror: | directoryerror: | permissionerror: | parent directory ",
        _PYTHON + "; pytorch: caffe2/serialize/inline_container.cc",
        "PermissionError: [Errno 13] Permission denied: '/data/train.idx'",
        "no file was missing",
        symptoms=(Symptom.TRAIN_PATH_ERROR,),
    ),
    Wording(
        {"script-error": 0.6},
        _RAISED + r"FileExistsError: ?\S",
        "fileexistserror",
        _PYTHON + " (several ranks make one and the same thing)",
        "FileExistsError: [Errno 17] File exists: '/cache/index'",
        "the file exists",
        symptoms=(Symptom.PREP_OTHER,),
    ),
    Wording(
        {"script-error": 0.6},
        r"^(?:\S+: ){0,2}\S+\.py: error: (?!unrecognized arguments: .*--local)",
        ".py: error: ",
        "Python: argparse",
        "train.py: error: the following arguments are required: --data",
        "train.py: error: unrecognized arguments: --local-rank=3",
    ),
    Wording(
        {"script-error": 0.55},
        r"Caught \w+(?:Error|Exception) in replica \d+",
        "error in replica | exception in replica",
        "pytorch: torch/_utils.py, ExceptionWrapper",
        "Caught RuntimeError in replica 1 on device 1.",
        "replica 1 caught up",
    ),
    Wording(
        {"script-error": 0.66},
        r"mat1 and mat2 must have the same dtype|stack expects each tensor to be equal size|The expanded size of the tensor \(\d+\) must match"
        r"|'weight' must be 2-D|Given groups=\d+, weight of size|shape mismatch: value tensor of shape|expected m1 and m2 to have the same dtype",
        "mat1 and mat2 | expects each tensor to be equal | the expanded size of the tensor | must be 2-d | given groups= | shape mismatch: value"
        " | expected m1 and m2",
        "pytorch: shape and type checks within one rank",
        "RuntimeError: stack expects each tensor to be equal size, but got [3] at entry 0 and [5] at entry 1",
        "the shapes match",
        symptoms=(Symptom.TRAIN_TENSOR_MISMATCH,),
    ),
    Wording(
        {"script-error": 0.66, "wrong-device-for-backend": 0.35},
        r"Expected all tensors to be on the same device|Expected object of (?:backend|device type) \w+ but got|to have the same device as tensor for argument"
        r"|(?:tensors|indices) (?:are not at the same device|must be on the current device|should be either on)|arguments are located on different GPUs",
        "to be on the same device | expected object of backend | expected object of device | the same device as tensor | not at the same device"
        " | must be on the current device | should be either on | located on different gpus",
        "pytorch: aten/src/ATen/TensorIterator.cpp, TensorUtils.cpp, native/Embedding.cpp (within one rank)",
        "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cuda:1!",
        "all tensors are on the same device",
        symptoms=(Symptom.TRAIN_DEVICE_ERROR,),
    ),
    Wording(
        {"script-error": 0.66},
        r"element 0 of tensors does not require grad|one of the variables needed for gradient computation has been modified"
        r"|Trying to backward through the graph a second time|grad can be implicitly created only for scalar outputs"
        r"|Recomputed values for the following tensors have different metadata|A different number of tensors was saved during"
        r"|torch\._dynamo\.exc\.\w+:|BackendCompilerFailed",
        "does not require grad | needed for gradient computation | through the graph a second time | grad can be implicitly"
        " | have different metadata | number of tensors was saved during | torch._dynamo.exc. | backendcompilerfailed",
        "pytorch: torch/csrc/autograd, torch/utils/checkpoint.py, torch/_dynamo/exc.py",
        "RuntimeError: Trying to backward through the graph a second time.",
        "the graph was freed",
        symptoms=(Symptom.TRAIN_GRAPH_EXECUTION_ERROR,),
    ),
    Wording(
        {"script-error": 0.64, "disk-full": 0.3},
        r"[Mm]issing key in checkpoint state_dict|CheckpointException|loaded state dict (?:has a different number of|contains a parameter group that)"
        r"|write\(\): fd \d+ failed with|RuntimeError: File \S+ cannot be opened|unexpected pos \d+ vs \d+"
        r"|PytorchStreamReader failed|UnpicklingError: |Invalid magic number; corrupt file|unexpected EOF, expected \d+ more bytes"
        r"|Weights only load failed|SafetensorError|Error while deserializing header|storage has wrong (?:byte )?size: expected"
        r"|can only be (?:used|called) when parameters are flatten and sharded|An unexpected key, .{1,200}, exists\. FQN is",
        "missing key in checkpoint | checkpointexception | loaded state dict has a | loaded state dict contains | write(): fd"
        " | cannot be opened | unexpected pos | pytorchstreamreader failed | unpicklingerror: | invalid magic number"
        " | unexpected eof, expected | weights only load failed | safetensorerror | while deserializing header | storage has wrong"
        " | when parameters are flatten | an unexpected key, ",
        "pytorch: torch/distributed/checkpoint, torch/optim, torch/csrc/serialization.cpp, caffe2/serialize, torch/serialization.py; safetensors",
        "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory",
        "the zip archive was read",
        symptoms=(Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING, Symptom.PREP_MODEL_LOADING_FAILURE),
    ),
    Wording(
        {"script-error": 0.62},
        r"Can't load (?:tokenizer|the model|the configuration|feature extractor) |does not appear to have a file named"
        r"|is not a local folder and is not a valid model identifier|Unrecognized (?:model in|configuration class)"
        r"|Cannot copy out of meta tensor; no data|(?:Must flatten tensors with|FlatParameter` requires) uniform|Cannot flatten integer dtype tensors|HFValidationError",
        "can't load t | can't load f | appear to have a file named | is not a valid model identifier | unrecognized model in"
        " | unrecognized configuration class | out of meta tensor | must flatten tensors | flatparameter` requires | cannot flatten integer | hfvalidationerror",
        "transformers: src/transformers/utils/hub.py; pytorch: torch/distributed/fsdp/_flat_param.py",
        "ValueError: Must flatten tensors with uniform dtype but got torch.bfloat16 and torch.float32",
        "the tensors are flat",
        symptoms=(Symptom.PREP_MODEL_LOADING_FAILURE,),
    ),
    Wording(
        {"script-error": 0.58},
        r"cannot identify image file|num_samples should be a positive integer value|DatasetNotFoundError|DatasetGenerationError"
        r"|DataLoader worker exited unexpectedly with exit code|DataLoader timed out after",
        "cannot identify image file | num_samples should be | datasetnotfounderror | datasetgenerationerror"
        " | dataloader worker exited unexpectedly | dataloader timed out",
        "pytorch: torch/utils/data; Pillow; datasets",
        "RuntimeError: DataLoader worker exited unexpectedly with exit code 1.",
        "the DataLoader has 3 workers",
        symptoms=(Symptom.PREP_DATA_LOADING_FAILURE,),
    ),
    Wording(
        {"script-error": 0.62},
        r"(?:Couldn't reach|We couldn't connect to) '?https?:|HTTPError: (?:HTTP Error )?[45]\d\d|URLError: <urlopen error"
        r"|Max retries exceeded with url|(?:GatedRepo|RepositoryNotFound|EntryNotFound|HfHubHTTP)Error",
        "couldn't reach | couldn't connect to | httperror: | urlopen error | max retries exceeded | gatedrepoerror"
        " | repositorynotfounderror | entrynotfounderror | hfhubhttperror",
        "requests, urllib and huggingface_hub: a download that failed",
        "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://example.org/weights.bin",
        "downloaded from https://example.org",
        symptoms=(Symptom.PREP_OTHER,),
    ),
)
