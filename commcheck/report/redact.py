"""No secret leaves with a report, wherever in it a text came from.

Logs lose theirs where they are read (`commcheck.diagnose.ingest.redact`, which has the patterns). A report also holds
arguments of commands, settings of ranks and messages of exceptions; so all of its texts go through the same patterns
once more, whoever put them there.
"""

import msgspec

from commcheck.diagnose.ingest.redact import MARK, redact, redact_all, redact_arguments
from commcheck.model.diagnosis import Report

__all__ = ["MARK", "clean", "redact"]


def clean(report: Report) -> Report:
    """`report` without the secrets of its texts; the same object where it has none."""
    before = msgspec.to_builtins(report)
    after = redact_all(before)
    after["command"] = redact_arguments(report.command)
    return report if after == before else msgspec.convert(after, Report)
