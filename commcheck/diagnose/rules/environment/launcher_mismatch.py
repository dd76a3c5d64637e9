"""What a launcher says of this process and what torch reads do not fit together.

**What you see**

Every process believes to be rank 0 of 1 and trains alone (no error at all); or `environment variable RANK expected, but
not set` under srun or mpirun; or a world that waits for ranks that nobody started.

**Why it happens**

Each launcher has variables of its own: Slurm sets SLURM_PROCID and SLURM_NTASKS, Open MPI OMPI_COMM_WORLD_RANK and
_SIZE, PMI PMI_RANK and PMI_SIZE. torch.distributed reads RANK and WORLD_SIZE alone, which torchrun sets. A script
written for one launcher and started by another finds nothing, or finds values exported by hand that are the same on
every task. torchrun started inside srun must be told the number of hosts, or every host forms a world of its own.

**How to fix**

Under srun or mpirun: set RANK, WORLD_SIZE and LOCAL_RANK from the launcher's variables before
init_process_group, for example `RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID`. With
torchrun inside srun: one task per host, `--nnodes=$SLURM_NNODES --node-rank=$SLURM_NODEID`.

**How to confirm**

`srun commcheck lint` (or `mpirun commcheck lint`) shows what one task sees.
"""

from typing import NamedTuple

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
from commcheck.model.case import Case, Origin
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


class Launcher(NamedTuple):
    """A launcher that numbers its processes, and the variables by which it does."""

    name: str
    rank: str
    size: str
    local_rank: str


LAUNCHERS: tuple[Launcher, ...] = (
    Launcher("mpirun (Open MPI)", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    Launcher("mpirun (MVAPICH)", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
    Launcher("mpiexec (PMI)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    Launcher("srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)
"""The innermost first: mpirun inside a Slurm job counts, not the job."""

_TORCHRUN = (
    "srun --ntasks-per-node=1 torchrun --nnodes=$SLURM_NNODES --node-rank=$SLURM_NODEID "
    "--master-addr=FIRST_HOST --master-port=29500 ..."
)

DERIVED_BY_PROGRAM = 0.45
"""Confidence for lint: many programs set RANK from the launcher's variables themselves."""


def match(case: Case) -> Match | None:
    """The launcher's numbers are there and torch's are not, or the two disagree."""
    findings = []
    for who in seen(case):
        finding = _judge(case, who)
        if finding is not None:
            findings.append(finding)
    return match_of(findings)


def _judge(case: Case, who: Seen) -> Finding | None:
    if who.environment.get("TORCHELASTIC_RUN_ID"):
        return _torchrun(who)  # torchrun is the innermost launcher; srun or mpirun only started its agents
    for launcher in LAUNCHERS:
        rank, size = integer(who.value(launcher.rank)), integer(who.value(launcher.size))
        if rank is not None and size is not None and size > 1:
            return _numbered(case, who, launcher, rank, size)
    return None


def _numbered(case: Case, who: Seen, launcher: Launcher, rank: int, size: int) -> Finding | None:
    own_rank, own_size = who.environment.get("RANK"), who.environment.get("WORLD_SIZE")
    names = ("RANK", "WORLD_SIZE", launcher.rank, launcher.size)
    evidence = (*(fact(name, who.environment.get(name), who) for name in names), *errors(who))
    fix = _fix(who, launcher, rank, size)
    if not own_rank and not own_size:
        if who.met_store or who.finished:
            return None
        title = f"{launcher.name} numbers this process {rank} of {size}, but RANK and WORLD_SIZE are not set"
        confidence = DERIVED_BY_PROGRAM if case.origin is Origin.STATIC else 0.95
        return Finding(who, title, confidence, evidence, (fix,), Symptom.SETUP_FAILURE)
    if integer(own_size) == 1:
        title = f"WORLD_SIZE=1, but {launcher.name} started {size} processes: each would train alone"
        return Finding(who, title, 0.8, evidence, (fix,), Symptom.PERF_UNEXPECTED_PARALLELIZATION)
    if integer(own_size) == size and integer(own_rank) not in (None, rank):
        title = f"RANK={own_rank}, but {launcher.name} numbers this process {rank}"
        confidence = WORKS_ANYWAY if who.finished else 0.6
        return Finding(who, title, confidence, evidence, (fix,), Symptom.SETUP_FAILURE)
    if integer(own_size) not in (None, size):
        title = f"WORLD_SIZE={own_size}, but {launcher.name} started {size} processes"
        confidence = WORKS_ANYWAY if who.finished else 0.55
        return Finding(who, title, confidence, evidence, (fix,), Symptom.SETUP_HANG_TIMEOUT)
    return None


def _torchrun(who: Seen) -> Finding | None:
    """Whether torchrun runs on every host of a Slurm job without knowing of the others."""
    agents = integer(who.value("GROUP_WORLD_SIZE"))
    hosts = integer(who.value("SLURM_NNODES")) or integer(who.value("SLURM_JOB_NUM_NODES"))
    if agents != 1 or hosts is None or hosts < 2 or integer(who.value("SLURM_NTASKS")) in (None, 1):
        return None
    title = f"torchrun knows of 1 host, but Slurm started it on {hosts}: each host would train alone"
    evidence = tuple(fact(n, who.environment.get(n), who) for n in ("GROUP_WORLD_SIZE", "SLURM_NNODES", "WORLD_SIZE"))
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text="give torchrun the hosts",
        commands=(_TORCHRUN,),
        not_tried="it changes how the job is launched",
    )
    return Finding(who, title, 0.7, evidence, (fix,), Symptom.PERF_UNEXPECTED_PARALLELIZATION)


def _fix(who: Seen, launcher: Launcher, rank: int, size: int) -> Fix:
    local = who.value(launcher.local_rank)
    values = {"RANK": str(rank), "WORLD_SIZE": str(size)} | ({"LOCAL_RANK": local} if local else {})
    text = f"set RANK from {launcher.rank}, WORLD_SIZE from {launcher.size}, LOCAL_RANK from {launcher.local_rank}"
    if who.record is not None:
        return Fix(pattern=FixPattern.COMMUNICATION_CONFIGURATION, text=text, rank_set={str(who.record.slot): values})
    names = {"RANK": launcher.rank, "WORLD_SIZE": launcher.size, "LOCAL_RANK": launcher.local_rank}
    return Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=text,
        commands=(f"export {' '.join(f'{name}=${source}' for name, source in names.items() if name in values)}",),
        not_tried="each process of the job has to do it",
    )


RULE = Rule(
    cause="launcher-mismatch",
    code="CC106",
    title="The launcher's numbering and torch's do not fit together",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.PERF_UNEXPECTED_PARALLELIZATION, Symptom.SETUP_HANG_TIMEOUT),
    fixes=(
        (
            FixPattern.COMMUNICATION_CONFIGURATION,
            "set RANK, WORLD_SIZE and LOCAL_RANK from the launcher's own variables, or start with torchrun",
        ),
    ),
    match=match,
    explains=("env-missing", "rank-missing", "rank-duplicate", "world-size-mismatch", "env-conflict"),
    needs=("environment",),
)
