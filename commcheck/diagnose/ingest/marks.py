"""Which rank wrote a line, and when, by the marks that launchers and libraries put there."""

import re
from functools import cache
from typing import NamedTuple

MAX_RANK = 10_000_000

# Prefixes that are taken off the text, each with the characters it can begin with. Order matters: a line may carry
# several, the outermost first.
_PREFIXES = (
    ("[", r"\[rank(?P<rank>\d{1,7})\]\s?:\s?"),  # torch >= 2.1, in front of every traceback line and C++ log line
    ("[", r"\[(?:default|[a-zA-Z_][\w-]{0,30}?)(?P<local>\d{1,7})\]:\s?"),  # torchrun --tee: [role + local rank]
    ("[", r"\[\d{1,9},(?P<rank>\d{1,7})\]\s?<(?:stdout|stderr|stddiag)>:\s?"),  # mpirun --tag-output
    ("[", r"\[(?P<rank>\d{1,7})\]<(?:stdout|stderr)>:\s?"),  # horovodrun
    ("[", r"\[(?:RANK|Rank|rank):? (?P<rank>\d{1,7})\]:?\s?"),  # Lightning and others
    ("[", r"\[pod/[\w./-]{1,200}\]\s?"),  # kubectl logs --prefix
    ("0123456789", r"(?P<rank>\d{1,7}): (?=\S)"),  # srun --label
    ("r", r"rank(?P<rank>\d{1,7}): (?=\S)"),
    ("(", r"\((?:[\w.]{1,80}\s)?pid=(?:gcs_server|raylet|\d{1,9})(?:, ip=[\w.:]{1,60})?\)\s?"),  # Ray
)


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

_SOURCE_RANK = re.compile(r"(?:^|[/_.-])(?:rank|RANK)[_-]?(?P<rank>\d{1,7})(?=[/_.-]|$)")
_SLURM_TASK = re.compile(r"slurm-\d+_(?P<rank>\d{1,7})\.(?:out|err)$")


class Marked(NamedTuple):
    """A line's text without its prefixes, and what they said."""

    text: str
    rank: int | None
    seconds: float | None


def read(text: str) -> Marked:
    """Take the marks off one line. Lines without marks come back as they are."""
    rank: int | None = None
    local: int | None = None
    seconds: float | None = None
    for _ in range(4):  # no known launcher nests deeper
        stripped = text.lstrip()
        first = stripped[:1]
        if not first:
            break
        match = next((m for begin, p in _PREFIXES if first in begin and (m := _compiled(p).match(stripped))), None)
        if match is None:
            break
        groups = match.groupdict()
        if groups.get("rank") is not None and rank is None:
            rank = int(groups["rank"])
        if groups.get("local") is not None and local is None:
            local = int(groups["local"])
        text = stripped[match.end() :]
    if rank is None and (inside := _INSIDE.search(text, 0, 600)):
        rank = int(next(g for g in inside.groups() if g is not None))
    if clock := _CLOCK.search(text, 0, 120):
        seconds = int(clock["h"]) * 3600.0 + int(clock["m"]) * 60.0 + int(clock["s"])
        if clock["frac"]:
            seconds += float("0." + clock["frac"][1:])
    # On one node a local rank is the rank; with several nodes it is at least the right one among a file's ranks.
    found = rank if rank is not None else local
    return Marked(text, found if found is None or found <= MAX_RANK else None, seconds)


def of_source(name: str) -> int | None:
    """The rank that a file's name tells: `rank-3.log`, `slurm-77_3.out`, torchrun's `.../3/stderr.log`."""
    match = _SLURM_TASK.search(name) or _SOURCE_RANK.search(name)
    if match:
        return int(match["rank"])
    parts = name.replace("\\", "/").split("/")
    if len(parts) >= 2 and parts[-1] in {"stderr.log", "stdout.log"} and parts[-2].isdecimal() and len(parts[-2]) <= 7:
        return int(parts[-2])
    return None
