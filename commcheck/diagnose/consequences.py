"""What the other ranks show when one rank fails: causes that are mere consequences beside a failure that names itself.

Taxonomy, section 5.3: timeouts, resets, closed connections and the launcher's summary are secondary unless nothing
else is found.
"""

from collections.abc import Mapping

from commcheck.model.diagnosis import Match

PEERS_SEE: tuple[str, ...] = (
    "rank-exited",
    "collective-missing-rank",
    "rank-straggling",
    "timeout-too-short",
    "teardown-noise",
    "unclassified",
)
"""Of a rank that ended with an error of its own."""

PEERS_SEE_CRASH: tuple[str, ...] = (*PEERS_SEE, "rank-crashed", "script-error")
"""Of a rank that ended by an abort or an exception which a library raised for it."""

_CAN_FOLLOW: frozenset[str] = frozenset(
    (
        *PEERS_SEE_CRASH,
        *("rank-killed", "rank-oom-killed", "rank-missing", "port-refused", "port-dropped", "data-ports-refused"),
        *("data-ports-dropped", "one-way-blocked", "partition", "link-flapping", "store-timeout-too-short"),
        *("wrong-service-on-port", "mtu-mismatch"),
    )
)
"""What can come of another failure at all. Of other causes a wording that many share is no sign beside one that names
itself: nothing shows them, and they do not follow from it."""


def plausible(matches: Mapping[str, Match], least: float) -> dict[str, Match]:
    """By cause, what is left beside a failure that names itself: of what may have come of it the likely, and no more."""
    return {
        cause: match
        for cause, match in matches.items()
        if match.confidence >= least and (cause in _CAN_FOLLOW or not match.consequence)
    }
