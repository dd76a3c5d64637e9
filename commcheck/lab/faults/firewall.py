"""Rules of a firewall, and those that swallow or reject packets that arrive at a host."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from commcheck.lab.host import Space

_TABLES = count(1)
SYN = "tcp flags & (fin | syn | rst | ack) == syn"
ACTIONS = {"drop": "drop", "reject": "reject with tcp reset", "prohibit": "reject with icmpx type admin-prohibited"}


@contextmanager
def chain(
    space: Space, rules: Sequence[str], *, family: str = "inet", hook: str = "filter hook input"
) -> Iterator[str]:
    """A table of its own with one chain of `rules` is in force in `space`. Gives its name."""
    name = f"commcheck{next(_TABLES)}"
    lines = "\n".join(rules)
    space.nft(f"table {family} {name} {{\n chain one {{\n type {hook} priority 0; policy accept;\n{lines}\n }}\n}}\n")
    try:
        yield name
    finally:
        space.nft(f"delete table {family} {name}\n")


def matching(*, ports: str = "", sources: Sequence[str] = (), loopback: bool = False, new: bool = True) -> list[str]:
    """What the packets are that a rule is about, as nft writes it: one line per address family. Pure.

    `ports`: to these TCP ports ("29500", "!= 29500", "{ 1-100 }"; default all). `sources`: from these addresses alone.
    `loopback`: also what the host sends to itself, as with rules that forget that interface. `new`: only what opens a
    connection."""
    # Only what a peer starts: the answers to a connection that the host itself opened still arrive, as with
    # the stateful firewalls that hosts really have, so "one direction only" means who may connect to whom.
    # Not by "ct state new": a connection that is older than the rule is new to it, and would be cut.
    what = f"tcp dport {ports}" if ports else "meta l4proto tcp"
    rest = [what, *([SYN] if new else [])]
    where = [] if loopback else ["iifname != lo"]
    if not sources:
        return [" ".join(where + rest)]
    lines = []
    for family in ("ip", "ip6"):
        own = [source for source in sources if (":" in source) == (family == "ip6")]
        if own:
            lines.append(" ".join([*where, f"{family} saddr {{ {', '.join(own)} }}", *rest]))
    return lines


@contextmanager
def counted(space: Space, which: Sequence[str], packets: int) -> Iterator[None]:
    """Of each TCP connection among `which`, only the first `packets` arrive at `space`."""
    # A limit of next to nothing an hour, with a burst: what is over the burst is over the limit.
    over = f"limit rate over 1/hour burst {packets} packets"
    name = f"commcheck{next(_TABLES)}"
    sets, rules = [], []
    for family, kind in (("ip", "ipv4_addr"), ("ip6", "ipv6_addr")):
        key = f"{kind} . inet_service . inet_service"
        sets.append(f"set seen_{family} {{\n type {key}\n flags dynamic\n size 65535\n}}")
        own = f"add @seen_{family} {{ {family} saddr . tcp sport . tcp dport {over} }}"
        rules += [
            f"iifname != lo meta nfproto {'ipv4' if family == 'ip' else 'ipv6'} {w} {own} counter drop" for w in which
        ]
    text = "\n".join(sets)
    space.nft(
        f"table inet {name} {{\n{text}\n chain one {{\n type filter hook input priority 0\n"
        + "\n".join(rules)
        + "\n}\n}\n"
    )
    try:
        yield
    finally:
        space.nft(f"delete table inet {name}\n")


@contextmanager
def barrier(
    space: Space,
    action: str,
    *,
    ports: str = "",
    sources: Sequence[str] = (),
    loopback: bool = False,
    new: bool = True,
) -> Iterator[None]:
    """TCP packets to `space` meet `action` ("drop": silence, "reject": a reset, "prohibit": an ICMP
    message); which ones: see `matching`."""
    which = matching(ports=ports, sources=sources, loopback=loopback, new=new)
    with chain(space, [f"{line} counter {ACTIONS[action]}" for line in which]):
        yield
