"""No further process or thread may be started.

**What you see**

`RuntimeError: can't start new thread`, `BlockingIOError: [Errno 11] Resource temporarily unavailable` from a fork,
`libgomp: Thread creation failed: Resource temporarily unavailable`, or OpenBLAS's
`pthread_create failed for thread 3 of 64: Resource temporarily unavailable`.

**Why it happens**

The limit on processes counts threads, and counts all of a user's on the host: with many ranks per host, each with as
many threads as there are cores, it is soon met. A cgroup's pids.max does the same in containers and batch jobs.

**How to fix**

Fewer threads per rank (`OMP_NUM_THREADS=1`, which torchrun sets by itself), or a higher limit: `ulimit -u`, `docker run
--pids-limit`, the batch system's settings.

**How to confirm**

`ulimit -u`; `cat /sys/fs/cgroup/.../pids.max`; `ps -eLf | wc -l` counts the host's threads.
"""

from commcheck.diagnose.rules.limits.shared import hard, of_host, ranks_on, said, soft
from commcheck.model.base import listed
from commcheck.model.case import Case, HostFacts, RankRecord
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.phase import STAGE_OF
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

PER_RANK = 32
"""Threads of a rank, roughly: torch's pools, gloo's loop, the store, the watchdogs, one data loader."""

_SAYS = (
    r"can't start new thread",
    r"pthread_create failed",
    r"Thread creation failed",
    r"fork\w*: .*Resource temporarily unavailable",
    r"BlockingIOError.*Errno 11",
    r"^\[Errno 11\] Resource temporarily unavailable$",  # of a fork
    r"^Resource temporarily unavailable$",  # std::thread's words, with nothing around them, when the backend starts one
)


def match(case: Case) -> Match | None:
    """A rank said so, or a host's limit is less than its ranks need."""
    hit = tuple(said(case, _SAYS))
    low = [h for h in case.hosts if _too_low(case, h)]
    if not hit and not low:
        return None
    enough = bool(case.ranks) and all(r.finished for r in case.ranks)
    confidence = 0.9 if hit else 0.3 if enough else 0.55
    hosts = tuple(dict.fromkeys([r.host for r, _ in hit] + [h.host for h in low]))
    top = min((h for host in case.hosts if (h := hard(host, "nproc")) is not None), default=None)
    return Match(
        symptom=_symptom(tuple(r for r, _ in hit)),
        title=f"too few processes and threads are allowed on {listed(hosts)}",
        confidence=confidence,
        ranks=tuple(r.name for r, _ in hit),
        hosts=hosts,
        evidence=(*(e for _, e in hit), *(of_host(h, f"nproc is {soft(h, 'nproc')}") for h in low)),
        fixes=(
            Fix(
                pattern=FixPattern.MEMORY_OR_CORE_SETTING,
                text="fewer threads per rank",
                set={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            ),
            Fix(
                pattern=FixPattern.MEMORY_OR_CORE_SETTING,
                text="raise the limit on processes",
                commands=(f"ulimit -u {'unlimited' if top is None else top}",),
                not_tried="a limit is set by the shell or the administrator",
            ),
        ),
    )


def _symptom(ranks: tuple[RankRecord, ...]) -> Symptom:
    """Where the first rank that said so was: data loaders start processes, the group starts threads."""
    stage = STAGE_OF[ranks[0].error.phase] if ranks and ranks[0].error else Stage.SETUP
    of = {Stage.PREPARATION: Symptom.PREP_DATA_LOADING_FAILURE, Stage.TRAINING: Symptom.TRAIN_OTHER_FAILURE}
    return of.get(stage, Symptom.SETUP_FAILURE)


def _too_low(case: Case, host: HostFacts) -> bool:
    limit = soft(host, "nproc")
    return limit is not None and limit < PER_RANK * max(1, ranks_on(case, host.host))


RULE = Rule(
    cause="process-limit",
    code="CC122",
    title="Too few processes and threads are allowed",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.PREP_DATA_LOADING_FAILURE, Symptom.TRAIN_OTHER_FAILURE),
    fixes=((FixPattern.MEMORY_OR_CORE_SETTING, "set OMP_NUM_THREADS=1, or raise the limit on processes (ulimit -u)"),),
    match=match,
    signatures=(
        Signature(
            pattern=r"can't start new thread",
            literal="can't start new thread",
            source="CPython Modules/_threadmodule.c",
            positive="RuntimeError: can't start new thread",
            negative="started new thread",
            weight=0.9,
        ),
        Signature(
            pattern=r"pthread_create failed|fork: retry: |[Ff]ailed to create (?:a )?(?:new )?thread\b",
            literal="pthread_create failed | fork: retry: | failed to create new thread | failed to create a | failed to create thread",
            source="OpenBLAS driver/others/blas_server.c",
            positive="OpenBLAS blas_thread_init: pthread_create failed for thread 3 of 64: Resource temporarily unavailable",
            negative="pthread_create returned 0",
            weight=0.9,
        ),
        Signature(
            pattern=r"libgomp: Thread creation failed",
            literal="thread creation failed",
            source="GCC libgomp/team.c; named in torch's libgomp",
            positive="libgomp: Thread creation failed: Resource temporarily unavailable",
            negative="libgomp: 4 threads created",
            weight=0.9,
        ),
    ),
    explains=("rank-crashed", "rank-exited", "rank-missing", "script-error"),
    needs=(),
)
