"""Which rank wrote a line, and when, by the marks that launchers and libraries put there. What a number means that is
no rank by itself, `ingest.identities` says."""

import re
from functools import cache
from typing import NamedTuple

from commcheck.diagnose.lazy import Lazy

MAX_RANK = 10_000_000

# Prefixes that are taken off the text, each with the characters it can begin with. Order matters: a line may carry
# several, the outermost first.
_DIGITS = "0123456789"
_SMALL = "abcdefghijklmnopqrstuvwxyz"
_HOST = r"[A-Za-z0-9][\w.-]{0,254}"
_PREFIXES = (
    # Open MPI 4 with --timestamp-output, horovodrun with --prefix-output-with-timestamp: time.asctime
    ("FMSTW", r"[FMSTW][a-z]{2} [A-Z][a-z]{2} [ \d]\d (?P<clock>\d\d:\d\d:\d\d) \d{4}(?=\[)"),
    # kubectl logs --timestamps, docker logs -t
    (_DIGITS, r"\d{4}-\d\d-\d\dT(?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?:Z|[+-]\d\d:\d\d) "),
    ("[", r"\[rank(?P<rank>\d{1,7})\]\s?:\s?"),  # torch >= 2.1, in front of every traceback line and C++ log line
    ("[", r"\[[a-zA-Z_](?:[\w-]{0,29}[a-zA-Z_])?(?P<local>\d{1,7})\]:\s?"),  # torchrun --tee: [role + local rank]
    # mpirun --tag-output; prterun --output tag, tag-fullname and tag-detailed (openpmix/prrte, pull request 1407)
    (
        "[",
        r"\[(?:[\w.@-]{1,120},)(?P<rank>\d{1,7})\](?:\[(?P<host>[\w.-]{1,255}):(?P<pid>\d{1,9}|unknown)\])?\s?<std(?:out|err|diag)>:\s?",
    ),
    ("[", r"\[\d{1,7},mpirank:(?P<rank>\d{1,7}),(?P<host>[\w.-]{1,255})\]<std(?:out|err)>:\s?"),  # SageMaker's mpirun
    ("[", r"\[(?P<rank>\d{1,7})\]<(?:stdout|stderr)>:\s?"),  # horovodrun; prterun --output rank
    ("[", r"\[(?P<rank>\d{1,7})#(?P<pid>\d{1,9})@(?P<host>[\w.-]{1,255})\] "),  # Intel MPI with I_MPI_DEBUG=+N
    ("[", r"\[(?P<rank>\d{1,7})@(?P<host>[\w.-]{1,255})\] ?"),  # Hydra with -prepend-pattern "[%r@%h] "
    ("[", r"\[(?:RANK|Rank|rank):? (?P<rank>\d{1,7})\]:?\s?"),  # Lightning, accelerate's log and others
    ("[", r"\[pod/(?P<host>[\w.-]{1,200})/[\w.-]{1,200}\]\s?"),  # kubectl logs --prefix
    (_DIGITS, r"(?P<rank>\d{1,7}): (?=\S|  )"),  # srun --label; a frame of a traceback is indented
    ("r", r"rank(?P<rank>\d{1,7}): (?=\S)"),
    # Ray: the task or actor, its process, and its host where that is another one
    ("(", r"\((?:[^\s()]{1,80}(?:\([^()]{1,80}\))?\s)?pid=(?:gcs_server|raylet|(?P<pid>\d{1,9}))(?:, ip=(?P<host>[\w.:]{1,60}))?\)\s?"),
    (_SMALL, r"(?P<host>[a-z][\w.-]{0,80}\d) {1,20}\| (?=\S)"),  # docker compose
    # stern: pod and container. Words alone are no mark: the container has a usual name, or another mark follows.
    (_SMALL, r"(?P<host>[a-z][a-z0-9.-]{0,200}-(?:\d{1,5}|[a-z0-9]{5})) (?:(?:pytorch|tensorflow|mpi|jax|trainer) (?=\S| {2})|[a-z][a-z0-9-]{0,60} (?=\[(?:rank|default)\d))"),
    # pdsh (DeepSpeed's launcher) and clush, where another mark follows
    (_SMALL + _SMALL.upper() + _DIGITS, _HOST.replace("[", "(?P<host>[", 1) + r"): (?=\[(?:rank|default)\d)"),
)  # fmt: skip
# Without one it stays in the text, for a word before a colon can be anything.
_PDSH = re.compile(r"(?P<host>[a-zA-Z][\w-]{0,80}\d|\d{1,3}(?:\.\d{1,3}){3}): (?=[\[(\dA-Z])")
# Hydra's and Intel MPI's label (-l, -prepend-rank): a number that can be something else as well. `[1] "text"` and
# `[1] 4711` are a print of R and a job of a shell.
_BARE = re.compile(r"\[(?P<bare>\d{1,7})\] (?![\d\"'+-])")
# A launcher that passes on what comes when it comes puts its tag in front of each piece, and so also where one rank's
# line has no end yet: at the end of a line it says nothing, in its midst another rank's text begins.
_TAG = r"\[(?:[\w.@-]{1,120},)?\d{1,7}\]<std(?:out|err)>:\s?"
_TAGS_AT_END = re.compile(rf"(?:{_TAG})+$")
_INNER = re.compile(rf"{_TAG}|\[rank\d{{1,7}}\]\s?:\s")
_LOOKED_AT = 4096


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A prefix's pattern, compiled when a line first begins like it."""
    return re.compile(pattern)


# Marks inside the line; these stay in the text.
_INSIDE = Lazy(
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
_SOURCE_NCCL = Lazy(
    r"(?i)(?:^|[/_.-])nccl[\w]{0,20}[._-](?P<host>[a-z][\w.-]{0,254}?)[._-](?P<pid>\d{2,9})(?:\.\w{1,5})?$"
)
# Slurm's --output patterns with a job's number before the task's: %x-%j-%t, %j.%N.%t. What else ends in two numbers looks
# the same, so it is believed only where several files of one job do (ingest.identities).
_JOB_TASK = re.compile(
    r"(?P<job>(?:^|.*[/_.-])(?!(?:19|20)\d{6}\D)\d{5,10})(?:[_.-][A-Za-z][\w.-]{0,254}?)?[_.-]t?(?P<task>\d{1,5})\.(?:out|err|log|txt)(?:\.\w{2,3})?$"
)
_SLURM_TASK = re.compile(r"slurm-\d+_(?P<rank>\d{1,7})\.(?:out|err)$")


# A process that torchrun's agent tells about (torch/distributed/elastic/multiprocessing: api.py, errors/__init__.py).
ELASTIC = Lazy(r"(?:exitcode\s{0,4}: -?\d{1,4}\b.{0,40}\(pid: |received by PID )(?P<pid>\d{1,9})\b")
NCCL = Lazy(r"(?P<host>[A-Za-z0-9][\w.-]{0,254}):(?P<pid>\d{1,9}):\d{1,9} \[\d{1,5}\] ")
_NCCL_END = re.compile(r":\d{1,9}:\d{1,9} \[\d{1,5}\] ")  # found in no time, where the whole tries every word


class Marked(NamedTuple):
    """A line's text without its prefixes, and what they said. `seconds` since midnight. `local` is the rank on its host,
    `bare` a number that may be a rank."""

    text: str
    rank: int | None
    seconds: float | None
    host: str = ""
    pid: int | None = None
    local: int | None = None
    bare: int | None = None


def read(text: str) -> Marked:
    """Take the marks off one line. Lines without marks come back as they are."""
    if (tags := _TAGS_AT_END.search(text, 0, _LOOKED_AT)) and tags.start():
        text = text[: tags.start()].rstrip()
    marked = _read(text)
    begin = max((inner.start() for inner in _INNER.finditer(marked.text, 0, _LOOKED_AT)), default=0)
    if not begin:
        return marked
    other = _read(marked.text[begin:])
    if marked.rank is None or marked.rank == other.rank:
        # A progress bar without an end, or a message that quotes one: whose it is is clear, and its text stays whole.
        return marked._replace(rank=other.rank)
    return other if other.text.strip() else marked._replace(text=marked.text[:begin])


def _read(text: str) -> Marked:
    said: dict[str, str] = {}
    whole, bare = text, _BARE.match(text)
    if bare is not None:
        text = text[bare.end() :]
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
    if bare is not None and not said:
        text = whole  # it may be no mark
    rank = said.get("rank")
    if rank is None and ("ank" in text or "RANK" in text) and (inside := _INSIDE.re.search(text, 0, 600)):
        rank = next(g for g in inside.groups() if g is not None)
    process = NCCL.re.search(text, 0, 300) if _NCCL_END.search(text, 0, 300) else None
    process = process or _PDSH.match(text) or ELASTIC.re.search(text, 0, 300)
    if process is not None:
        said.update(process.groupdict())
    pid = said.get("pid", "")
    return Marked(
        text=text,
        rank=_number(rank),
        seconds=_seconds(said.get("clock") or text),
        host=said.get("host", ""),
        pid=int(pid) if pid.isdecimal() else None,
        local=_number(said.get("local")),
        bare=_number(bare["bare"]) if bare else None,
    )


def _number(digits: str | None) -> int | None:
    return int(digits) if digits is not None and int(digits) <= MAX_RANK else None


def _seconds(text: str) -> float | None:
    """The time of day that a line begins with."""
    clock = _CLOCK.search(text, 0, 120)
    if clock is None:
        return None
    seconds = int(clock["h"]) * 3600.0 + int(clock["m"]) * 60.0 + int(clock["s"])
    return seconds + float("0." + clock["frac"][1:]) if clock["frac"] else seconds


class Named(NamedTuple):
    """What a file's name tells of the process that wrote it. `local`: its rank on its host."""

    rank: int | None = None
    host: str = ""
    pid: int | None = None
    local: int | None = None
    task: int | None = None
    job: str = ""


def of_source(name: str) -> Named:
    """The process that a file's name tells: `rank-3.log`, `slurm-77_3.out`, torchrun's `.../3/stderr.log`, `nccl.node1.4711`;
    `train-4711-node1-3.out` may."""
    match = _SLURM_TASK.search(name) or _SOURCE_RANK.search(name)
    if match:
        return Named(rank=int(match["rank"]))
    parts = name.replace("\\", "/").split("/")
    if len(parts) >= 2 and parts[-1] in _TORCHRUN and parts[-2].isdecimal() and len(parts[-2]) <= 7:
        return Named(local=int(parts[-2]))
    process = _SOURCE_NCCL.re.search(name) if "nccl" in name.lower() else None
    if process:
        return Named(host=process["host"], pid=int(process["pid"]))
    task = _JOB_TASK.match(name, max(0, len(name) - 600))
    return Named(task=int(task["task"]), job=task["job"]) if task else Named()


_TORCHRUN = frozenset({"stderr.log", "stdout.log", "error.json"})
