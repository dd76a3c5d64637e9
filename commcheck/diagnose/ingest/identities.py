"""Which rank a process is, where its lines give another number: a process id, a local rank, or a number without a name.

What one line tells holds for all lines of the same process. A number that is no rank for certain is taken for one only
where nothing speaks against it.

What may not be here: how the marks look (`ingest.marks`), except where a line tells of other processes.
"""

from typing import NamedTuple

from commcheck.diagnose.ingest.marks import ELASTIC, NCCL, Marked, Named
from commcheck.diagnose.lazy import Lazy

MAX_PROCESSES = 200_000
_FIRST_RANKS = 8
_MOST_RANKS = 30_000  # of a job; beyond lie processes' ids
# NCCL says once per communicator which of its ranks a process is; Ray Train lists its workers when it has started them
# (python/ray/train/_internal/backend_executor.py, train/v2/_internal/execution/worker_group/worker_group.py).
# torchrun's summary has a paragraph for each process that failed: its rank, and in the next line its exit code and pid.
WORDS = (" nranks ", "world_rank=", "(local_rank: ", "exitcode  : ")
_SUMMARY = Lazy(r"^\s{0,8}rank\s{1,8}: (?P<rank>\d{1,7}) \(local_rank: ")
_NCCL = Lazy(r"\brank (?P<rank>\d{1,7}) nranks (?P<size>\d{1,7})\b")
_RAY = Lazy(r"\bip=(?P<host>[\w.:]{1,60}), pid=(?P<pid>\d{1,9})\) world_rank=(?P<rank>\d{1,7}),")
_STREAM = Lazy(r"(?:std)?(?:out|err)(?:\.log|\.txt)?(?:\.gz|\.zst|\.xz|\.bz2)?$")
_ATTEMPT = Lazy(r"(?:^|/)attempt_\d{1,6}/\d{1,7}/[^/]+$")


class Number(NamedTuple):
    """A number of a process that may be its rank. `place`: the processes among which it counts. `bare`: it has no name,
    as in `[3] text`."""

    place: tuple[str, ...]
    value: int
    bare: bool = False


def number(source: str, named: Named, marked: Marked) -> Number | None:
    """The number that a line or its file's name gives its process; None where neither does."""
    if marked.local is not None:
        return Number(("mark", _STREAM.re.sub("", source), marked.host or named.host), marked.local)
    if named.local is not None:
        return Number(("file", _ATTEMPT.re.sub("", source)), named.local)
    if marked.bare is not None:
        return Number(("bare", source), marked.bare, bare=True)
    return None if named.task is None else Number(("job", named.job), named.task, bare=True)


class Identities:
    """What the lines of all logs have told so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[int, int]] = {}
        self._ambiguous: set[int] = set()
        self._seen: dict[tuple[str, ...], dict[int, int | None]] = {}
        self._summary: int | None = None  # the rank of the paragraph in hand

    def learn(self, text: str) -> None:
        """Read one line that contains one of `WORDS`."""
        if len(self._found) > MAX_PROCESSES:
            return
        process, said = NCCL.re.search(text, 0, 400), _NCCL.re.search(text, 0, 1000)
        if process is not None and said is not None:
            # The largest communicator is the world.
            key, rank, size = (process["host"], int(process["pid"])), int(said["rank"]), int(said["size"])
            if rank < size > self._found.get(key, (0, 0))[1]:
                self._found[key] = (rank, size)
        elif (rank_line := _SUMMARY.re.match(text, 0, 100)) is not None:
            self._summary = int(rank_line["rank"])
        elif self._summary is not None and (ended := ELASTIC.re.search(text, 0, 300)) is not None:
            self._found["", int(ended["pid"])] = (self._summary, 1)
            self._summary = None
        elif (worker := _RAY.re.search(text, 0, 1000)) is not None:
            host, pid, rank = worker["host"], int(worker["pid"]), int(worker["rank"])
            self._found[host, pid] = (rank, 1)
            # Ray names the host only of processes that are not on the driver's.
            if self._found.setdefault(("", pid), (rank, 1))[0] != rank:
                self._ambiguous.add(pid)

    def rank(self, host: str, pid: int | None) -> int | None:
        """The rank of a process, where it is known."""
        if pid is None or (not host and pid in self._ambiguous):
            return None
        found = self._found.get((host, pid))
        return found[0] if found else None

    def see(self, number: Number, rank: int | None) -> None:
        """A line of the process with this number, and the rank that the same line tells."""
        seen = self._seen.setdefault(number.place, {})
        if rank is not None:
            seen[number.value] = rank
        elif len(seen) < MAX_PROCESSES:
            seen.setdefault(number.value, None)

    def meant(self, number: Number) -> int | None:
        """The rank that a number stands for.

        A local rank is the rank where there is one host: where no line tells another, and no second place has any."""
        seen = self._seen.get(number.place, {})
        told = seen.get(number.value)
        if told is not None:
            return told
        if number.bare:
            # Hydra's label (`mpiexec -l`) is on all ranks' lines; a process's id, a thread or a footnote looks the same.
            believed = len(seen) > 1 and min(seen) < _FIRST_RANKS and max(seen) < _MOST_RANKS
        else:
            alone = sum(place[0] == number.place[0] for place in self._seen) == 1
            believed = alone and all(rank in (None, local) for local, rank in seen.items())
        return number.value if believed else None
