"""What a rank of ours is doing now, and the journal lines by which it says so.

A *phase* is a step of a rank's run; a *stage* (`taxonomy.Stage`) is the study's word for where in a job's
life a failure belongs. `STAGE_OF` is the only place where the two meet.
"""

from enum import StrEnum

from commcheck.model.taxonomy import Stage


class Phase(StrEnum):
    """The phases of a rank, in order."""

    RESOLVE = "resolve"
    STORE = "store"
    PROBE = "probe"
    GROUP = "group"
    FIRST_COLLECTIVE = "first-collective"
    VERIFY = "verify"
    STEADY = "steady"
    TEARDOWN = "teardown"


PHASES: tuple[Phase, ...] = tuple(Phase)

STAGE_OF: dict[Phase, Stage] = {
    Phase.RESOLVE: Stage.SETUP,
    Phase.STORE: Stage.SETUP,
    Phase.PROBE: Stage.SETUP,
    Phase.GROUP: Stage.SETUP,
    Phase.FIRST_COLLECTIVE: Stage.PREPARATION,
    Phase.VERIFY: Stage.TRAINING,
    Phase.STEADY: Stage.TRAINING,
    Phase.TEARDOWN: Stage.TRAINING,
}
"""The study's stage of each phase: the first collective stands for a job's parameter broadcast
("Data and model preparation"), what follows for its training steps."""


class PhaseStatus(StrEnum):
    """How a phase of one rank ended, or that it has not."""

    OK = "ok"
    FAILED = "failed"
    RUNNING = "running"
    NOT_REACHED = "not-reached"
