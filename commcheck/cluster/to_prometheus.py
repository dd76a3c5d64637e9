"""A cluster's report as metrics for Prometheus: a series per host and none per link, of which there are too many."""

from collections import Counter

from commcheck.cluster.history import Comparison
from commcheck.cluster.summary import hosts, middle, roots
from commcheck.model.cluster import ClusterReport, Reach
from commcheck.report import metrics
from commcheck.report.metrics import Metric


def render(report: ClusterReport, changes: Comparison | None = None) -> str:
    """Gauges with HELP and TYPE lines."""
    each = hosts(report)
    names = [{"host": h.row.name} for h in each]
    found = Counter(d.cause for d in roots(report))
    letters = Counter("".join(report.reach))
    usual = (("latency_microseconds", report.latency_us), ("gbit", report.gbit), ("gbit_loaded", report.gbit_loaded))
    middles = [(name, value) for name, matrix in usual if (value := middle(matrix)) is not None]
    turned = Counter(c.kind for c in changes.changes) if changes is not None else {}
    return metrics.text(
        (
            metrics.verdict("commcheck_cluster_verdict", report.verdict),
            Metric("commcheck_cluster_timestamp_seconds", "When it was measured.", [({}, report.begun)]),
            Metric("commcheck_cluster_duration_seconds", "Seconds that it took.", [({}, report.seconds)]),
            Metric("commcheck_cluster_hosts", "Hosts that were to be measured.", [({}, float(len(report.hosts)))]),
            Metric(
                "commcheck_cluster_silent_hosts",
                "Hosts that said nothing.",
                [({}, float(sum(h.said_nothing for h in report.hosts)))],
            ),
            Metric(
                "commcheck_cluster_findings", "Findings by cause.", [({"cause": c}, float(n)) for c, n in found.items()]
            ),
            Metric(
                "commcheck_cluster_directions",
                "Directions between two hosts by how they were reached.",
                [({"reach": r.name.lower()}, float(letters[r.value])) for r in Reach if r is not Reach.ITSELF],
            ),
            Metric("commcheck_cluster_median", "Median over all links.", [({"of": n}, v) for n, v in middles]),
            Metric(
                "commcheck_cluster_changes",
                "Changes since the earlier reports, by their kind.",
                [({"kind": kind}, float(count)) for kind, count in turned.items()],
            ),
            Metric(
                "commcheck_host_bad",
                "1: better left out of jobs.",
                [(n, float(h.bad)) for n, h in zip(names, each, strict=True)],
            ),
            Metric(
                "commcheck_host_failed_directions",
                "Directions from and to the host that failed.",
                [(n, float(h.failed_from + h.failed_to)) for n, h in zip(names, each, strict=True)],
            ),
            *(
                Metric(
                    f"commcheck_host_{name}",
                    f"Median over the host's links: {words}.",
                    [(n, v) for n, h in zip(names, each, strict=True) if (v := getattr(h, field)) is not None],
                )
                for name, field, words in (
                    ("latency_microseconds", "latency_us", "round trip"),
                    ("gbit", "gbit", "10^9 bits per second of one stream, alone"),
                    ("gbit_loaded", "gbit_loaded", "the same while all other pairs talk"),
                )
            ),
        )
    )
