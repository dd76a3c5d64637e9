"""Secrets are taken out where text comes in (`commcheck.diagnose.ingest.redact`); here for those who write reports.

What may not be here: a second set of patterns.
"""

from commcheck.diagnose.ingest.redact import MARK, redact

__all__ = ["MARK", "redact"]
