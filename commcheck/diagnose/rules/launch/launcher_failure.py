"""The launcher or scheduler could not start the ranks.

**What you see**
mpirun: `There are not enough slots available`, `was unable to find the specified executable`, `ORTE was unable
to reliably start one or more daemons`; srun: `Unable to create step`, `Requested node configuration is not
available`; a launcher killed by a signal.

**Why it happens**
The launcher was asked for more than it was given (slots, GPUs, nodes), was nested into another launcher, or
does not find its program on a host.

**How to fix**
Ask the scheduler for as many tasks as the launcher is to start, use one launcher and not two, and give full
paths.

**How to confirm**
Start `hostname` in place of the program with the same launcher options: it must print one line per rank.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="launcher-failure",
    code="CC152",
    title="The launcher or scheduler could not start the ranks",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.TRAIN_OTHER_FAILURE, Symptom.TRAIN_PATH_ERROR),
    fixes=(
        (
            FixPattern.COMMAND_LINE,
            "Make the number of processes fit what was allocated; name hosts and slots; give the full path of the program.",
        ),
        (
            FixPattern.COMMUNICATION_CONFIGURATION,
            "Use one launcher: not horovodrun or torchrun inside an srun with one task per rank.",
        ),
    ),
    signatures=(
        Signature(
            pattern="There are not enough slots available in the system",
            literal="there are not enough slots available",
            source="openmpi and prrte: help-orte-rmaps-base.txt",
            positive="There are not enough slots available in the system to satisfy the 6",
            negative="slots available",
            weight=0.92,
        ),
        Signature(
            pattern=r"(?:mpirun|mpiexec|prterun|orterun|srun|horovodrun).{0,40}(?:was unable to (?:find|launch)|could not (?:find|launch))|was unable to find the specified executable|execve\(\): \S+: No such file",
            literal="was unable to find | was unable to launch | could not find | could not launch | execve(): ",
            source="openmpi, prrte, slurm",
            positive="mpirun was unable to find the specified executable file, and therefore did not launch the job.",
            negative="mpirun found the file",
            weight=0.9,
        ),
        Signature(
            pattern="(?:ORTE|PRTE|PRRTE) (?:was unable to reliably start|has lost communication|does not know how to route)|ORTE daemon has unexpectedly failed",
            literal="orte | prte | prrte",
            source="openmpi and prrte: help texts",
            positive="ORTE was unable to reliably start one or more daemons.",
            negative="ORTE started",
            weight=0.85,
        ),
        Signature(
            pattern=r"srun: error: (?:Unable to (?:create step|allocate resources)|Task launch for|Invalid|Application launch failed|Job \S+ has invalid)|sbatch: error: |Requested node configuration is not available|Unable to confirm allocation",
            literal="error: | requested node configuration | confirm allocation",
            source="slurm",
            positive="srun: error: Unable to create step for job 9988: More processors requested than permitted",
            negative="srun: error: trainer-b: task 3: Exited with exit code 2",
            weight=0.85,
        ),
        Signature(
            pattern=r"PMI2?_Init failed|OPAL ERROR: |The application appears to have been direct launched using \"srun\"|MPI_Init_thread.{0,40}(?:failed|error)|\*\*\* An error occurred in MPI_Init",
            literal="_init failed | opal error | direct launched using | mpi_init",
            source="openmpi, MPICH under slurm",
            positive="*** An error occurred in MPI_Init_thread",
            negative="MPI_Init finished",
            weight=0.8,
        ),
        Signature(
            pattern="no such container|ImagePullBackOff|CreateContainerConfigError|FailedScheduling",
            literal="no such container | imagepullbackoff | createcontainer | failedscheduling",
            source="kubernetes: pod events",
            positive="Warning  FailedScheduling  pod/trainer-3  0/8 nodes are available: insufficient nvidia.com/gpu.",
            negative="pod scheduled",
            weight=0.8,
        ),
    ),
    explains=PEERS_SEE,
)
