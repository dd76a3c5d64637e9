"""What goes wrong in the program itself, by what the study calls it, in the words of TensorFlow, Keras and Python.

None of it is a fault of communication; it is recognised so that communication is not blamed for it, and named as people
would name it."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_PYTHON = "Python: "
_KERAS = "keras: saving a model that was replicated for several GPUs (keras/engine/saving.py, copy.deepcopy)"

SIGNATURES = table(
    Wording(
        {"script-error": 0.57},
        r"AttributeError: .{1,200}has no attribute",
        "has no attribute",
        _PYTHON + "Objects/object.c, Objects/moduleobject.c",
        "AttributeError: 'NoneType' object has no attribute 'shape'",
        "AttributeError: can't set attribute",
        symptoms=(Symptom.TRAIN_ATTRIBUTE_NOT_FOUND,),
    ),
    Wording(
        {"script-error": 0.62},
        r"(?:FileNotFoundError|NotADirectoryError|IsADirectoryError|IOError|OSError): \[Errno (?:2|20|21)\](?!.{0,80}'(?:ssh|mpirun|srun|nvcc|ninja)')"
        r"|can't open file '[^']*': \[Errno 2\]|NotFoundError: .{0,200}; No such file or directory",
        "[errno 2 | ; no such file or directory",
        _PYTHON + "a file that is not there, on this host or under this working directory",
        "python3: can't open file 'mnist.py': [Errno 2] No such file or directory",
        "FileNotFoundError: [Errno 2] No such file or directory: 'nvcc'",
        symptoms=(Symptom.TRAIN_PATH_ERROR, Symptom.PREP_OTHER),
    ),
    Wording(
        {"script-error": 0.55},
        r"(?:NotImplementedError|UnimplementedError)(?:\b: \S|\s*$)",
        "implementederror",
        _PYTHON + "NotImplementedError; tensorflow: errors_impl.UnimplementedError",
        "NotImplementedError: Cannot convert a symbolic Tensor to a numpy array.",
        "NotImplementedErrors are caught",
        symptoms=(Symptom.TRAIN_NOT_IMPLEMENTED,),
    ),
    Wording(
        {"script-error": 0.66},
        r"Incompatible shapes|Dimensions must be equal|Shapes? \S.{0,80} (?:and|are) \S.{0,80}incompatible|Cannot feed value of shape"
        r"|Matrix size-incompatible|Input to reshape is a tensor with|logits and labels must (?:have the same|be broadcastable)"
        r"|[Ee]rror when checking (?:input|target|model)|is incompatible with (?:the )?layer|Dimension size must be evenly divisible"
        r"|cannot reshape array of size|ConcatOp : Dimensions of inputs should match|expected shape .{0,60} but got",
        "incompatible | dimensions must be equal | cannot feed value of shape | input to reshape is | logits and labels must | error when checking | must be evenly divisible | cannot reshape array | dimensions of inputs | expected shape",
        "tensorflow and keras: shape checks of kernels and layers; numpy",
        "InvalidArgumentError: Incompatible shapes: [32,10] vs. [16,10]",
        "the shapes are compatible",
        symptoms=(Symptom.TRAIN_TENSOR_MISMATCH,),
    ),
    Wording(
        {"script-error": 0.66},
        r"Tensor conversion requested dtype \w+ for Tensor with dtype|expected (?:scalar type|object of (?:scalar )?(?:type|backend)) \w+ but (?:found|got)"
        r"|Input type \(.{1,60}\) and weight type \(.{1,60}\) should be the same|has type \w+ that does not match type \w+ of argument"
        r"|Value passed to parameter '\w+' has DataType|DataType \w+ .{0,60}not in list of allowed values|cannot compute \w+ as input #\d+.{0,60} was expected to be a",
        "tensor conversion requested | expected scalar type | expected object of | weight type ( | does not match type | has datatype | list of allowed values | was expected to be",
        "tensorflow: tensorflow/python/framework; pytorch: type checks of operators",
        "ValueError: Tensor conversion requested dtype float32 for Tensor with dtype float64",
        "expected a tensor",
        symptoms=(Symptom.TRAIN_TENSOR_MISMATCH,),
    ),
    Wording(
        {"script-error": 0.64},
        r"size mismatch for \S+: copying a param|The size of tensor a \(\d+\) must match|mat1 and mat2 shapes cannot be multiplied"
        r"|Expected input batch_size|is invalid for input of size \d+|[Ss]izes of tensors must match except in dimension",
        "copying a param | the size of tensor a | shapes cannot be multiplied | expected input batch_size | invalid for input of size | sizes of tensors must",
        "pytorch: shape checks within one rank",
        "RuntimeError: Sizes of tensors must match except in dimension 1. Expected size 3 but got size 4 for tensor number 1 in the list.",
        "the sizes match",
        symptoms=(Symptom.TRAIN_TENSOR_MISMATCH,),
    ),
    Wording(
        {"script-error": 0.68},
        r"(?:Missing|Unexpected) key\(s\) in state_dict|Error\(s\) in loading state_dict for|Key \S{1,200} not found in checkpoint"
        r"|Unable to open table file|Unsuccessful TensorSliceReader constructor|Assign requires shapes of both tensors to match",
        "in state_dict | in loading state_dict | not found in checkpoint | unable to open table file | tensorslicereader constructor | assign requires shapes",
        "pytorch: torch/nn/modules/module.py; tensorflow: tensor_bundle, save_restore_v2_ops.cc (saved by another model or wrapper)",
        "NotFoundError: Key v0/cg/affine0/biases not found in checkpoint",
        "the checkpoint was found",
        symptoms=(Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING, Symptom.PREP_MODEL_LOADING_FAILURE),
    ),
    Wording(
        {"fork-or-pickle": 0.93},
        r"[Cc]an(?:'t|not) pickle (?:module objects|'module' object|NotImplementedType|NoImplementedType)|cannot serialize '_io\.|not JSON [Ss]erializable"
        r"|can't pickle _thread\.(?:RLock|lock|_local) objects|cannot pickle '_thread\.\w+' object",
        "pickle | cannot serialize '_io. | json serializable",
        _KERAS,
        "TypeError: can't pickle module objects",
        "AttributeError: Can't pickle local object 'main.<locals>.collate'",
        symptoms=(Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,),
    ),
    Wording(
        {"script-error": 0.7},
        r"load(?:ing)? a weight file containing \d+ layers? into a model with \d+|Unable to (?:open|create) file \(.{0,200}(?:h5|HDF5|file signature|lock|errno)"
        r"|Unknown (?:layer|optimizer|loss function|metric function|initializer): ?\w+|ValueError: No model found in config file",
        "weight file containing | unable to open file | unable to create file | unknown layer | unknown optimizer | unknown loss | unknown metric | unknown initializer | no model found in",
        "keras: keras/engine/saving.py; h5py",
        "ValueError: You are trying to load a weight file containing 1 layers into a model with 17 layers.",
        "loaded a weight file",
        symptoms=(Symptom.PREP_MODEL_LOADING_FAILURE, Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING),
    ),
    Wording(
        {"script-error": 0.6},
        r"(?:^|(?<!except|.raise)\s)StopIteration(?:: (?!$)|\s*$)|OutOfRangeError|Your (?:input|dataset iterator) ran out of data|generator (?:must|should) (?:run|yield) infinite",
        "stopiteration | outofrangeerror | ran out of data | must run infinite | must yield infinite | should run infinite | should yield infinite",
        "Python; tensorflow: tf.data; keras: training loops (fewer batches than the loop asks for)",
        "WARNING:tensorflow:Your input ran out of data; interrupting training.",
        "the range is fine",
        symptoms=(Symptom.PREP_ITERATION_FAILURE,),
    ),
    Wording(
        {"script-error": 0.66},
        r"URL fetch failure on|urllib\.error\.(?:URLError|HTTPError)|EOFError: Compressed file ended before|zipfile\.BadZipFile|Dataset not found\. You can use download=True"
        r"|CRC check failed|Not a gzipped file|not a valid (?:zip|gzip) file|hash(?:es)? do(?:es)? not match|Error -3 while decompressing",
        "url fetch failure | urllib.error. | compressed file ended | badzipfile | dataset not found. | crc check failed | not a gzipped file | not a valid | not match | while decompressing",
        _PYTHON + "urllib, gzip, zipfile; keras.utils.get_file; torchvision (several ranks download to one place)",
        "EOFError: Compressed file ended before the end-of-stream marker was reached",
        "the hashes agree",
        symptoms=(Symptom.PREP_OTHER, Symptom.PREP_DATA_LOADING_FAILURE),
    ),
    Wording(
        {"script-error": 0.6},
        r"in DataLoader worker process \d+|DataLossError: corrupted record|Could not parse example input|UnidentifiedImageError|Found 0 (?:files|images) ",
        "dataloader worker process | corrupted record | parse example input | unidentifiedimageerror | found 0 ",
        "pytorch: torch/utils/data; tensorflow: record_reader.cc; PIL",
        "DataLossError: corrupted record at 1234",
        "records are read",
        symptoms=(Symptom.PREP_DATA_LOADING_FAILURE,),
    ),
    Wording(
        {"script-error": 0.5, "wrong-values": 0.4},
        r"[Ll]oss(?: is |: ?|= ?| = ?|: is )(?:nan|NaN)\b|NanLossDuringTraining|[Ii]nvalid loss, terminating|[Mm]inimum loss scale reached|Nan in summary histogram",
        "loss = nan | loss is nan | loss: nan | loss:nan | loss=nan | loss= nan | loss =nan | loss: is nan | nanlossduringtraining | invalid loss, terminating | minimum loss scale reached | nan in summary histogram",
        "tensorflow: basic_session_run_hooks.py; fairseq, detectron2, Keras's TerminateOnNaN; common training loops",
        "ERROR:tensorflow:Model diverged with loss = NaN.",
        "loss: 0.2371",
        symptoms=(Symptom.PERF_NON_CONVERGENCE,),
    ),
    Wording(
        {"script-error": 0.66, "op-unsupported": 0.4},
        r"\"?\w+\"? not implemented for '\w+'",
        "not implemented for '",
        "pytorch: aten/src/ATen/Dispatch.h (a type that an operation does not have on this device)",
        "RuntimeError: \"div_cpu\" not implemented for 'Half'",
        "not implemented for other types",
        symptoms=(Symptom.TRAIN_NOT_IMPLEMENTED,),
    ),
)
