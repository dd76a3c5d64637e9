"""What a library takes back later in the same log: XLA warns that a thread may be stuck, and says so when it goes on.

What may not be here: I/O. Source: xla/service/rendezvous.cc, collective_ops_utils.h."""

from collections.abc import Sequence

from commcheck.diagnose.scan import Hit
from commcheck.model.case import LogLine

_WARNED, _UNSTUCK = "may be stuck", "Thread is unstuck!"


def without(hits: Sequence[Hit], lines: Sequence[LogLine]) -> tuple[Hit, ...]:
    """The hits that no later line of their log takes back."""
    last = {line.source: line.number for line in lines if _UNSTUCK in line.text}
    if not last:
        return tuple(hits)
    return tuple(h for h in hits if _WARNED not in h.line.text or h.line.number > last.get(h.line.source, 0))
