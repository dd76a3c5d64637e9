"""What one rank leaves in a report directory, for `commcheck diagnose DIR` to merge."""

from commcheck.model.base import Value
from commcheck.model.case import Ended, HostFacts, RankRecord, World

RANK_SCHEMA = "commcheck/rank/1"


class RankReport(Value, frozen=True):
    """One rank's own view. `done`: the rank has ended its watch; else it was still under way when this was written.

    `begun`, `written`: wall-clock seconds when the rank was started and when this was written, only to tell the files of
    one run from those of an earlier one in the same directory. `roll`: stands for `rank.members` in a large world, where rank 0
    lists them for all; equal for equal members."""

    schema: str
    world: World
    host: HostFacts
    rank: RankRecord
    done: bool
    ended: Ended
    seconds: float
    begun: float
    written: float = 0.0
    not_read: tuple[str, ...] = ()
    roll: str = ""
