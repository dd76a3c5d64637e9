"""What a cluster's report says of each host, and in a sentence: what every renderer shows. Pure."""

from __future__ import annotations

from itertools import islice, zip_longest
from statistics import median

from commcheck.cluster.heat import LARGEST, SMALLEST, Matrix, figure, usable
from commcheck.model.base import Value, listed
from commcheck.model.cluster import ClusterReport, HostRow, Reach
from commcheck.model.diagnosis import Diagnosis, Role, Verdict

_NO_FAULT = frozenset((Reach.OK.value, Reach.ITSELF.value, Reach.NOT_TRIED.value))


class HostSummary(Value, frozen=True):
    """One host: medians over all its measured links, in both directions; failed directions from and to it; the causes of
    the roots that name it."""

    row: HostRow
    bad: bool
    latency_us: float | None
    gbit: float | None
    gbit_loaded: float | None
    failed_from: int
    failed_to: int
    causes: tuple[str, ...]


def hosts(report: ClusterReport) -> tuple[HostSummary, ...]:
    """All hosts, in their order."""
    causes: dict[str, dict[str, None]] = {}
    for d in roots(report):
        for name in (*d.hosts, *(end for k in d.links for end in (k.source, k.target))):
            causes.setdefault(name, {})[d.cause] = None
    bad = frozenset((*report.bad_hosts, *(h.name for h in report.hosts if h.said_nothing)))
    to = [0] * len(report.hosts)
    out = [0] * len(report.hosts)
    for source, row in enumerate(report.reach):
        for target, letter in enumerate(row):
            if letter not in _NO_FAULT and source < len(out) and target < len(to):
                # What fails with a bad host says nothing of the other end.
                out[source] += report.hosts[target].name not in bad
                to[target] += report.hosts[source].name not in bad
    matrices = [middles(m, len(report.hosts)) for m in (report.latency_us, report.gbit, report.gbit_loaded)]
    return tuple(
        HostSummary(
            row=row,
            bad=row.name in report.bad_hosts,
            latency_us=matrices[0][n],
            gbit=matrices[1][n],
            gbit_loaded=matrices[2][n],
            failed_from=out[n],
            failed_to=to[n],
            causes=tuple(causes.get(row.name, ())),
        )
        for n, row in enumerate(report.hosts)
    )


def middles(matrix: Matrix, size: int) -> list[float | None]:
    """Per host the median of its row and its column."""
    rows = list(matrix[:size]) + [()] * (size - len(matrix))
    columns = list(islice(zip_longest(*rows), size))
    columns += [()] * (size - len(columns))
    found = (
        [v for line in pair for v in line if v is not None and SMALLEST < v < LARGEST]
        for pair in zip(rows, columns, strict=True)
    )
    return [median(known) if known else None for known in found]


def roots(report: ClusterReport) -> tuple[Diagnosis, ...]:
    """The causes, without what follows from them."""
    return tuple(d for d in report.diagnoses if d.role is Role.ROOT)


def middle(matrix: Matrix) -> float | None:
    """The median of a matrix."""
    known = usable(matrix)
    return median(known) if known else None


def headline(report: ClusterReport) -> str:
    """The verdict's sentence."""
    count = f"{len(report.hosts)} host{'' if len(report.hosts) == 1 else 's'}"
    found = roots(report)
    if report.verdict is Verdict.HEALTHY:
        also = f"; {len(found)} thing{'' if len(found) == 1 else 's'} to look at" if found else ""
        return (
            f"{count}, every one reaches every other{also}"
            if _all_reach(report)
            else f"{count}: nothing wrong found{also}"
        )
    if report.verdict is Verdict.INCONCLUSIVE:
        return f"{count}: this could not be decided"
    if not found:
        return f"{count}: something is wrong, and no cause was recognised"
    lead = found[0]
    where = f" ({listed(lead.hosts, 3)})" if lead.hosts else ""
    others = len(found) - 1
    return f"{count}: {lead.cause}{where}{f', and {others} more' if others else ''}"


def _all_reach(report: ClusterReport) -> bool:
    """Seen, from each to each."""
    size = len(report.hosts)
    whole = len(report.reach) == size and all(len(row) == size for row in report.reach)
    return size > 1 and whole and all(set(row) <= {Reach.OK, Reach.ITSELF} for row in report.reach)


def figures(report: ClusterReport) -> list[tuple[str, str]]:
    """Label and text of what was measured over all links."""
    lines = []
    size = len(report.hosts)
    tried = sum(len(row) - row.count(Reach.ITSELF) - row.count(Reach.NOT_TRIED) for row in report.reach)
    failed = sum(1 for row in report.reach for letter in row if letter not in _NO_FAULT)
    if tried:
        untried = size * (size - 1) - tried
        more = f", {untried} were not tried" if untried > 0 else ""
        lines.append(("reach", f"{tried - failed} of {tried} directions work{more}"))
    for label, matrix, unit in (
        ("latency", report.latency_us, "us round trip"),
        ("bandwidth", report.gbit, "Gbit/s, one stream alone"),
        ("loaded", report.gbit_loaded, "Gbit/s, while all other pairs talk"),
    ):
        known = usable(matrix)
        if known:
            lines.append(
                (label, f"median {figure(median(known))} {unit} ({figure(min(known))} to {figure(max(known))})")
            )
    if report.rounds:
        lines.append(("rounds", f"{report.rounds} of disjoint {'pairs and groups' if report.grouped else 'pairs'}"))
    return lines
