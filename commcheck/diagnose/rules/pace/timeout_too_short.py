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

from commcheck.diagnose.view import evidence, names, said, symptom_in
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.phase import STAGE_OF
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

DEFAULT_SECONDS = 1800.0
"""torch.distributed.constants.default_pg_timeout, of gloo."""
USUAL = 60.0
"""Seconds below which a limit is called short: a compile, a checkpoint or a first batch takes as long."""
_GAVE_UP = ("Timed out waiting", "timed out", "Timeout")


def match(case: Case) -> Match | None:
    """A rank gave up in a collective after a short limit, while another one, alive, was still in its own work.

    That it computed until the end tells it from a rank that never comes; one that sleeps may be either."""
    if case.world is None or case.world.store_seconds >= USUAL:
        return None
    gave_up = [
        r
        for r in case.ranks
        if r.error is not None and STAGE_OF[r.error.phase] is not Stage.SETUP and said(r, *_GAVE_UP)
    ]
    late = [r for r in case.ranks if r not in gave_up and _at_its_own_work(r)]
    if not gave_up or not late:
        return None
    seconds = case.world.store_seconds
    busy = all(r.process is not None and r.process.state == "R" for r in late)
    error = gave_up[0].error
    assert error is not None
    seen = [
        *(evidence(EvidenceKind.LOG, said(r, *_GAVE_UP).strip()[:300], r, "exception") for r in gave_up[:4]),
        *(
            evidence(EvidenceKind.FACT, f"was alive and {'computed' if busy else 'waited'}, outside of any call", r)
            for r in late[:4]
        ),
    ]
    return Match(
        symptom=symptom_in(error.phase, hang=True),
        title=f"The limit of {seconds:g} s passed while {ranks_text(names(late))} was still at work of its own",
        confidence=0.85 if busy else 0.6,
        ranks=names(late),
        hosts=tuple(dict.fromkeys(r.host for r in late)),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"raise the timeout of init_process_group: torch's own is {DEFAULT_SECONDS:g} s",
                args={"timeout": f"{DEFAULT_SECONDS:g}"},
            ),
        ),
    )


def _at_its_own_work(rank: RankRecord) -> bool:
    """Alive when it was last looked at, and in no call."""
    last = rank.last_phase
    return (
        rank.error is None
        and (rank.exit is None or rank.exit.by_us)
        and not rank.finished
        and (rank.process is None or rank.process.state != "T")
        and last is not None
        and (not rank.collectives or rank.collectives[-1].done)
        and STAGE_OF[last.phase] is not Stage.SETUP
    )


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
    match=match,
    explains=("collective-missing-rank",),
    needs=("ranks",),
)
