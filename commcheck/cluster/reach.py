"""Who reaches whom, and where not: the matrix of letters, and what is wrong by it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from commcheck.cluster.blame import blame, groups
from commcheck.cluster.reach_neighbours import neighbour_wrong, told_wrong
from commcheck.cluster.rounds import Pair
from commcheck.cluster.saying import diagnosis, listed, network_fix, seen, some
from commcheck.cluster.values import Collected, Reached
from commcheck.model.base import Value
from commcheck.model.cluster import Reach
from commcheck.model.diagnosis import Diagnosis, Evidence, EvidenceKind, Link
from commcheck.model.taxonomy import Symptom

SILENT = (Reach.DROPPED, Reach.NO_ROUTE, Reach.NO_NEIGHBOUR)
"""What keeps all from passing."""


class Finding(Value, frozen=True):
    """A diagnosis, and the hosts that are better left out for it: none, where a link is bad and no host."""

    diagnosis: Diagnosis
    bad: tuple[int, ...] = ()


class Seen(Value, frozen=True):
    """What was collected, ready to be asked. `names_count`: some host's name has an address on another host."""

    collected: Collected
    by_pair: dict[Pair, Reached]
    letters: dict[Pair, Reach]
    names_count: bool

    def name(self, rank: int) -> str:
        """Of a host."""
        return self.collected.names[rank]

    def links(self, directions: Iterable[Pair]) -> tuple[Link, ...]:
        """Directions by the names of their hosts."""
        return tuple(Link(source=self.name(a), target=self.name(b)) for a, b in directions)


def look(collected: Collected) -> Seen:
    """Sort what was collected."""
    by_pair = {(a, r.rank): r for a, found in collected.reached.items() for r in found}
    names_count = any(r.named for r in by_pair.values())
    letters = {d: letter(r, own_addresses(collected, r.rank) if names_count else None) for d, r in by_pair.items()}
    for (a, b), one in by_pair.items():
        # The way back swallows all that is large; here some of it came through before, and then none.
        if one.large is Reach.DROPPED and letters.get((b, a)) is Reach.SMALL_ONLY:
            letters[a, b] = Reach.SMALL_ONLY
    return Seen(collected=collected, by_pair=by_pair, letters=letters, names_count=names_count)


def own_addresses(collected: Collected, rank: int) -> frozenset[str]:
    """All addresses of a host."""
    facts = collected.cards[rank].facts
    return frozenset(a.address for i in facts.interfaces for a in i.addresses if not i.loopback)


def letter(one: Reached, own: frozenset[str] | None) -> Reach:
    """What came of one direction, in one letter. `own`: the target's addresses; None: names are not used here."""
    kinds = {t.reach for t in one.ports}
    if Reach.OK not in kinds:
        for kind in (Reach.WRONG_VALUES, Reach.NO_NEIGHBOUR, Reach.NO_ROUTE, Reach.DROPPED, Reach.REFUSED):
            if kind in kinds:
                return kind
        return Reach.NOT_TRIED
    if one.large in {Reach.SMALL_ONLY, Reach.WRONG_VALUES, Reach.DROPPED}:
        return one.large
    if len(kinds) > 1:
        return Reach.SOME_PORTS
    if own is not None and not own & set(one.named):
        return Reach.UNRESOLVED
    return Reach.OK


def matrix(found: Seen) -> tuple[str, ...]:
    """A row per source."""
    ranks = range(len(found.collected.names))
    return tuple(
        "".join(Reach.ITSELF if a == b else found.letters.get((a, b), Reach.NOT_TRIED) for b in ranks) for a in ranks
    )


def findings(found: Seen) -> list[Finding]:
    """What is wrong with names, routes, ports and large pieces."""
    parted, across = _partition(found) or (None, frozenset[Pair]())
    made: list[Finding] = [] if parted is None else [parted]
    for kind, say in _KINDS.items():
        failing = {d for d, k in found.letters.items() if k is kind and not (k in SILENT and d in across)}
        if failing:
            made += _blamed(found, failing, say)
    return made


Say = Callable[[Seen, str, tuple[Pair, ...], str], Diagnosis]
"""From the host's name ("" for a link), its directions and its side to what is said of it."""


def _blamed(found: Seen, failing: set[Pair], say: Say) -> list[Finding]:
    blamed = blame(failing, found.letters)
    made = []
    for host, side in sorted(blamed.hosts.items()):
        made.append(Finding(diagnosis=say(found, found.name(host), blamed.of(host, failing), side), bad=(host,)))
    done: set[Pair] = set()
    for a, b in blamed.links:
        if (a, b) not in done:
            both = tuple(d for d in ((a, b), (b, a)) if d in failing)
            done |= set(both)
            made.append(Finding(diagnosis=say(found, "", both, "both" if len(both) > 1 else "in")))
    return made


def _partition(found: Seen) -> tuple[Finding, frozenset[Pair]] | None:
    """At least two groups of two that reach each other inside, and nothing across; and what was tried across."""
    good = {d for d, k in found.letters.items() if k not in SILENT}
    parts = _apart(found, [p for p in groups(good, sorted(found.collected.reached)) if len(p) > 1])
    where = {host: number for number, part in enumerate(parts) for host in part}
    across = sorted((a, b) for a, b in found.letters if where.get(a, -1) != where.get(b, -1) and {a, b} <= where.keys())
    if len(parts) < 2 or any(d in good for d in across):
        return None
    texts = [", ".join(found.name(h) for h in p[:6]) + (", ..." if len(p) > 6 else "") for p in parts]
    evidence = [seen(f"{text}: each reaches the others of them", "own connections") for text in texts]
    evidence.append(seen(f"of {len(across)} connections between the groups none was answered", "own connections"))
    made = Finding(
        diagnosis=diagnosis(
            "partition",
            f"The hosts fall into {len(parts)} groups that cannot reach each other: {' | '.join(texts)}",
            0.95,
            links=found.links(across[:20]),
            evidence=evidence,
            fixes=(network_fix("restore the path between the groups (a switch, a VLAN, a route), or run inside one"),),
        )
    )
    return made, frozenset(across)


def _apart(found: Seen, parts: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Of these groups those of which some have tried each other: of others nothing is known."""
    kept: list[tuple[int, ...]] = []
    where = {host: number for number, part in enumerate(parts) for host in part}
    met = {(where[a], where[b]) for a, b in found.letters if a in where and b in where}
    for number in sorted(range(len(parts)), key=lambda n: -len(parts[n])):
        if all({(number, other), (other, number)} & met for other in map(parts.index, kept)):
            kept.append(parts[number])
    return sorted(kept)


# --- what is said of each letter ---------------------------------------------------------------------------


def _tries(found: Seen, directions: tuple[Pair, ...]) -> tuple[Evidence, ...]:
    texts = []
    for a, b in directions:
        one = found.by_pair[a, b]
        bad = [t for t in one.ports if t.reach is not Reach.OK]
        good = [str(t.port) for t in one.ports if t.reach is Reach.OK]
        what = ", ".join(f"{t.port} {_WORDS[t.reach]}" for t in bad[:8])
        address = found.collected.targets[b].address
        rest = f"; works: {', '.join(good)}" if good and bad else ""
        texts.append(f"{found.name(a)} to {found.name(b)} at {address}: {what or one.large_detail}{rest}")
    return some([seen(text, "own connections") for text in texts])


_WORDS = {
    Reach.DROPPED: "no answer",
    Reach.REFUSED: "refused",
    Reach.NO_ROUTE: "no route",
    Reach.NO_NEIGHBOUR: "no answer to ARP",
    Reach.WRONG_VALUES: "another program answered",
}


def _opposite(found: Seen, directions: tuple[Pair, ...]) -> tuple[Evidence, ...]:
    """What works the other way round."""
    back = [
        (b, a) for a, b in directions if found.letters.get((b, a)) in {Reach.OK, Reach.SOME_PORTS, Reach.UNRESOLVED}
    ]
    return some([seen(f"{found.name(a)} to {found.name(b)}: works", "own connections") for a, b in back])


def _who(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> tuple[str, tuple[str, ...]]:
    """`to h3`, `from h3`, `between h3 and the others`, `from h1 to h2`; and the hosts that are named."""
    if host:
        text = {"in": f"to {host}", "out": f"from {host}", "both": f"between {host} and the others"}[side]
        return text, (host,)
    a, b = (found.name(r) for r in directions[0])
    return (f"between {a} and {b}" if side == "both" else f"from {a} to {b}"), (a, b)


def _dropped(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    told = told_wrong(found, directions)
    if told and all((a, b) in told or (b, a) in told for a, b in directions):  # else it is not why the others fail
        return neighbour_wrong(found, told)
    where, hosts = _who(found, host, directions, side)
    back = _opposite(found, directions)
    stands = [d for d in directions if any(t.reach is Reach.OK for t in found.by_pair[d].ports)]
    if stands:
        title, cause = f"Connections {where} stand, and stop after some bytes", "data-ports-dropped"
    elif back and side != "both":
        title, cause = (
            f"Connections {where} get no answer on any tried port; the other way round they work",
            "one-way-blocked",
        )
    else:
        title, cause = f"Nothing that is sent {where} is answered, on any tried port", "port-dropped"
    target = found.name(directions[0][1])
    return diagnosis(
        cause,
        title,
        0.92 if host else 0.88,
        hosts=hosts,
        links=found.links(directions),
        evidence=(*_tries(found, directions), *back),
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        fixes=(network_fix(f"open TCP between the hosts of the job on {host or target}", _open(1024, 65535)),),
    )


def _open(low: int, high: int) -> str:
    return (
        f"sudo nft insert rule inet filter input tcp dport {low}-{high} accept"
        f"   # or: sudo iptables -I INPUT -p tcp --dport {low}:{high} -j ACCEPT"
    )


def _refused(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    where, hosts = _who(found, host, directions, side)
    return diagnosis(
        "port-refused",
        f"Connections {where} are refused on every tried port, where commcheck listens: a firewall rejects them",
        0.9,
        hosts=hosts,
        links=found.links(directions),
        evidence=_tries(found, directions),
        fixes=(network_fix("let TCP between the hosts of the job through", _open(1024, 65535)),),
    )


def _some_ports(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    where, hosts = _who(found, host, directions, side)
    tries = [t for d in directions for t in found.by_pair[d].ports]
    dropped = sum(t.reach is Reach.DROPPED for t in tries)
    refused = sum(t.reach is Reach.REFUSED for t in tries)
    ports = sorted({t.port for t in tries if t.reach is not Reach.OK})
    word, cause = ("refused", "data-ports-refused") if refused > dropped else ("dropped", "data-ports-dropped")
    between = f"{ports[0]} to {ports[-1]}" if len(ports) > 1 else str(ports[0])
    of = len({t.port for t in tries})
    known = f"{len(ports)} of {of} tried ports ({between})" if len(ports) > 1 else f"port {between}, of {of} tried,"
    if not host:
        hosts = (found.name(directions[0][1]), found.name(directions[0][0]))
    return diagnosis(
        cause,
        f"Connections {where} are {word} on {known}; the others work",
        0.93 if host else 0.85,
        hosts=hosts,
        links=found.links(directions),
        evidence=_tries(found, directions),
        fixes=(network_fix("open all TCP ports between the hosts of the job", _open(1024, 65535)),),
    )


def _no_route(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    where, hosts = _who(found, host, directions, side)
    targets = sorted({found.collected.targets[b].address for _, b in directions})
    return diagnosis(
        "route-missing",
        f"There is no route {where}",
        0.92,
        hosts=hosts,
        links=found.links(directions),
        evidence=(*_tries(found, directions), *_opposite(found, directions)),
        fixes=(network_fix("add the route, or mend it", f"ip route get {targets[0]}   # on {hosts[0]}"),),
    )


def _no_neighbour(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    where, hosts = _who(found, host, directions, side)
    return diagnosis(
        "neighbour-silent",
        f"ARP is not answered {where}: it is not to be found in its network"
        if host
        else f"ARP is not answered {where}",
        0.9,
        hosts=hosts,
        links=found.links(directions),
        evidence=_tries(found, directions),
        fixes=(network_fix("see that the interface is up and in the same VLAN", "ip neigh; ip -br link"),),
    )


def _small_only(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    where, hosts = _who(found, host, directions, side)
    shown = []
    for rank in sorted({r for d in directions for r in d})[:4]:
        name = found.collected.interfaces.get(rank, "")
        one = next((i for i in found.collected.cards[rank].facts.interfaces if i.name == name), None)
        if one is not None:
            shown.append(seen(f"{found.name(rank)}: {name} has MTU {one.mtu}", "interfaces", EvidenceKind.FACT))
    return diagnosis(
        "mtu-mismatch",
        f"Small packets pass {where}, large ones vanish: the path carries less than the interfaces' MTU",
        0.93 if host else 0.88,
        hosts=hosts,
        links=found.links(directions),
        evidence=(*_tries(found, directions), *shown),
        fixes=(
            network_fix(
                "give interfaces and switch ports of the network one MTU",
                "sudo ip link set dev IFACE mtu 1400   # find the size with: ping -M do -s 1372 HOST",
            ),
        ),
    )


def _wrong(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    where, hosts = _who(found, host, directions, side)
    if any(found.by_pair[d].large is Reach.WRONG_VALUES for d in directions):
        return diagnosis(
            "wrong-values",
            f"What is sent {where} arrives changed: another checksum than was sent, without any error",
            0.9,
            hosts=hosts,
            links=found.links(directions),
            evidence=_tries(found, directions),
            fixes=(
                network_fix(
                    "leave the host out, and test its memory and its card; offloads of the card may be at fault",
                    "sudo ethtool -K IFACE rx off tx off gro off tso off   # to see whether it is the card",
                ),
            ),
        )
    return diagnosis(
        "duplicate-address",
        f"Somebody else answers connections {where}",
        0.6,
        hosts=hosts,
        links=found.links(directions),
        evidence=_tries(found, directions),
        fixes=(network_fix("see who has the address", "arping -I IFACE ADDRESS   # two hardware addresses answer"),),
    )


def _names(found: Seen, host: str, directions: tuple[Pair, ...], side: str) -> Diagnosis:
    asks = host if side == "out" else ""
    sources = (asks,) if asks else tuple(dict.fromkeys(found.name(a) for a, _ in directions))
    wrong = [d for d in directions if found.by_pair[d].named]
    shown = []
    for a, b in wrong or directions:
        one, name = found.by_pair[a, b], found.collected.targets[b].name
        what = f"is {', '.join(one.named)}" if one.named else f"has no address ({one.name_error})"
        shown.append(
            seen(f"on {found.name(a)} {name} {what}; it is {found.collected.targets[b].address}", "name look-up")
        )
    targets = tuple(dict.fromkeys(found.collected.targets[b].name for _, b in directions))
    where = listed(sources) if len(sources) <= 3 else f"{len(sources)} hosts"
    if wrong:
        what = f"another address than {'its' if len(targets) == 1 else 'their'} own"
        title, cause, sure = f"{listed(targets)} has {what} on {where}", "host-resolves-differently", 0.95
    else:
        title, cause, sure = f"{listed(targets)} has no address on {where}", "host-unresolvable", 0.9
    if len(targets) > 1:
        title = title.replace(" has ", " have ", 1)
    return diagnosis(
        cause,
        title,
        sure,
        hosts=(host,) if host else sources,
        links=found.links(directions),
        evidence=some(shown),
        fixes=(
            network_fix(
                f"repair the entry in /etc/hosts or DNS on {where}", f"getent ahosts {targets[0]}   # on {sources[0]}"
            ),
        ),
    )


_KINDS: dict[Reach, Say] = {
    Reach.NO_NEIGHBOUR: _no_neighbour,
    Reach.NO_ROUTE: _no_route,
    Reach.DROPPED: _dropped,
    Reach.REFUSED: _refused,
    Reach.SOME_PORTS: _some_ports,
    Reach.SMALL_ONLY: _small_only,
    Reach.WRONG_VALUES: _wrong,
    Reach.UNRESOLVED: _names,
}
