"""What NCCL's own account of a job shows when its ranks are laid side by side: members that do not fit, networks that differ.

What may not be here: I/O. The account itself: `commcheck.diagnose.ingest.nccl_reading`.
"""

from collections.abc import Sequence

from commcheck.diagnose.finding import Finding
from commcheck.diagnose.ingest import nccl_reading
from commcheck.diagnose.ingest.nccl_reading import Communicator, Connection, Nccl, Process
from commcheck.model.base import ranks_text, spans
from commcheck.model.case import LogLine
from commcheck.model.taxonomy import Symptom

_TWICE, _SIZES, _ABSENT = 0.8, 0.75, 0.42
_MIXED, _UNUSED, _INDIRECT = 0.66, 0.6, 0.45  # the last is no fault by itself: it works, and slower
_LINES = 6
_SOCKET = "Socket"
_SLOW = (Symptom.SETUP_UNEXPECTED_PROTOCOL, Symptom.PERF_LOW_EFFICIENCY)


def told(lines: Sequence[LogLine]) -> Nccl | None:
    """What NCCL says of itself in these lines; None where it says nothing, which costs no search."""
    said = [
        line for line in lines if "NCCL INFO" in line.text or "NCCL TRACE" in line.text or "NCCL version" in line.text
    ]
    return nccl_reading.read(said) if said else None


def findings(lines: Sequence[LogLine]) -> list[Finding]:
    """Everything that the account shows."""
    nccl = told(lines)
    if nccl is None:
        return []
    found = [finding for communicator in nccl.communicators for finding in _members(communicator)]
    return [*found, *_networks(nccl)]


def _members(communicator: Communicator) -> list[Finding]:
    """Only what NCCL itself calls one communicator can be compared: it has an id."""
    members = communicator.members
    if not communicator.identity.startswith("0x"):
        return []
    by_rank: dict[int, set[tuple[str, int]]] = {}
    for member in members:
        by_rank.setdefault(member.rank, set()).add((member.host, member.pid))
    lines = [member.line for member in members if member.line is not None]
    if len(communicator.sizes) > 1:
        return [Finding("world-size-mismatch", _SIZES, tuple(lines[:_LINES]), tuple(sorted(by_rank)))]
    twice = sorted(rank for rank, who in by_rank.items() if len(who) > 1)
    if twice and not any(member.complete for member in members):
        shown = [m.line for m in members if m.rank in twice and m.line is not None]
        return [Finding("rank-duplicate", _TWICE, tuple(shown[:_LINES]), tuple(twice))]
    absent = set(range(next(iter(communicator.sizes)))) - by_rank.keys()
    if absent and len(absent) < len(by_rank) and len(by_rank) > 1 and not any(member.complete for member in members):
        # The others' logs may be elsewhere.
        return [Finding("rank-missing", _ABSENT, tuple(lines[:_LINES]), tuple(sorted(absent)))]
    return []


def _networks(nccl: Nccl) -> list[Finding]:
    """Cards that are there and not used, or used by some hosts alone."""
    fast = [p for p in nccl.processes if p.cards or (p.network and p.network != _SOCKET)]
    slow = [p for p in nccl.processes if p.network == _SOCKET or _socket(nccl.connections, p)]
    unused = [p for p in slow if p.cards]
    if unused:
        return [Finding("transport-fallback", _UNUSED, _shown(unused, nccl), shows=_SLOW)]
    hosts = {p.host for p in slow} - {p.host for p in fast}
    if hosts and fast:
        odd = [p for p in slow if p.host in hosts]
        lines = (*_shown(odd, nccl)[: _LINES // 2], *_shown(fast, nccl)[: _LINES // 2])
        return [Finding("transport-fallback", _MIXED, lines, shows=_SLOW)]
    indirect = [p for p in fast if p.direct_off]
    if indirect:
        lines = tuple(line for p in indirect for line in p.lines if "GPU Direct RDMA Disabled" in line.text)
        return [Finding("transport-fallback", _INDIRECT, lines[:_LINES], shows=_SLOW)]
    return []


def _socket(connections: Sequence[Connection], process: Process) -> bool:
    return any(c.transport == f"NET/{_SOCKET}" and c.host == process.host for c in connections)


def _shown(processes: Sequence[Process], nccl: Nccl) -> tuple[LogLine, ...]:
    words = ("NET/IB : Using", "Using network", "set by environment")
    lines = [line for p in processes for line in p.lines if any(word in line.text for word in words)]
    hosts = {p.host for p in processes}
    via = [
        c.line for c in nccl.connections if c.transport == f"NET/{_SOCKET}" and c.host in hosts and c.line is not None
    ]
    return tuple(dict.fromkeys((*lines[: _LINES - 2], *via[:2])))


# --- in words --------------------------------------------------------------------------------------------------


def account(lines: Sequence[LogLine]) -> tuple[str, ...]:
    """The same as a few sentences for a report's reader; none where NCCL did not say enough."""
    nccl = told(lines)
    if nccl is None:
        return ()
    done = []
    for communicator in nccl.communicators[:3]:
        hosts = {member.host for member in communicator.members}
        ranks = {member.rank for member in communicator.members}
        ready = {member.rank for member in communicator.members if member.complete}
        sizes = " or ".join(map(str, sorted(communicator.sizes)))
        state = (
            ("all of them ready" if len(ranks) > 1 else "ready")
            if ready == ranks
            else f"ready: {spans(ready) or 'none'}"
        )
        slowest = max((m.seconds for m in communicator.members if m.seconds is not None), default=None)
        time = "" if slowest is None else f", in {slowest:.2f} s"
        done.append(
            f"NCCL {' or '.join(nccl.versions) or '(version not said)'}: communicator {communicator.identity} of {sizes} ranks; "
            f"said by {ranks_text(ranks)} on {len(hosts)} host{'s' if len(hosts) > 1 else ''}, {state}{time}"
        )
    return (*done, *_ways(nccl))


def _ways(nccl: Nccl) -> list[str]:
    parts = []
    if bootstrap := dict.fromkeys(p.bootstrap.split(":")[0] for p in nccl.processes if p.bootstrap):
        parts.append(f"formed over {', '.join(bootstrap)}")
    if networks := dict.fromkeys(p.network for p in nccl.processes if p.network):
        parts.append(f"network {' and '.join(networks)}")
    if cards := dict.fromkeys(card for p in nccl.processes for card in p.cards):
        parts.append(f"cards {', '.join(list(cards)[:8])}")
    if ways := dict.fromkeys(
        c.via if c.transport != "P2P" else "/".join(c.via.split("/")[:2]) for c in nccl.connections
    ):
        parts.append(f"connected via {', '.join(list(ways)[:6])}")
    return [f"NCCL: {'; '.join(parts)}"] if parts else []
