"""What is wrong with the speed of hosts and links: slow, late, losing packets, or slow only while others talk. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from commcheck.cluster import speed
from commcheck.cluster.blame import blame
from commcheck.cluster.reach import Finding, Seen
from commcheck.cluster.rounds import Pair
from commcheck.cluster.saying import diagnosis, network_fix, seen, some
from commcheck.model.diagnosis import Diagnosis, Fix
from commcheck.model.taxonomy import FixPattern, Symptom

STILL = 0.5
"""Of a host's links that were measured again, those that have to be bad again."""

Text = Callable[[float], str]


def findings(found: Seen) -> list[Finding]:
    """All of it. A host that loses packets is slow for it, and late: that is said of it once."""
    measured = (*found.collected.quiet, *found.collected.again)
    lost = _lossy(found, speed.losses(measured))
    known = {h for f in lost for h in f.bad}
    known_links = {frozenset((k.source, k.target)) for f in lost for k in f.diagnosis.links}
    rates = speed.rates(measured)
    slow = _slow(found, rates, known)
    slow = [f for f in slow if f.bad or not _in(f.diagnosis, known_links)]
    known |= {h for f in slow for h in f.bad}
    late = _late(found, speed.latencies(measured), known)
    late = [f for f in late if f.bad or not _in(f.diagnosis, known_links)]
    return [*lost, *slow, *late, *_wrong(found), *_crowded(found, rates, known)]


def _in(one: Diagnosis, links: Collection[frozenset[str]]) -> bool:
    return any(frozenset((k.source, k.target)) in links for k in one.links)


def _without(known: Collection[int], values: Mapping[Pair, float]) -> dict[Pair, float]:
    """What was measured between other hosts: what is bad about these ones counts neither for nor against the others."""
    return {d: value for d, value in values.items() if not set(d) & set(known)}


def _confirmed(found: Seen, bad: Collection[Pair], without: Collection[int]) -> set[Pair]:
    """Directions that were bad again when they were measured alone, and those of a host of which such ones are most."""
    again = {d for d, _ in speed.flows(found.collected.again)}
    sure = {d for d in bad if d in again}
    for host in {h for d in bad for h in d}:
        asked = [d for d in again if host in d and not set(d) & set(without) - {host}]
        if asked and sum(d in bad for d in asked) >= max(1, STILL * len({frozenset(d) for d in asked})):
            sure |= {d for d in bad if host in d}
    return sure


def _slow(found: Seen, rates: Mapping[Pair, float], known: Collection[int]) -> list[Finding]:
    below = speed.doubtless(found.collected.cards.values())
    out = {d: u for d, u in speed.slow(rates, below).items() if not set(d) & set(known)}
    bad = _confirmed(found, out, known)
    made = []
    for who, directions, side in _blamed(found, bad, _without(known, rates)):
        usual = max(out[d].middle for d in directions)
        best = max(rates[d] for d in directions)
        what = {"in": f"What {who} receives", "out": f"What {who} sends", "both": f"The network of {who}"}[side]
        title = f"{what if who else _link(found, directions)} comes to {_rate(best)}, the others' to {_rate(usual)}"
        shown = [seen(f"{_way(found, d)}: {_rate(rates[d])}", "own stream, alone on its link") for d in directions]
        made.append(
            _finding(
                found,
                diagnosis(
                    "link-slow",
                    title,
                    0.9 if who else 0.8,
                    hosts=_hosts(found, who, directions),
                    links=found.links(directions),
                    evidence=(
                        *some(shown),
                        seen(f"usual: {_rate(usual)} (median of the links of others)", "own streams"),
                    ),
                    fixes=(
                        network_fix(
                            "correct the negotiated speed, lift the rate limit, or name the fast interface",
                            "ethtool IFACE | grep Speed; tc qdisc show dev IFACE",
                        ),
                    ),
                ),
                who,
            )
        )
    return made


def _late(found: Seen, times: Mapping[Pair, float], known: Collection[int]) -> list[Finding]:
    out = {d: u for d, u in speed.late(times).items() if not set(d) & set(known)}
    bad = _confirmed(found, out, known)
    made = []
    for who, directions, _ in _blamed(found, bad, _without(known, times)):
        usual = min(out[d].middle for d in directions)
        best = min(times[d] for d in directions)
        title = f"{f'Answers of {who}' if who else _link(found, directions) + ': answers'} take {_time(best)}, those of the others {_time(usual)}"
        shown = [
            seen(f"{_way(found, d)}: {_time(times[d])} there and back", "median of connections") for d in directions
        ]
        made.append(
            _finding(
                found,
                diagnosis(
                    "link-slow",
                    title,
                    0.8 if who else 0.7,
                    hosts=_hosts(found, who, directions),
                    links=found.links(directions),
                    evidence=(*some(shown), seen(f"usual: {_time(usual)}", "medians of connections")),
                    fixes=(
                        network_fix(
                            "see which way the packets take, and what else the host is busy with",
                            "traceroute -n HOST; cat /proc/loadavg; ethtool -c IFACE",
                        ),
                    ),
                ),
                who,
            )
        )
    return made


def _lossy(found: Seen, counts: Mapping[Pair, tuple[int, int]]) -> list[Finding]:
    bad = speed.lossy(counts)
    made = []
    for who, directions, side in _blamed(found, set(bad), counts):
        sent = sum(counts[d][0] for d in directions)
        lost = sum(counts[d][1] for d in directions)
        way = {"in": f"on the way to {who}", "out": f"on the way from {who}", "both": f"to and from {who}"}[side]
        where = way if who else "on " + _link(found, directions)
        shown = [seen(f"{_way(found, d)}: {_loss(counts[d])}", "TCP_INFO of small packets") for d in directions]
        clean = [d for d, (n, x) in counts.items() if n and not x]
        shown_clean = seen(f"nothing was lost on {len(clean)} of {len(counts)} directions", "TCP_INFO of small packets")
        made.append(
            _finding(
                found,
                diagnosis(
                    "link-lossy",
                    f"Packets are lost {where}: {100 * lost / sent:.2g} % of those sent",
                    0.93 if lost >= 8 else 0.75,
                    hosts=_hosts(found, who, directions),
                    links=found.links(directions),
                    evidence=(*some(shown), shown_clean),
                    fixes=(
                        Fix(
                            pattern=FixPattern.CHANGE_HARDWARE,
                            text="replace the cable, transceiver or port; until then leave the host out of the job",
                            commands=(
                                "ethtool -S IFACE | grep -iE 'err|drop|crc'   # and the counters of the switch's port",
                            ),
                        ),
                    ),
                ),
                who,
            )
        )
    return made


def _wrong(found: Seen) -> list[Finding]:
    """Streams whose last bytes were not those that were sent."""
    c = found.collected
    every = speed.flows((*c.quiet, *c.again, *c.loaded, *c.loaded_again))
    bad = {d for d, flow in every if not flow.right}
    made = []
    for who, directions, _ in _blamed(found, bad, {d: 0 for d, _ in every}):
        shown = [seen(f"{_way(found, d)}: other bytes than were sent", "own stream") for d in directions]
        made.append(
            _finding(
                found,
                diagnosis(
                    "wrong-values",
                    f"What {f'{who} sends or receives' if who else _link(found, directions) + ' carries'} arrives changed",
                    0.95,
                    hosts=_hosts(found, who, directions),
                    links=found.links(directions),
                    evidence=some(shown),
                    fixes=(network_fix("leave the host out, and test its memory and its card"),),
                ),
                who,
            )
        )
    return made


def _crowded(found: Seen, alone: Mapping[Pair, float], known: Collection[int]) -> list[Finding]:
    c = found.collected
    first = speed.crowded_out(alone, c.loaded)
    second = speed.crowded_out(alone, c.loaded_again)
    made = []
    for host in sorted(first.keys() & second.keys() - set(known)):
        left, usual = max(first[host], second[host])
        name = found.name(host)
        samples = sum(host in d for d, f in speed.flows(c.loaded) if f.gbit is not None)
        shown = (
            seen(f"of its rate alone {100 * first[host][0]:.0f} % is left while all talk", f"{samples} streams"),
            seen(f"measured once more: {100 * second[host][0]:.0f} %", "own streams"),
            seen(f"of the others' rates {100 * usual:.0f} % is left (median)", "own streams"),
        )
        made.append(
            Finding(
                diagnosis=diagnosis(
                    "link-slow",
                    f"{name} is slow only while others talk: {100 * left:.0f} % of its rate alone is left, "
                    f"of the others' {100 * usual:.0f} %",
                    0.85,
                    hosts=(name,),
                    symptom=Symptom.PERF_LOW_EFFICIENCY,
                    evidence=shown,
                    fixes=(
                        network_fix(
                            "see what the host shares with others: an uplink, a switch's buffer, a card of several "
                            "machines, a lower class of service",
                            "tc -s class show dev IFACE; ethtool -S IFACE | grep -iE 'drop|discard|pause'",
                        ),
                    ),
                ),
                bad=(host,),
            )
        )
    return made


# --- words ------------------------------------------------------------------------------------------------


def _blamed(
    found: Seen, bad: Collection[Pair], tried: Mapping[Pair, object]
) -> list[tuple[str, tuple[Pair, ...], str]]:
    """Hosts by name ("" for a link), with the directions that are bad and their side."""
    if not bad:
        return []
    blamed = blame(bad, tuple(tried))
    made = [(found.name(h), blamed.of(h, bad), side) for h, side in sorted(blamed.hosts.items())]
    pairs = dict.fromkeys((min(d), max(d)) for d in blamed.links)
    for a, b in pairs:
        both = tuple(d for d in ((a, b), (b, a)) if d in bad)
        made.append(("", both, "both"))
    return made


def _finding(found: Seen, made: Diagnosis, who: str) -> Finding:
    return Finding(diagnosis=made, bad=(found.collected.names.index(who),) if who else ())


def _hosts(found: Seen, who: str, directions: tuple[Pair, ...]) -> tuple[str, ...]:
    return (who,) if who else tuple(dict.fromkeys(found.name(r) for r in directions[0]))


def _link(found: Seen, directions: tuple[Pair, ...]) -> str:
    a, b = sorted(directions[0])
    return f"the link between {found.name(a)} and {found.name(b)}"


def _way(found: Seen, direction: Pair) -> str:
    return f"{found.name(direction[0])} to {found.name(direction[1])}"


def _rate(gbit: float) -> str:
    return f"{gbit:.1f} Gbit/s" if gbit >= 1 else f"{1000 * gbit:.3g} Mbit/s"


def _time(us: float) -> str:
    return f"{us / 1000:.1f} ms" if us >= 1000 else f"{us:.0f} us"


def _loss(count: tuple[int, int]) -> str:
    sent, lost = count
    return f"{lost} of {sent} packets were lost ({100 * lost / sent if sent else 0:.1f} %)"
