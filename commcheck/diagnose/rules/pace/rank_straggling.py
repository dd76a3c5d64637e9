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

from commcheck.diagnose.calls import STEP
from commcheck.diagnose.view import evidence, names
from commcheck.model.base import sentence
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.phase import Phase
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

LOST = 0.5
"""Seconds that the others have to have waited in all for one rank."""
LOST_SHARE = 0.5
"""... and their share of the time in which the steps were made."""
ALWAYS_THE_SAME = 0.8
"""Share of all waiting that has to be for that one rank: on a busy machine now this rank is the last, now that."""
STEPS = 4
"""Steps at least, so that a first one that loads something does not count as slowness."""


def match(case: Case) -> Match | None:
    """Training steps for whose exchange all wait for the same rank, which itself hardly waits.

    How long each rank was in the exchange is known from its own clock; the last to come is in it for the shortest."""
    times = {r.slot: [c.seconds for c in r.collectives if c.op == STEP and c.seconds is not None] for r in case.ranks}
    count = min((len(t) for t in times.values()), default=0)
    if len(times) < 2 or count < STEPS:
        return None
    lost = dict.fromkeys(times, 0.0)  # by the rank that was waited for: the mean time of the others
    for step in range(1, count):
        waits = {slot: t[step] for slot, t in times.items()}
        last = min(waits, key=lambda slot: waits[slot])
        others = [w - waits[last] for slot, w in waits.items() if slot != last]
        lost[last] += sum(others) / len(others)
    slot = max(lost, key=lambda s: lost[s])
    steady = next((p.seconds for r in case.ranks if r.slot == slot and (p := r.phase(Phase.STEADY))), 0.0)
    if lost[slot] < max(LOST, LOST_SHARE * steady) or lost[slot] < ALWAYS_THE_SAME * sum(lost.values()):
        return None
    slow = [r for r in case.ranks if r.slot == slot]
    return Match(
        symptom=Symptom.PERF_LOW_EFFICIENCY,
        title=sentence(names(slow), f"is late in each of {count} steps; the others waited {lost[slot]:.1f} s for it"),
        confidence=0.85,
        ranks=names(slow),
        hosts=tuple(dict.fromkeys(r.host for r in slow)),
        evidence=tuple(
            evidence(EvidenceKind.PHASE, f"was {sum(times[r.slot][:count]):.2f} s in the exchange of gradients", r)
            for r in case.ranks[:8]
        ),
        fixes=(
            Fix(
                pattern=FixPattern.BATCH_OR_PARTITION,
                text="Give the rank as much work as the others have, or look at what else its host does.",
                applies_to_ranks=names(slow),
                not_tried="it is a change of the program",
            ),
        ),
    )


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
            FixPattern.BATCH_OR_PARTITION,
            "Give the rank as much work as the others have, or look at what else its host does.",
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
            literal="reached timeout | did not reach",
            source="gloo and torchelastic",
            positive="Store based barrier reached timeout of 1800 s",
            negative="barrier reached",
            weight=0.35,
        ),
    ),
    match=match,
    needs=("ranks",),
)
