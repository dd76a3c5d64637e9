"""Python's processes that are started by spawning: the parent pickles what the child is to do, and the child reads it."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_STARTING = (Symptom.PREP_DATA_LOADING_FAILURE, Symptom.TRAIN_OTHER_FAILURE)

SIGNATURES = table(
    Wording(
        {"fork-or-pickle": 0.95},
        r"^\s*(?:\[rank\d+\]:\s*)?(?:ForkingPickler\(file, protocol\)\.dump\(obj\)|reduction\.dump\(process_obj, (?:to_child|fp)\))\s*$",
        "forkingpickler(file, protocol).dump( | reduction.dump(process_obj,",
        "Python: multiprocessing/reduction.py, popen_spawn_posix.py, popen_spawn_win32.py (a traceback's frame)",
        "    ForkingPickler(file, protocol).dump(obj)",
        "    pickler = ForkingPickler(file, protocol)",
        symptoms=_STARTING,
    ),
    Wording(
        {"fork-or-pickle": 0.46, "rank-exited": 0.35, "script-error": 0.33},
        r"EOFError: Ran out of input",
        "eoferror: ran out",
        "Python: Modules/_pickle.c (the process that starts this one has failed before it could say what to do; or an empty file)",
        "EOFError: Ran out of input",
        "EOFError: Compressed file ended",
        symptoms=_STARTING,
    ),
)
