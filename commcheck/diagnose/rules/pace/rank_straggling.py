"""A rank is slow: the others wait for it longer than the time-out.

**What you see**
Time-outs in a barrier or in the first collective while one rank (often 0) still tokenises, downloads, compiles
or writes a checkpoint; progress lines of one rank alone.

**Why it happens**
Work is done by one rank, or unevenly, inside a stretch that the others wait for.

**How to fix**
Do the long work before the group is formed, or raise the time-out for it (init_process_group(timeout=...));
balance the data.

**How to confirm**
py-spy dump on every rank while it hangs: the straggler is in its own work, all others in the collective.
"""

from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="rank-straggling",
    code="CC216",
    title="A rank is slow: the others wait for it longer than the time-out",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.PERF_HANG,
        Symptom.PREP_HANG_TIMEOUT,
        Symptom.SETUP_HANG_TIMEOUT,
        Symptom.PERF_LOW_EFFICIENCY,
    ),
    fixes=(
        (
            FixPattern.COMMUNICATION_CONFIGURATION,
            "Pass a longer timeout= to init_process_group for the stretch that really takes so long.",
        ),
        (
            FixPattern.BEHAVIOR_LOGIC,
            "Do one-rank work (downloads, tokenising) before init_process_group, or split it over the ranks.",
        ),
    ),
    signatures=(
        Signature(
            pattern=r"\bmain_process_first\b|\bwait_for_everyone\b",
            literal="main_process_first | wait_for_everyone",
            source="transformers: training_args.py; accelerate: the others wait while rank 0 works",
            positive='  File "/opt/x/training_args.py", line 77, in main_process_first',
            negative="main process",
            weight=0.4,
        ),
        Signature(
            pattern=r"[Ss]traggler (?:detected|rank)|(?:GPU|rank) (?P<rank>\d+) is (?:a straggler|slower than)",
            literal="straggler | is slower than",
            source="NVIDIA resiliency extension; training frameworks",
            positive="Straggler detected: rank 7",
            negative="no stragglers",
            weight=0.5,
        ),
        Signature(
            pattern="(?:Monitored barrier|barrier).{0,60}(?:reached timeout|did not reach)",
            literal="barrier",
            source="gloo and torchelastic",
            positive="Store based barrier reached timeout of 1800 s",
            negative="barrier reached",
            weight=0.35,
        ),
    ),
)
