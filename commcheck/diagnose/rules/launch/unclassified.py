"""It failed in a way that no known signature describes.

**What you see**
Lines that tell of a failure, none of which commcheck knows, or only such as many causes share (a time-out, a
connection that was reset, the launcher's summary).

**Why it happens**
The line that names the cause was not printed, is in another rank's log, or is new to commcheck.

**How to fix**
Nothing can be recommended from this evidence alone. Do not change settings at random: collect what decides.

**How to confirm**
Give the logs of all ranks at once (`commcheck diagnose DIR`), run again with NCCL_DEBUG=INFO and
TORCH_DISTRIBUTED_DEBUG=DETAIL, and run `commcheck preflight` with the job's settings.
"""

from commcheck.model.rule import Rule
from commcheck.model.taxonomy import Stage, Symptom

RULE = Rule(
    cause="unclassified",
    code="CC000",
    title="It failed in a way that no known signature describes",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_OTHER_FAILURE,
        Symptom.SETUP_FAILURE,
        Symptom.PREP_OTHER,
        Symptom.PREP_MODEL_LOADING_FAILURE,
        Symptom.PREP_DATA_LOADING_FAILURE,
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
    ),
    fixes=(),
)
