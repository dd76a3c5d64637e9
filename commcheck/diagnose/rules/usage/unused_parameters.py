"""Ranks do not use all parameters, or not the same ones.

**What you see**
`Expected to have finished reduction in the prior iteration before starting a new one`, `Expected to mark a
variable ready only once`.

**Why it happens**
DistributedDataParallel waits for a gradient of every parameter in every step; a layer took no part in the loss,
or was used twice under checkpointing.

**How to fix**
Take the unused layers out, or pass find_unused_parameters=True (or static_graph=True with checkpointing).

**How to confirm**
TORCH_DISTRIBUTED_DEBUG=INFO names the parameters that got no gradient.
"""

from commcheck.diagnose.consequences import PEERS_SEE_CRASH
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="unused-parameters",
    code="CC213",
    title="Ranks do not use all parameters, or not the same ones",
    stage=Stage.TRAINING,
    symptoms=(Symptom.TRAIN_GRAPH_EXECUTION_ERROR, Symptom.TRAIN_COMMUNICATION_ERROR),
    fixes=(
        (
            FixPattern.DISTRIBUTED_API_USAGE,
            "find_unused_parameters=True, or static_graph=True where the graph is the same in each step.",
        ),
        (FixPattern.MODEL_CONSTRUCTION, "Remove parameters that take no part in the loss."),
    ),
    signatures=(
        Signature(
            pattern="Expected to have finished reduction in the prior iteration",
            literal="expected to have finished reduction",
            source="pytorch: torch/csrc/distributed/c10d/reducer.cpp",
            positive="RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one.",
            negative="the reduction has finished",
            weight=0.95,
        ),
        Signature(
            pattern="Expected to mark a variable ready only once|has been marked as ready twice",
            literal="mark a variable ready | marked as ready twice",
            source="pytorch: torch/csrc/distributed/c10d/reducer.cpp",
            positive="RuntimeError: Expected to mark a variable ready only once.",
            negative="the variable is ready",
            weight=0.95,
        ),
        Signature(
            pattern=r"Parameter indices which did not receive grad for rank (?P<rank>\d+)|Parameters which did not receive grad for rank",
            literal="which did not receive grad",
            source="pytorch: torch/csrc/distributed/c10d/reducer.cpp",
            positive="Parameter indices which did not receive grad for rank 1: 3 4",
            negative="parameters received grad",
            weight=0.7,
        ),
    ),
    explains=PEERS_SEE_CRASH,
)
