"""No secret leaves with a cluster's report: every renderer gets what comes from here."""

import msgspec

from commcheck.diagnose.ingest.redact import redact, redact_all, redact_arguments
from commcheck.model.cluster import ClusterReport

_BIG = ("reach", "latency_us", "gbit", "gbit_loaded", "steps")
"""Letters and numbers: a million of them hold no text that somebody wrote."""


def clean(report: ClusterReport) -> ClusterReport:
    """`report` without the secrets of its texts; the same object where it has none."""
    small = msgspec.structs.replace(report, **dict.fromkeys(_BIG, ()))
    before = msgspec.to_builtins(small)
    after = redact_all(before)
    after["command"] = redact_arguments(report.command)
    for drift in after["drift"]:  # of which the values are keys
        drift["values"] = {redact(value): hosts for value, hosts in drift["values"].items()}
    if after == before:
        return report
    told = msgspec.convert(after, ClusterReport)
    return msgspec.structs.replace(told, **{name: getattr(report, name) for name in _BIG})
