"""A firewall that swallows or rejects packets that arrive at a host, or sends connections elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from commcheck.lab.host import Host, Space

_TABLES = count(1)
ACTIONS = {"drop": "drop", "reject": "reject with tcp reset"}


def rules(
    table: str,
    action: str,
    *,
    ports: str = "",
    source: str = "",
    family: str = "ip",
    protocol: str = "tcp",
    loopback: bool = False,
) -> str:
    """The nft text of one table with one rule. Pure.

    `ports` is an nft expression: "29500", "!= 29500", "{ 1-100 }"; `source` an address; empty means any. `loopback`:
    it also holds for what the host sends to itself, as with rules that forget that interface."""
    parts = [] if loopback else ["iifname != lo"]
    parts += [f"{family} saddr {source}"] if source else []
    parts.append(f"{protocol} dport {ports}" if ports else f"meta l4proto {protocol}")
    # Only what a peer starts: the answers to a connection that the host itself opened still arrive, as with
    # the stateful firewalls that hosts really have, so "one direction only" means who may connect to whom.
    parts.append("ct state new")
    return _table(table, f"{' '.join(parts)} counter {ACTIONS[action]}")


def _table(name: str, rule: str) -> str:
    return f"""table inet {name} {{
        chain input {{
            type filter hook input priority 0; policy accept;
            {rule}
        }}
    }}
    """


@contextmanager
def blocked(
    space: Space, action: str = "drop", *, ports: str = "", source: str = "", loopback: bool = False
) -> Iterator[None]:
    """New TCP connections to `space` meet `action` ("drop": silence, "reject": a reset) while this is open.

    `ports`: which ones, as nft writes it (default all); `source`: only from this address, or from "{ several }".
    `loopback`: the host's own connections to itself too."""
    table = f"commcheck{next(_TABLES)}"
    family = "ip6" if ":" in source else "ip"
    space.nft(rules(table, action, ports=ports, source=source, family=family, loopback=loopback))
    try:
        yield
    finally:
        space.nft(f"delete table inet {table}\n")


@contextmanager
def one_way(host: Host, peer: Host, action: str = "drop") -> Iterator[None]:
    """Not one packet of `peer` arrives at `host`, while those of `host` still arrive at `peer`.

    Unlike `blocked` this has no memory of connections: answers are swallowed as well."""
    table = f"commcheck{next(_TABLES)}"
    family = "ip6" if ":" in peer.address else "ip"
    host.nft(_table(table, f"{family} saddr {peer.address} meta l4proto tcp {ACTIONS[action]}"))
    try:
        yield
    finally:
        host.nft(f"delete table inet {table}\n")


@contextmanager
def redirected(host: Host, address: str, port: int, to: str, to_port: int) -> Iterator[None]:
    """Connections that `host` opens to `address` and `port` end at `to` and `to_port`, as with a transparent proxy."""
    table = f"commcheck{next(_TABLES)}"
    host.nft(
        f"""table ip {table} {{
            chain output {{
                type nat hook output priority -100; policy accept;
                ip daddr {address} tcp dport {port} dnat to {to}:{to_port}
            }}
        }}
        """
    )
    try:
        yield
    finally:
        host.nft(f"delete table ip {table}\n")
