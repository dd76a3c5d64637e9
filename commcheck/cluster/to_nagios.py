"""A cluster's report as a plugin of Nagios, Icinga or Checkmk answers."""

from commcheck.cluster.history import Comparison
from commcheck.cluster.summary import headline, middle, roots
from commcheck.model.cluster import ClusterReport
from commcheck.model.diagnosis import Verdict
from commcheck.report.to_nagios import lines


def render(report: ClusterReport, changes: Comparison | None = None) -> str:
    """One line of state and figures, then a line per finding."""
    figures = [
        ("time", f"{report.seconds:.3f}s"),
        ("hosts", str(len(report.hosts))),
        ("bad_hosts", f"{len(report.bad_hosts)};;0"),
    ]
    for name, matrix, unit in (
        ("latency", report.latency_us, "us"), ("gbit", report.gbit, ""), ("gbit_loaded", report.gbit_loaded, ""),
    ):  # fmt: skip
        usual = middle(matrix)
        if usual is not None:
            figures.append((name, f"{usual:.6g}{unit}"))
    more = [d.title for d in roots(report)] if report.verdict is not Verdict.HEALTHY else []
    return lines(report.verdict, headline(report), figures, more)
