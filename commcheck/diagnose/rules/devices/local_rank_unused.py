"""Ranks do not say which GPU is theirs.

**What you see**
`using GPU 0 to perform barrier as devices used by this process are currently unknown`, memory of all ranks on
GPU 0, object collectives that hang or run out of memory.

**Why it happens**
torch.cuda.set_device was not called before the first collective, so the library guesses by the rank; where
ranks are not numbered host by host, the guess is wrong and hangs.

**How to fix**
Call torch.cuda.set_device(int(os.environ['LOCAL_RANK'])) before init_process_group, or pass device_id to it.

**How to confirm**
`nvidia-smi` must show one process of the job per GPU; the warning must be gone.
"""

from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="local-rank-unused",
    code="CC304",
    title="Ranks do not say which GPU is theirs",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.PERF_UNEXPECTED_PARALLELIZATION,
        Symptom.PERF_HANG,
        Symptom.PREP_DEVICE_ERROR,
        Symptom.PERF_LOW_EFFICIENCY,
        Symptom.TRAIN_OUT_OF_MEMORY,
    ),
    fixes=(
        (
            FixPattern.DEVICE_ASSIGNMENT,
            "Call torch.cuda.set_device(LOCAL_RANK) before init_process_group, or pass device_id=.",
        ),
        (FixPattern.DISTRIBUTED_API_USAGE, "Pass device_ids=[LOCAL_RANK] to barrier()."),
    ),
    signatures=(
        Signature(
            pattern=r"using (?:best-guess )?GPU \d+ (?:to perform barrier )?as (?:the )?devices? used by this process (?:are|is) currently unknown",
            literal="used by this process",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp, guessDeviceForRank",
            positive="[W ProcessGroupNCCL.cpp:1569] Rank 2 using best-guess GPU 2 to perform barrier as devices used by this process are currently unknown.",
            negative="GPU 2 used by this process",
            weight=0.45,
        ),
        Signature(
            pattern="No device id is provided via `init_process_group` or `barrier",
            literal="no device id is provided",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp",
            positive="UserWarning: No device id is provided via `init_process_group` or `barrier `. Using the current device set by the user.",
            negative="device id 3 is provided",
            weight=0.45,
        ),
    ),
)
