"""The report as metrics for Prometheus: for node_exporter's textfile collector, or a push gateway."""

from collections import Counter

from commcheck.model.diagnosis import Report
from commcheck.report import metrics
from commcheck.report.metrics import Metric
from commcheck.report.phases import summarize


def render(report: Report) -> str:
    """Gauges with HELP and TYPE lines. Put it in place by renaming, so that no half of it is read: `--output` does."""
    found = Counter((d.cause, d.code, d.role.value) for d in report.diagnoses)
    sure = {(d.cause, d.code, d.role.value): d.confidence for d in reversed(report.diagnoses)}
    names = ("cause", "code", "role")
    return metrics.text(
        (
            metrics.verdict("commcheck_verdict", report.verdict),
            Metric("commcheck_duration_seconds", "Seconds that the check took.", [({}, report.seconds)]),
            Metric(
                "commcheck_ranks",
                "Ranks of the world that was formed.",
                [] if report.world is None else [({}, float(report.world.size))],
            ),
            Metric(
                "commcheck_phase_seconds",
                "Seconds of the slowest rank in each phase.",
                [({"phase": p.phase}, p.seconds) for p in summarize(report.phases)],
            ),
            Metric(
                "commcheck_findings",
                "Findings by cause.",
                [(dict(zip(names, key, strict=True)), float(count)) for key, count in found.items()],
            ),
            Metric(
                "commcheck_finding_confidence",
                "Confidence of the surest finding of each cause, 0 to 1.",
                [(dict(zip(names, key, strict=True)), value) for key, value in sure.items()],
            ),
        )
    )
