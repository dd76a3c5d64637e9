"""What the other ranks show when one rank fails: causes that are mere consequences beside a failure that names itself.

Taxonomy, section 5.3: timeouts, resets, closed connections and the launcher's summary are secondary unless nothing
else is found.
"""

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
