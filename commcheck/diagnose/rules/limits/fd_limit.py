"""A process may not open as many files and sockets as the world needs.

**What you see**

`Too many open files` (EMFILE, errno 24) from a connect, an accept or an open, usually while the full mesh of
connections is made, and usually on worlds that are larger than before. Peers see `Connection reset by peer`.

**Why it happens**

Every connection is a file descriptor. Gloo connects each rank to every other, per process group; rank 0 also holds one
connection of the store per rank; data loaders share tensors through descriptors. The usual soft limit of 1024 is too
little from some hundred ranks on, and containers and batch systems may set less.

**How to fix**

Raise the soft limit before the ranks start: `ulimit -n 65536` (up to the hard limit), in the script that every host
runs. The hard limit is the administrator's: limits.conf, systemd's LimitNOFILE, `docker run --ulimit nofile=65536`.

**How to confirm**

`ulimit -n` in the job's own shell on every host; `ls /proc/PID/fd | wc -l` shows how many a rank has.
"""

from collections.abc import Iterator

from commcheck.diagnose.rules.limits.shared import hard, of_host, ranks_on, said, soft
from commcheck.diagnose.view import evidence
from commcheck.model.base import listed
from commcheck.model.case import Case, HostFacts, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

BASE = 64
"""Descriptors of a torch process without a world: libraries, pipes, epoll (about 20 seen with torch 2.13 on CPU)."""
PER_RANK = 3
"""Per other rank: a connection of gloo's full mesh, a store connection on rank 0, and one to spare for a second
group."""
ASKED = 65536

_SAYS = (r"too many open files", r"\bEMFILE\b")


def needed(size: int) -> int:
    """How many descriptors a rank of a world of `size` needs, at least."""
    return BASE + PER_RANK * size


def match(case: Case) -> Match | None:
    """A rank said so, or a host's soft limit is less than the world needs."""
    hit = (*_full(case), *said(case, _SAYS))
    size = case.world.size if case.world is not None else max(2, len(case.ranks))
    low = [h for h in case.hosts if (limit := soft(h, "nofile")) is not None and limit < needed(size)]
    if not hit and not low:
        return None
    lowest = {h.host for h in low}
    if hit:
        confidence = 0.95
    elif all(r.finished for r in case.ranks if r.host in lowest) and case.ranks:
        confidence = 0.3  # it was enough
    else:
        confidence = 0.6
    where = listed([r.host for r, _ in hit] + [h.host for h in low])
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"too few open files are allowed on {where}",
        confidence=confidence,
        ranks=tuple(dict.fromkeys(r.name for r, _ in hit)),
        hosts=tuple(dict.fromkeys([r.host for r, _ in hit] + [h.host for h in low])),
        evidence=(*(e for _, e in hit), *(_evidence(case, h, size) for h in low)),
        fixes=(_fix(case.hosts),),
    )


def _full(case: Case) -> Iterator[tuple[RankRecord, Evidence]]:
    """The ranks that could open nothing any more when they failed, whatever words their exception has for it."""
    for rank in case.ranks:
        if rank.error is not None and rank.error.no_descriptor_left:
            yield (
                rank,
                evidence(EvidenceKind.FACT, "no descriptor was left when it failed (EMFILE)", rank, "own open()"),
            )


def _evidence(case: Case, host: HostFacts, size: int) -> Evidence:
    limit, ranks = soft(host, "nofile"), ranks_on(case, host.host)
    several = f" ({ranks} ranks here)" if ranks > 1 else ""
    return of_host(host, f"nofile is {limit}; a rank of a world of {size} needs about {needed(size)}{several}")


def _fix(hosts: tuple[HostFacts, ...]) -> Fix:
    ceiling = min((h for host in hosts if (h := hard(host, "nofile")) is not None), default=ASKED)
    return Fix(
        pattern=FixPattern.MEMORY_OR_CORE_SETTING,
        text=f"raise the limit on open files before the ranks start (hard limit: {ceiling})",
        commands=(f"ulimit -n {min(ASKED, ceiling)}",),
        not_tried="a limit is set by the shell or the administrator",
    )


RULE = Rule(
    cause="fd-limit",
    code="CC121",
    title="Too few open files are allowed",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_FAILURE,
        Symptom.PREP_COMMUNICATION_ERROR,
        Symptom.PREP_DATA_LOADING_FAILURE,
        Symptom.TRAIN_OTHER_FAILURE,
    ),
    fixes=((FixPattern.MEMORY_OR_CORE_SETTING, "raise the limit on open files (ulimit -n) on every host"),),
    match=match,
    signatures=(
        Signature(
            pattern=r"[Tt]oo many open files",
            literal="too many open files",
            source="strerror(EMFILE); libuv and gloo pass it on",
            positive="OSError: [Errno 24] Too many open files",
            negative="opened 24 files",
            weight=0.9,
        ),
    ),
    explains=("rank-crashed", "rank-exited", "data-ports-refused", "rank-missing", "script-error"),
    needs=(),
)
