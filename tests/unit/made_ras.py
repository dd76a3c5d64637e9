"""RAS's answers about jobs that are made up, put into words as NCCL does it (src/ras/client_support.cc), as text and as JSON."""

import json
from collections import Counter
from typing import NamedTuple

OPS = ("Broadcast", "Reduce", "AllGather", "ReduceScatter", "AllReduce")
ERRORS = {1: "Unhandled CUDA error", 2: "System error", 6: "Remote process error"}


class Rank(NamedTuple):
    """A rank of the job. `state`: RUNNING, INIT, FINALIZE or ABORT, or how it is lost: silent, dead, NOCOMM."""

    number: int
    host: str
    pid: int
    counts: tuple[int, ...]
    state: str = "RUNNING"
    error: int = 0

    @property
    def there(self):
        return self.state in ("RUNNING", "INIT", "FINALIZE", "ABORT")

    @property
    def words(self):
        return f"GPU {self.number % 8} managed by process {self.pid} on node {self.host}"


def outlier(count, *, verbose, total=-1):
    """rasCountIsOutlier."""
    if count == 1:
        return True
    if verbose:
        return count < total * 0.5 if total != -1 else True
    return count <= 10 and (total == -1 or count <= total * 0.25)


def text(ranks, *, verbose=False, timeouts=0, version="2.29.7"):
    """rasClientRunInit and rasClientRunComms, of one communicator and processes with a GPU each."""
    there = [r for r in ranks if r.there]
    silent, dead = ([r for r in ranks if r.state == state] for state in ("silent", "dead"))
    left = [r for r in ranks if r.state == "NOCOMM"]
    states = {r.state for r in there} | ({"NOCOMM"} if left else set())
    status = max(states, key=("NOCOMM", "INIT", "RUNNING", "FINALIZE", "ABORT").index)
    lines = [
        f"NCCL version {version} compiled with CUDA 13.2", "CUDA runtime version 13020, driver version 13020", "", "Job summary",
        "===========", "", "  Nodes  Processes         GPUs  Processes     GPUs", "(total)   per node  per process    (total)  (total)",
        f"{1:7d}  {len(ranks):9d}  {1:11d}  {len(ranks):9d}  {len(ranks):7d}", "", "Communicators... (0.001s)", "=============", "",
        "Group     Comms     Nodes     Ranks     Ranks     Ranks    Status  Errors",
        "    #  in group  per comm  per node  per comm  in group",
        f"{0:5d}  {1:8d}  {1:8d}  {len(there)!s:>8}  {len(ranks):8d}  {len(there):8d}  {status:>8}  {'MISMATCH':>6}",
        "", "Errors", "======", "",
    ]  # fmt: skip
    name = "#0-0 (27a079b828ff1a75)"
    many = "es" if len(silent) > 1 else ""
    for what, group, head in (
        ("INCOMPLETE", silent, f"  Missing communicator data from {len(silent)} job process{many}"),
        ("DEAD", dead, f"  {len(dead)} job process{'es are' if len(dead) > 1 else ' is'} considered dead (unreachable via the RAS network)"),
    ):  # fmt: skip
        if group:
            lines += [what, head]
            if outlier(len(group), verbose=verbose):
                lines += [f"  Process {r.pid} on node {r.host} managing GPU {r.number % 8}" for r in group]
            lines.append("")
    if lost := [*silent, *dead]:
        lines += [
            f"{name} INCOMPLETE",
            f"  Missing communicator data from {len(lost)} rank{'s' if len(lost) > 1 else ''}",
        ]
        if outlier(len(lost), verbose=verbose):
            lines += [f"  Rank {r.number} -- {r.words}" for r in lost]
        lines.append("")
    errors = Counter(r.error for r in there if r.error)
    if errors:
        lines += [
            f"{name} ERROR",
            f"  Asynchronous error{'s' if errors.total() > 1 else ''} on {errors.total()} rank{'s' if errors.total() > 1 else ''}",
        ]
        for error, count in errors.most_common():
            named = [r for r in there if r.error == error]
            if count > 1:
                lines.append(f"  {count} ranks reported {ERRORS[error]}")
            if outlier(count, verbose=verbose):
                lines += [
                    f"  Rank {r.number}{f' reported {ERRORS[error]}' if count == 1 else ''} -- {r.words}" for r in named
                ]
        lines.append("")
    lines += ["Warnings", "========", ""]
    if timeouts:
        lines += [
            "TIMEOUT",
            f"  Encountered {timeouts} communication timeout{'s' if timeouts > 1 else ''} while gathering communicator data",
            "",
        ]
    lines += _mismatch(name, ranks, verbose=verbose)
    return "\n".join(lines) + "\n"


def _mismatch(name, ranks, *, verbose):
    there = [r for r in ranks if r.there or r.state == "NOCOMM"]
    lines = []
    if len({r.state for r in there}) > 1:
        lines.append("  Communicator ranks have different status")
        lines += _groups(there, lambda r: r.state, "status", len(ranks), verbose=verbose)
    there = [r for r in there if r.there]
    for n, op in enumerate(OPS):
        if len({r.counts[n] for r in there}) > 1:
            lines.append(f"  Communicator ranks have different {op} operation counts")
            lines += [*_groups(there, lambda r, n=n: r.counts[n], op, len(ranks), verbose=verbose), ""]
    return [f"{name} MISMATCH", *lines] if lines else []


def _groups(ranks, key, what, total, *, verbose):
    lines = []
    for value, count in sorted(Counter(map(key, ranks)).items(), key=lambda pair: (-pair[1], str(pair[0]))):
        words = ("have", "has")[count == 1] + (
            f" status {value}"
            if what == "status"
            else f" launched up to operation {value}"
            if value
            else " not launched any operations"
        )
        if count > 1:
            lines.append(f"  {count} ranks {words}")
        if outlier(count, verbose=verbose, total=total):
            lines += [
                f"  Rank {r.number}{f' {words}' if count == 1 else ''} -- {r.words}" for r in ranks if key(r) == value
            ]
    return lines


def as_json(ranks, *, timeouts=0, timestamp="2026-05-04 10:00:00"):
    """rasDumpCommsToJSON."""
    there, missing = [r for r in ranks if r.there], [r for r in ranks if not r.there]
    return json.dumps(
        {
            "nccl_version": "2.29.7", "cuda_runtime_version": 13020, "cuda_driver_version": 13020, "timestamp": timestamp,
            "communicators_count": 1,
            "communicators": [
                {
                    "hash": "0x27a079b828ff1a75", "secondary_hash": "0x1:0x2", "size": len(ranks), "ranks_count": len(there),
                    "missing_ranks_count": len(missing),
                    "ranks": [
                        {
                            **_who(r),
                            "status": {
                                "init_state": 7 if r.state == "INIT" else 0, "async_error": r.error,
                                "finalize_called": r.state == "FINALIZE", "destroy_flag": False, "abort_flag": r.state == "ABORT",
                            },
                            "collective_counts": dict(zip(OPS, r.counts, strict=True)),
                        }
                        for r in there
                    ],
                    "missing_ranks": [
                        {**_who(r), "status": {"unresponsive": r.state != "NOCOMM", "considered_dead": r.state == "dead"}}
                        for r in missing
                    ],
                }
            ],
            "ras": {"collection_time_sec": 0.001, "timeouts_count": timeouts},
        },
        indent=2,
    )  # fmt: skip


def _who(rank):
    return {
        "rank": rank.number,
        "host": rank.host,
        "pid": rank.pid,
        "cuda_dev": rank.number % 8,
        "nvml_dev": rank.number % 8,
    }
