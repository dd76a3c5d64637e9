"""The process group is used before, after or twice.

**What you see**
`Default process group has not been initialized`, `trying to initialize the default process group twice`,
`Horovod has not been initialized`, `Collective ops must be configured at program startup`.

**Why it happens**
A distributed code path runs in a plain single process, initialisation comes after its first use or a second
time, or the group was destroyed before.

**How to fix**
Initialise once, before anything that uses it; guard by torch.distributed.is_initialized(); start with the
launcher that the program expects.

**How to confirm**
Print torch.distributed.is_initialized() before the line of the traceback.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="process-group-misuse",
    code="CC214",
    title="The process group is used before, after or twice",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_FAILURE,
        Symptom.TRAIN_OTHER_FAILURE,
        Symptom.TRAIN_COMMUNICATION_ERROR,
    ),
    fixes=(
        (
            FixPattern.DISTRIBUTED_API_USAGE,
            "Call init_process_group (hvd.init, the strategy) once, before the first use.",
        ),
        (
            FixPattern.COMMAND_LINE,
            "Start the program by its launcher (torchrun), with the option that switches distribution on.",
        ),
    ),
    signatures=(
        Signature(
            pattern="Default process group has not been initialized|Default process group is not initialized",
            literal="default process group",
            source="pytorch: torch/distributed/distributed_c10d.py",
            positive="ValueError: Default process group has not been initialized, please make sure to call init_process_group.",
            negative="Default process group initialized",
            weight=0.93,
        ),
        Signature(
            pattern="trying to initialize the default process group twice",
            literal="default process group twice",
            source="pytorch: torch/distributed/distributed_c10d.py",
            positive="ValueError: trying to initialize the default process group twice!",
            negative="initialized once",
            weight=0.93,
        ),
        Signature(
            pattern=r"Horovod has not been initialized; use hvd\.init",
            literal="horovod has not been initialized",
            source="horovod: horovod/common/common.h",
            positive="ValueError: Horovod has not been initialized; use hvd.init().",
            negative="Horovod has been initialized",
            weight=0.93,
        ),
        Signature(
            pattern="Collective ops must be configured at program startup",
            literal="collective ops must be configured",
            source="tensorflow: tensorflow/python/eager/context.py",
            positive="RuntimeError: Collective ops must be configured at program startup",
            negative="collective ops are configured",
            weight=0.9,
        ),
        Signature(
            pattern="tensor with the same name as another tensor that is currently being processed",
            literal="name as another tensor",
            source="horovod: horovod/common/common.h, DUPLICATE_NAME_ERROR",
            positive="Requested to allreduce, allgather, or broadcast a tensor with the same name as another tensor that is currently being processed.",
            negative="same name",
            weight=0.85,
            symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR,),
        ),
        Signature(
            pattern=r"Address already initialized|jax\.distributed\.initialize should only be called once|distributed\.initialize\(\) must be called before",
            literal="already initialized | initialize should only | initialize() must be called",
            source="jax: jax/_src/distributed.py",
            positive="RuntimeError: jax.distributed.initialize should only be called once.",
            negative="initialize() called",
            weight=0.85,
        ),
        Signature(
            pattern=r"comm \S+ has already been destroyed|Attempt to use communicator before the previous operation|[Pp]rocess group (?:has been|was) destroyed|communicator is aborted",
            literal="already been destroyed | use communicator before | group has been destroyed | group was destroyed | communicator is aborted",
            source="nccl: src/init.cc",
            positive="NCCL WARN comm 0x5588 has already been destroyed",
            negative="group is alive",
            weight=0.8,
            symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR,),
        ),
    ),
    explains=PEERS_SEE,
)
