"""Which rank wrote a line, and when, by the marks that launchers and libraries put there."""

import re
from functools import cache
from typing import NamedTuple

MAX_RANK = 10_000_000
MAX_PROCESSES = 200_000

# Prefixes that are taken off the text, each with the characters it can begin with. Order matters: a line may carry
# several, the outermost first.
_DIGITS = "0123456789"
_HOST = r"[A-Za-z0-9][\w.-]{0,254}"
_PREFIXES = (
    # kubectl logs --timestamps, docker logs -t
    (_DIGITS, r"\d{4}-\d\d-\d\dT(?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?:Z|[+-]\d\d:\d\d) "),
    ("[", r"\[rank(?P<rank>\d{1,7})\]\s?:\s?"),  # torch >= 2.1, in front of every traceback line and C++ log line
    ("[", r"\[(?:default|[a-zA-Z_][\w-]{0,30}?)(?P<local>\d{1,7})\]:\s?"),  # torchrun --tee: [role + local rank]
    # mpirun --tag-output; prterun --output tag, tag-fullname and tag-detailed (openpmix/prrte, pull request 1407)
    (
        "[",
        r"\[(?:[\w.@-]{1,120},)(?P<rank>\d{1,7})\](?:\[(?P<host>[\w.-]{1,255}):(?P<pid>\d{1,9}|unknown)\])?\s?<std(?:out|err|diag)>:\s?",
    ),
    ("[", r"\[(?P<rank>\d{1,7})\]<(?:stdout|stderr)>:\s?"),  # horovodrun; prterun --output rank
    ("[", r"\[(?P<rank>\d{1,7})#(?P<pid>\d{1,9})@(?P<host>[\w.-]{1,255})\] "),  # Intel MPI with I_MPI_DEBUG=+N
    ("[", r"\[(?:RANK|Rank|rank):? (?P<rank>\d{1,7})\]:?\s?"),  # Lightning, accelerate's log and others
    ("[", r"\[pod/(?P<host>[\w.-]{1,200})/[\w.-]{1,200}\]\s?"),  # kubectl logs --prefix
    (_DIGITS, r"(?P<rank>\d{1,7}): (?=\S)"),  # srun --label
    ("r", r"rank(?P<rank>\d{1,7}): (?=\S)"),
    # Ray: the task or actor, its process, and its host where that is another one
    ("(", r"\((?:[\w.]{1,80}(?:\([\w.]{1,80}\))?\s)?pid=(?:gcs_server|raylet|(?P<pid>\d{1,9}))(?:, ip=(?P<host>[\w.:]{1,60}))?\)\s?"),
    ("abcdefghijklmnopqrstuvwxyz", r"(?P<host>[a-z][\w.-]{0,80}\d) {1,20}\| (?=\S)"),  # docker compose
)  # fmt: skip
# pdsh (DeepSpeed's launcher) and clush: the host. It stays in the text, for a word before a colon can be anything.
_PDSH = re.compile(r"(?P<host>[a-zA-Z][\w-]{0,80}\d): (?=[\[(\dA-Z])")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A prefix's pattern, compiled when a line first begins like it."""
    return re.compile(pattern)


# Marks inside the line; these stay in the text.
_INSIDE = re.compile(
    r"\[(?:PG(?: ID)? [^\]]{0,120} )?Rank (?P<a>\d{1,7})\]"  # ProcessGroupNCCL
    r"|\brank\s{1,8}: (?P<b>\d{1,7}) \(local_rank: \d{1,5}\)"  # torchrun's failure summary
    r"|\bGLOBAL_RANK: (?P<c>\d{1,7})\b"
    r"|^\[Gloo\] Rank (?P<d>\d{1,7}) is "
    r"|\bRANK (?P<e>\d{1,7})\b[\]:]"
)

_CLOCK = re.compile(r"(?<![\d:])(?P<h>[01]\d|2[0-3]):(?P<m>[0-5]\d):(?P<s>[0-5]\d)(?P<frac>[.,]\d{1,9})?(?![\d:])")

# rank-3.log, rank_3, DeepSpeed's ..._rank3.log, and rank.03/stderr of mpirun --output-filename and horovodrun
_SOURCE_RANK = re.compile(r"(?:^|[/_.-])(?:rank|RANK|task|proc)[_.-]?(?P<rank>\d{1,7})(?=[/_.-]|$)")
# A file that NCCL_DEBUG_FILE names after host and process, as in nccl.%h.%p or nccl-%h-%p.log
_SOURCE_NCCL = re.compile(
    r"(?i)(?:^|[/_.-])nccl[\w]{0,20}[._-](?P<host>[a-z][\w.-]{0,254}?)[._-](?P<pid>\d{2,9})(?:\.\w{1,5})?$"
)
_SLURM_TASK = re.compile(r"slurm-\d+_(?P<rank>\d{1,7})\.(?:out|err)$")


# NCCL says once per communicator which of its ranks a process is; other lines of that process name it by host and pid.
IDENTITY_WORDS = (" nranks ",)
_NCCL = re.compile(r"(?P<host>[A-Za-z0-9][\w.-]{0,254}):(?P<pid>\d{1,9}):\d{1,9} \[\d{1,5}\] ")
_IDENTITY = re.compile(r"\brank (?P<rank>\d{1,7}) nranks (?P<size>\d{1,7})\b")


class Marked(NamedTuple):
    """A line's text without its prefixes, and what they said. `seconds` since midnight."""

    text: str
    rank: int | None
    seconds: float | None
    host: str = ""
    pid: int | None = None


class Identities:
    """Which rank a process is, as NCCL's lines tell it, by (host, pid). The largest communicator is the world."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[int, int]] = {}

    def learn(self, text: str) -> None:
        """Read one line that contains one of `IDENTITY_WORDS`."""
        process, said = _NCCL.search(text, 0, 400), _IDENTITY.search(text, 0, 1000)
        if process is None or said is None or len(self._found) > MAX_PROCESSES:
            return
        key, rank, size = (process["host"], int(process["pid"])), int(said["rank"]), int(said["size"])
        if rank < size > self._found.get(key, (0, 0))[1]:
            self._found[key] = (rank, size)

    def rank(self, host: str, pid: int | None) -> int | None:
        """The rank of a process, where it is known."""
        found = None if pid is None else self._found.get((host, pid))
        return found[0] if found else None


def read(text: str) -> Marked:
    """Take the marks off one line. Lines without marks come back as they are."""
    said: dict[str, str] = {}
    for _ in range(5):  # no known launcher nests deeper
        stripped = text.lstrip()
        first = stripped[:1]
        if not first:
            break
        match = next((m for begin, p in _PREFIXES if first in begin and (m := _compiled(p).match(stripped))), None)
        if match is None:
            break
        for name, value in match.groupdict().items():
            if value is not None:
                said.setdefault(name, value)  # the outermost mark is the launcher's
        text = stripped[match.end() :]
    rank = said.get("rank")
    if rank is None and (inside := _INSIDE.search(text, 0, 600)):
        rank = next(g for g in inside.groups() if g is not None)
    process = _NCCL.search(text, 0, 300) or _PDSH.match(text)
    if process is not None:
        said.update(process.groupdict())
    # On one node a local rank is the rank; with several nodes it is at least the right one among a file's ranks.
    found = rank if rank is not None else said.get("local")
    number = None if found is None else int(found)
    pid = said.get("pid", "")
    return Marked(
        text=text,
        rank=number if number is None or number <= MAX_RANK else None,
        seconds=_seconds(said.get("clock") or text),
        host=said.get("host", ""),
        pid=int(pid) if pid.isdecimal() else None,
    )


def _seconds(text: str) -> float | None:
    """The time of day that a line begins with."""
    clock = _CLOCK.search(text, 0, 120)
    if clock is None:
        return None
    seconds = int(clock["h"]) * 3600.0 + int(clock["m"]) * 60.0 + int(clock["s"])
    return seconds + float("0." + clock["frac"][1:]) if clock["frac"] else seconds


class Named(NamedTuple):
    """What a file's name tells of the process that wrote it."""

    rank: int | None = None
    host: str = ""
    pid: int | None = None


def of_source(name: str) -> Named:
    """The process that a file's name tells: `rank-3.log`, `slurm-77_3.out`, torchrun's `.../3/stderr.log`, `nccl.node1.4711`."""
    match = _SLURM_TASK.search(name) or _SOURCE_RANK.search(name)
    if match:
        return Named(rank=int(match["rank"]))
    parts = name.replace("\\", "/").split("/")
    if len(parts) >= 2 and parts[-1] in _TORCHRUN and parts[-2].isdecimal() and len(parts[-2]) <= 7:
        return Named(rank=int(parts[-2]))
    process = _SOURCE_NCCL.search(name)
    return Named(host=process["host"], pid=int(process["pid"])) if process else Named()


_TORCHRUN = frozenset({"stderr.log", "stdout.log", "error.json"})
