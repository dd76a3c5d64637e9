"""What group testing leaves open, in sentences: links that were tried and not timed, and those that were not tried. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from commcheck.cluster.group_testing import Isolated
from commcheck.cluster.reach import Finding, Seen
from commcheck.cluster.rounds import Pair
from commcheck.cluster.saying import listed


def untimed(found: Seen, every: Iterable[Finding]) -> tuple[str, ...]:
    """No link that was not measured is said to be fine. Nothing to say where every pair was to be timed."""
    isolated = found.collected.isolated
    if isolated is None:
        return ()
    c = found.collected
    hosts = set(c.targets)
    count = len(hosts) * (len(hosts) - 1) // 2
    timed = {_link((m.source, m.target)) for m in (*c.quiet, *c.again) if not m.failed}
    tried = {_link(d) for d in found.letters}
    left = tried - timed
    faulty = _with_a_fault(found, isolated, every)
    sound = {k for k in left if not faulty & set(k)}
    made = []
    if sound:
        moved = {_link(d) for d, r in found.by_pair.items() if r.gbit is not None}
        pieces = f"; a piece of 1 MiB went over {len(sound & moved)} of them, which shows only what is far slower"
        made.append(
            f"latency, losses and speed of {len(sound)} of {count} links: not measured, their hosts' measured links are fine{pieces}"
        )
    if len(left) > len(sound):
        made.append(
            f"latency, losses and speed of {len(left) - len(sound)} further links, of hosts with which something is wrong: not "
            "measured"
        )
    if len(tried) < count:
        made.append(f"{count - len(tried)} of {count} links were not tried{_whose(found, isolated, hosts, tried)}")
    if isolated.unconfirmed:
        a, b = isolated.unconfirmed[0]
        made.append(
            f"{len(isolated.unconfirmed)} links that failed once, while many talked, and were not tried again, such as that between "
            f"{found.name(a)} and {found.name(b)}"
        )
    if isolated.unsure:
        names = [found.name(rank) for rank in isolated.unsure]
        made.append(
            f"whether {listed(names)} or those they were tried with are at fault: they fail with some and not with others"
        )
    return tuple(made)


def _link(direction: Pair) -> Pair:
    return min(direction), max(direction)


def _with_a_fault(found: Seen, isolated: Isolated, every: Iterable[Finding]) -> set[int]:
    rank_of = {name: rank for rank, name in enumerate(found.collected.names)}
    faulty = {*isolated.hosts, *isolated.unsure, *found.collected.gone, *(h for k in isolated.links for h in k)}
    for one in every:
        ends = () if one.bad else (end for k in one.diagnosis.links for end in (k.source, k.target))
        faulty |= {*one.bad, *(rank_of[end] for end in ends)}
    return faulty


def _whose(found: Seen, isolated: Isolated, hosts: set[int], tried: set[Pair]) -> str:
    """Of whom they are, where that can be said of all of them."""
    out = {*isolated.hosts, *isolated.unsure}
    others = hosts - out
    if not out or sum(not out & set(k) for k in tried) < len(others) * (len(others) - 1) // 2:
        return ""
    return f": those of {listed([found.name(h) for h in sorted(out)])}, once too many had failed"
