"""A child process cannot be started from this one.

**What you see**
`Cannot re-initialize CUDA in forked subprocess`, `Can't pickle local object`, `cannot pickle '...' object`, `An
attempt has been made to start a new process before the current process has finished its bootstrapping phase`.

**Why it happens**
With fork, a child inherits a CUDA context or threads that do not work in it; with spawn, everything passed on
must be picklable and the main module importable.

**How to fix**
Use spawn or forkserver with CUDA, move functions to module level, and guard the main part by `if __name__ ==
'__main__'`.

**How to confirm**
Set num_workers=0 (or one process): if the fault is gone, it is the start of children.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="fork-or-pickle",
    code="CC215",
    title="A child process cannot be started from this one",
    stage=Stage.PREPARATION,
    symptoms=(
        Symptom.PREP_DATA_LOADING_FAILURE,
        Symptom.TRAIN_OTHER_FAILURE,
        Symptom.PREP_DEVICE_ERROR,
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
    ),
    fixes=(
        (
            FixPattern.DISTRIBUTED_API_USAGE,
            "Use multiprocessing's spawn or forkserver where CUDA or a process group is alive.",
        ),
        (
            FixPattern.BEHAVIOR_LOGIC,
            "Move lambdas and local functions to module level; guard the main part of the script.",
        ),
    ),
    signatures=(
        Signature(
            pattern="Cannot re-initialize (?:CUDA|XPU|HIP|the accelerator) in forked subprocess",
            literal="in forked subprocess",
            source="pytorch: torch/cuda/__init__.py",
            positive="RuntimeError: Cannot re-initialize CUDA in forked subprocess.",
            negative="forked subprocess",
            weight=0.95,
        ),
        Signature(
            pattern=r"[Cc]an(?:'|no)t pickle (?:local object|<?\w+|'[\w.]+' object)",
            literal="can't pickle | cannot pickle",
            source="Python: pickle",
            positive="AttributeError: Can't pickle local object 'main.<locals>.collate'",
            negative="pickled the object",
            weight=0.9,
        ),
        Signature(
            pattern="attempt has been made to start a new process before the",
            literal="start a new process before the",
            source="Python: multiprocessing/spawn.py",
            positive="An attempt has been made to start a new process before the",
            negative="started a new process",
            weight=0.9,
        ),
        Signature(
            pattern="daemonic processes are not allowed to have children",
            literal="daemonic processes are not allowed",
            source="Python: multiprocessing/process.py",
            positive="AssertionError: daemonic processes are not allowed to have children",
            negative="processes have children",
            weight=0.85,
        ),
        Signature(
            pattern=r"A leaking Caffe2 thread-pool after fork|fork\(\) was called.{0,60}(?:threads|CUDA|NCCL)|context has already been set",
            literal="after fork | fork() was called | context has already been set",
            source="Python: multiprocessing/context.py",
            positive="RuntimeError: context has already been set",
            negative="context is spawn",
            weight=0.8,
        ),
    ),
    explains=PEERS_SEE,
)
