"""What NCCL's RAS subsystem (2.24 and later) says of a job: one answer to `ncclras`, or to a question of our own."""

from commcheck.model.base import Value


class Process(Value, frozen=True):
    """A process of the job, as RAS knows it. `host` is an address; `pid` is 0 where it is not told."""

    pid: int
    host: str


class Trace(Value, frozen=True):
    """What a host's own /proc says of a process. `state` "": there is none of that number any more; Z: it has ended, as
    `ending` says where the kernel tells."""

    process: Process
    state: str
    ending: str = ""


class Member(Value, frozen=True):
    """A rank of a communicator, numbered as that one numbers its ranks, and its process where that is told."""

    rank: int
    process: Process | None = None


class Said(Value, frozen=True):
    """What a piece of the answer says, in a line, and where it stands (0: it was put together here)."""

    text: str
    line: int = 0


class Group(Value, frozen=True):
    """Ranks of a communicator that are alike. `members` are those that the answer names: it does so for outliers alone
    (a quarter of all at most, and ten) unless it is asked to be verbose."""

    value: str
    count: int
    members: tuple[Member, ...] = ()


class Split(Value, frozen=True):
    """Something in which the ranks of a communicator differ. `what`: a collective of which they have issued different
    numbers ("" before 2.26, which counts all together), or "status"."""

    what: str
    groups: tuple[Group, ...]
    said: Said


class Failure(Value, frozen=True):
    """An error that NCCL has noted on ranks of a communicator. `members`: those that are named."""

    error: str
    count: int
    said: Said
    members: tuple[Member, ...] = ()


class Communicator(Value, frozen=True):
    """One communicator. `name`: how the answer calls it (#0-0), or its hash. `size` 0 and `status` "": not told.

    `silent` are ranks whose process gave no answer, `silent_count` how many these are."""

    name: str
    identity: str
    size: int = 0
    status: str = ""
    silent: tuple[Member, ...] = ()
    silent_count: int = 0
    failures: tuple[Failure, ...] = ()
    splits: tuple[Split, ...] = ()
    said: tuple[Said, ...] = ()
    members: tuple[Member, ...] = ()  # all that are named
    issued: int | None = None  # collectives that its ranks have issued together; None: not told


class Answer(Value, frozen=True):
    """One answer. `dead`: processes that RAS has given up after 60 seconds; `silent`: those that have not answered it now.
    `timeouts`: how often it waited for one in vain. `seconds`: when it was given, on whatever clock; None: not told. `whole`: the
    size of a communicator that spans the job, which numbers its ranks as the job does; 0 where none is known to."""

    source: str
    version: str = ""
    seconds: float | None = None
    dead: tuple[Process, ...] = ()
    dead_count: int = 0
    silent: tuple[Process, ...] = ()
    silent_count: int = 0
    timeouts: int = 0
    whole: int = 0
    communicators: tuple[Communicator, ...] = ()
    said: tuple[Said, ...] = ()
    members: tuple[Process, ...] = ()  # all processes that it names
    traces: tuple[Trace, ...] = ()  # of those that are lost, where their host could be looked at

    @property
    def failed(self) -> bool:
        """It tells of an end or of an error: more than that ranks are not at the same place."""
        return self.dead_count > 0 or any(one.failures for one in self.communicators)
