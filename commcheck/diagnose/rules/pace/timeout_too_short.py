"""The time-out is shorter than the work.

**What you see**
The watchdog ends the job in a collective while every rank is still working properly: after a change of model or
data, at the first compile, at a large checkpoint; a time-out of seconds or a few minutes in the message.

**Why it happens**
The limit (init_process_group(timeout=...), TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC,
HOROVOD_STALL_SHUTDOWN_TIME_SECONDS, DeepSpeed's) was set low or its default does not fit this job.

**How to fix**
Raise the limit for the stretch that needs it; do not switch it off.

**How to confirm**
Run once with a much longer limit: if it goes on by itself, this is the cause.
"""

from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="timeout-too-short",
    code="CC217",
    title="The time-out is shorter than the work",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.PERF_HANG,
        Symptom.PREP_HANG_TIMEOUT,
    ),
    fixes=(
        (
            FixPattern.COMMUNICATION_CONFIGURATION,
            "Raise timeout= of init_process_group (or TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC) above the longest step.",
        ),
    ),
    signatures=(
        Signature(
            pattern=r"Timeout\(ms\)=\d{1,5}\)",
            literal="timeout(ms)=",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp (a limit under 100 s, where the default is 600 s)",
            positive="Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9, OpType=ALLREDUCE, Timeout(ms)=20000) ran for 20010 milliseconds before timing out.",
            negative="WorkNCCL(SeqNum=9, OpType=ALLREDUCE, Timeout(ms)=600000)",
            weight=0.5,
        ),
        Signature(
            pattern=r"Timed out waiting \d{1,5}ms for (?:recv|send)",
            literal="timed out waiting",
            source="gloo: gloo/transport/tcp/unbound_buffer.cc (a limit under 100 s, where the default is 1800 s)",
            positive="Timed out waiting 20000ms for recv operation to complete",
            negative="Timed out waiting 1800000ms for recv operation to complete",
            weight=0.3,
        ),
    ),
)
