"""Settings of one process contradict each other.

**What you see**

It depends on which of the two wins: a hang in the rendezvous (TORCHELASTIC_USE_AGENT_STORE=True without an agent: every
rank waits for a store that nobody opens), an error (NCCL_NET=IB with NCCL_IB_DISABLE=1), or one setting without effect.

**Why it happens**

Settings come from several places: the job script, the shell's start-up files, a container image, a site-wide
configuration, variables left over from an earlier launcher.

**How to fix**

Decide which setting is meant and unset the other.

**How to confirm**

`commcheck lint` names both settings. `env | sort` in the script shows what really arrives there.
"""

from collections.abc import Iterator
from functools import cache

from commcheck.catalog.env import known
from commcheck.diagnose.rules.environment.settings import (
    WORKS_ANYWAY,
    Finding,
    Seen,
    errors,
    fact,
    integer,
    match_of,
    seen,
)
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

_LOOPBACK = ("localhost", "ip6-localhost", "localhost.localdomain", "::1", "[::1]")
_YES = ("1", "true", "yes", "y", "t")


def match(case: Case) -> Match | None:
    """Pairs of settings that cannot both be meant."""
    findings = []
    for who in seen(case):
        for names, title, confidence, fix, symptom in conflicts(who):
            worth = min(confidence, WORKS_ANYWAY) if who.finished else confidence
            evidence = (*(fact(name, who.environment.get(name), who) for name in names), *errors(who))
            findings.append(Finding(who, title, worth, evidence, (fix,), symptom))
    return match_of(findings)


Conflict = tuple[tuple[str, ...], str, float, Fix, Symptom]
"""The variables, what is wrong with them, the confidence, the fix, the symptom."""


def conflicts(who: Seen) -> Iterator[Conflict]:
    """The contradictions among one process's settings."""
    yield from _counts(who)
    yield from _master(who)
    yield from _agent_store(who)
    yield from _renamed(who)
    yield from _nccl(who)


def _fix(who: Seen, text: str, *, unset: tuple[str, ...] = (), set_: dict[str, str] | None = None) -> Fix:
    return Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=text,
        set=set_ or {},
        unset=unset,
        applies_to_ranks=() if who.rank is None else (who.rank,),
    )


def _counts(who: Seen) -> Iterator[Conflict]:
    local, local_size = integer(who.value("LOCAL_RANK")), integer(who.value("LOCAL_WORLD_SIZE"))
    size = integer(who.value("WORLD_SIZE"))
    if local is not None and local_size is not None and not 0 <= local < local_size:
        title = f"LOCAL_RANK={local} is not one of 0 to {local_size - 1}, though LOCAL_WORLD_SIZE={local_size}"
        fix = _fix(who, "number the processes of each host 0 to LOCAL_WORLD_SIZE - 1")
        yield ("LOCAL_RANK", "LOCAL_WORLD_SIZE"), title, 0.7, fix, Symptom.PREP_DEVICE_ERROR
    if size is not None and local_size is not None and local_size > size > 0:
        title = f"LOCAL_WORLD_SIZE={local_size} is more than WORLD_SIZE={size}"
        fix = _fix(who, "set WORLD_SIZE to the processes of all hosts together")
        yield ("LOCAL_WORLD_SIZE", "WORLD_SIZE"), title, 0.8, fix, Symptom.SETUP_FAILURE


def _master(who: Seen) -> Iterator[Conflict]:
    address = (who.value("MASTER_ADDR") or "").lower()
    if not address or not (address in _LOOPBACK or address.startswith("127.")):
        return
    for name in ("GROUP_WORLD_SIZE", "SLURM_NNODES", "SLURM_JOB_NUM_NODES"):
        hosts = integer(who.value(name))
        if hosts is not None and hosts > 1:
            title = f"MASTER_ADDR={address} is this host alone, though {name}={hosts}"
            fix = _fix(who, "set MASTER_ADDR to a name or address of the first host that all others reach")
            yield ("MASTER_ADDR", name), title, 0.8, fix, Symptom.SETUP_HANG_TIMEOUT
            return
    size, local_size = integer(who.value("WORLD_SIZE")), integer(who.value("LOCAL_WORLD_SIZE"))
    if size is not None and local_size is not None and 0 < local_size < size:
        title = (
            f"MASTER_ADDR={address} is this host alone, though WORLD_SIZE={size} is more than its {local_size} ranks"
        )
        fix = _fix(who, "set MASTER_ADDR to a name or address of the first host that all others reach")
        yield ("MASTER_ADDR", "WORLD_SIZE", "LOCAL_WORLD_SIZE"), title, 0.7, fix, Symptom.SETUP_HANG_TIMEOUT


def _agent_store(who: Seen) -> Iterator[Conflict]:
    # Seen with torch 2.13: with the variable and no agent, rank 0 opens no store either, and all time out.
    if who.value("TORCHELASTIC_USE_AGENT_STORE") == "True" and not who.environment.get("TORCHELASTIC_RUN_ID"):
        names = ("TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RUN_ID")
        title = "TORCHELASTIC_USE_AGENT_STORE=True, but there is no torchrun whose store could be used"
        fix = _fix(who, "unset TORCHELASTIC_USE_AGENT_STORE, or start with torchrun", unset=names[:1])
        yield names, title, 0.8, fix, Symptom.SETUP_HANG_TIMEOUT


@cache
def _renames() -> tuple[tuple[str, str], ...]:
    return tuple((old, row.instead) for old, row in known().items() if row.instead)


def _renamed(who: Seen) -> Iterator[Conflict]:
    for old, new in _renames():
        if old not in who.environment or new not in who.environment:
            continue
        before, now = who.environment[old], who.environment[new]
        if before != now:
            title = f"{old}={before} and {new}={now} are the same setting; the latter counts"
            fix = _fix(who, f"unset {old}", unset=(old,))
            yield (old, new), title, 0.4, fix, Symptom.SETUP_FAILURE


def _nccl(who: Seen) -> Iterator[Conflict]:
    def says(name: str) -> str:
        return (who.value(name) or "").strip().lower()

    if says("NCCL_IB_DISABLE") in _YES:
        if says("NCCL_NET") == "ib":
            title = "NCCL_NET=IB asks for InfiniBand, NCCL_IB_DISABLE=1 turns it off"
            fix = _fix(who, "unset NCCL_IB_DISABLE (or NCCL_NET)", unset=("NCCL_IB_DISABLE",))
            yield ("NCCL_NET", "NCCL_IB_DISABLE"), title, 0.8, fix, Symptom.SETUP_FAILURE
        elif says("NCCL_IB_HCA"):
            title = "NCCL_IB_HCA chooses InfiniBand cards, NCCL_IB_DISABLE=1 turns them off"
            fix = _fix(who, "unset NCCL_IB_DISABLE if InfiniBand is meant", unset=("NCCL_IB_DISABLE",))
            yield ("NCCL_IB_HCA", "NCCL_IB_DISABLE"), title, 0.45, fix, Symptom.SETUP_UNEXPECTED_PROTOCOL
    threads, sockets = integer(who.value("NCCL_SOCKET_NTHREADS")), integer(who.value("NCCL_NSOCKS_PERTHREAD"))
    if threads is not None and sockets is not None and threads * sockets > 64:
        title = f"NCCL_SOCKET_NTHREADS={threads} times NCCL_NSOCKS_PERTHREAD={sockets} is more than NCCL's 64"
        fix = _fix(who, "choose them so that their product is at most 64")
        yield ("NCCL_SOCKET_NTHREADS", "NCCL_NSOCKS_PERTHREAD"), title, 0.4, fix, Symptom.PERF_LOW_EFFICIENCY
    if says("TORCH_NCCL_DUMP_ON_TIMEOUT") in _YES and "0" in (
        says("TORCH_FR_BUFFER_SIZE"),
        says("TORCH_NCCL_TRACE_BUFFER_SIZE"),
    ):
        title = "TORCH_NCCL_DUMP_ON_TIMEOUT asks for a dump of a recorder whose buffer is 0"
        fix = _fix(who, "set TORCH_FR_BUFFER_SIZE=2000", set_={"TORCH_FR_BUFFER_SIZE": "2000"})
        names = ("TORCH_NCCL_DUMP_ON_TIMEOUT", "TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE")
        yield names, title, 0.3, fix, Symptom.TRAIN_OTHER_FAILURE


RULE = Rule(
    cause="env-conflict",
    code="CC104",
    title="Settings of one process contradict each other",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_FAILURE,
        Symptom.SETUP_HANG_TIMEOUT,
        Symptom.SETUP_UNEXPECTED_PROTOCOL,
        Symptom.PERF_UNEXPECTED_PARALLELIZATION,
    ),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "decide which setting is meant and unset the other"),),
    match=match,
    explains=("port-refused", "store-timeout-too-short", "rank-missing"),
    needs=("environment",),
)
