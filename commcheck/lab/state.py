"""The state of a lab that a fault could leave changed, to compare it with what was built.

A snapshot is a set of lines for each kind of thing in each place. What comes and goes by itself (counters, timers,
learned neighbours, addresses that the kernel makes when a link gets its carrier) is not in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from commcheck.lab.carriers import without_carrier
from commcheck.lab.host import Host, Space
from commcheck.lab.lab import Lab
from commcheck.lab.netlink import opened
from commcheck.lab.network import bridges
from commcheck.lab.sweep import end_programs, forget, sockets_counted

Snapshot = Mapping[str, frozenset[str]]

IFF_UP, IFF_RUNNING, IFF_LOWER_UP, IFF_DORMANT = 0x1, 0x40, 0x10000, 0x20000
TRANSIENT_FLAGS = IFF_RUNNING | IFF_LOWER_UP | IFF_DORMANT
RTEXT_FILTER_SKIP_STATS = 8
LINK_ATTRIBUTES = {
    "IFLA_IFNAME", "IFLA_ADDRESS", "IFLA_MTU", "IFLA_TXQLEN", "IFLA_QDISC", "IFLA_MASTER", "IFLA_LINK", "IFLA_GROUP",
    "IFLA_PROMISCUITY", "IFLA_ALLMULTI", "IFLA_GSO_MAX_SEGS", "IFLA_GSO_MAX_SIZE", "IFLA_GRO_MAX_SIZE",
    "IFLA_PROTO_DOWN", "IFLA_XDP", "IFLA_LINKINFO", "IFLA_AF_SPEC",
}  # fmt: skip
VOLATILE = re.compile(
    r"\('\w*(?:TIMER|TOPOLOGY|BRPORT_STATE|LEARNED|ROOT|DESIGNATED|CONFIG_PENDING|CACHEINFO|STATS|_AGE)\w*', "
    r"(?:\{[^{}]*\}|[^(){}]*)\)"
)
"""Attributes that change by themselves, as pyroute2 prints them."""
QDISC_ATTRIBUTES = {"TCA_KIND", "TCA_OPTIONS"}
ANNOUNCED = ("addresses", "routes", "rules", "qdiscs", "firewall")
"""The kinds of which the kernel tells those who listen when they change (`commcheck.lab.changes`).
Not of all that a link has: its gso_max_segs, for one."""
SYSCTLS = (
    "core", "ipv4", "ipv4/conf/all", "ipv4/conf/default", "ipv6", "ipv6/conf/all", "ipv6/conf/default", "netfilter",
    "unix",
)  # fmt: skip
"""Folders of settings below /proc/sys/net; those of single interfaces come with their links."""
SOCKET_TABLES = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6")
SMALL_TABLES = ("packet", "unix")
"""Below /proc/PID/net. The kernel walks all of its sockets for one of the former, and few for the latter."""
LATE = re.compile("'(fe80|ff00)")
"""What the kernel itself adds to an interface some time after its carrier is there."""


def snapshot(lab: Lab, known: Snapshot | None = None, changed: Iterable[str] = ()) -> Snapshot:
    """All that is compared, by "PLACE KIND" ("h0 addresses"), once what is no fault has been swept away.

    With `known`, an earlier snapshot, the kinds of ANNOUNCED are looked at in the `changed` places alone."""
    end_programs(lab)
    found: dict[str, frozenset[str]] = {}
    for space in (*lab.hosts, lab.switch):
        private = isinstance(space, Host)
        everything = known is None or space.name in changed
        look = partial(_network, space, () if private else bridges(lab.topology), lab.cables(space), everything)
        lines = space.inside(look, more=("uts",) if private else ())
        lines |= {"sockets": _sockets(space.pid)}
        if private:
            lines |= {"files": _files(space.pid, lab.private_files), "mounts": _lines(f"/proc/{space.pid}/mountinfo")}
        found |= {f"{space.name} {kind}": frozenset(those) for kind, those in lines.items()}
        if known is not None and not everything:
            found |= {key: known[key] for key in (f"{space.name} {kind}" for kind in ANNOUNCED)}
    found["processes"] = frozenset(strangers(lab))
    return found


def differences(before: Snapshot, now: Snapshot) -> list[str]:
    """What was lost and what is new, as readable lines; empty when the lab is as it was."""
    found = []
    for kind in sorted({*before, *now}):
        old, new = before.get(kind, frozenset()), now.get(kind, frozenset())
        lost, added = old - new, {line for line in new - old if not LATE.search(line)}
        # Of long lines that hardly differ, the differing parts are what tells.
        gone, come = ({part for line in lines for part in line.split(", ")} for lines in (lost, added))
        if lost or added:
            found.append(f"{kind}: lost {sorted(gone - come)}, new {sorted(come - gone)}")
    return found


def strangers(lab: Lab) -> Iterator[str]:
    """The processes in the lab's namespaces that are not its own."""
    own = {lab.switch.pid, *(host.pid for host in lab)}
    places: dict[str, str] = {}
    for space in (*lab.hosts, lab.switch):
        for kind in ("net", "mnt", "uts") if isinstance(space, Host) else ("net",):
            places[os.readlink(f"/proc/{space.pid}/ns/{kind}")] = space.name
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in own:
            try:
                where = {places.get(os.readlink(f"/proc/{entry}/ns/{kind}")) for kind in ("net", "mnt", "uts")} - {None}
                if where:
                    yield f"process {entry} ({Path('/proc', entry, 'comm').read_text().strip()}) in {where.pop()}"
            except OSError:  # it has ended meanwhile, or is no business of ours
                continue


def _network(
    space: Space, learning: Iterable[str], cables: Iterable[str], everything: bool
) -> dict[str, Iterable[str]]:
    """In the network itself: what netlink and /proc/sys tell; not `everything`: without the kinds of ANNOUNCED.

    `learning`: bridges there that learn where hosts are."""
    tables = Path("/proc/thread-self/net/ip_tables_names"), Path("/proc/thread-self/net/ip6_tables_names")
    with opened(space.name) as ip:
        found: dict[str, Iterable[str]] = {
            "links": [_line(m, LINK_ATTRIBUTES) for m in ip.get_links(ext_mask=RTEXT_FILTER_SKIP_STATS)],
            "neighbours": [_line(m, None) for m in forget(ip, learning)],
            "old tables": [line for file in tables for line in _lines(file)],
            "unplugged": without_carrier(cables),
            "settings": [*_sysctls(), f"hostname = {os.uname().nodename}"],
        }
        if everything:
            found |= {
                "addresses": [_line(m, None) for m in ip.get_addr()],
                "routes": [_line(m, None) for m in ip.get_routes(family=0)],
                "rules": [_line(m, None) for m in ip.get_rules(family=0)],
                "qdiscs": [_line(m, QDISC_ATTRIBUTES) for m in ip.get_qdiscs()],
                "firewall": _firewall(space),
            }
    return found


def _firewall(space: Space) -> list[str]:
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=0) as nft:
        if not list(nft.get_tables()):
            return []  # as in most hosts: spares a process
    return [space.command(["nft", "--stateless", "list", "ruleset"])]


def _line(message: Any, attributes: set[str] | None) -> str:
    """A netlink message without what changes by itself; `attributes`: only these, None: all."""
    if "ifi_type" in message:
        head = [f"index={message['index']}", f"flags={message['flags'] & ~TRANSIENT_FLAGS}"]
    else:
        # The flags of a route say whether its link has a carrier.
        skipped = {"flags"} if "dst_len" in message else set()
        head = [f"{name}={message[name]}" for name, *_ in message.fields if name not in skipped]
    picked = [item for item in message["attrs"] if attributes is None or item[0] in attributes]
    return VOLATILE.sub("", f"{' '.join(head)} {picked}")


def _sysctls() -> Iterator[str]:
    for folder in (f"/proc/sys/net/{name}" for name in SYSCTLS):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            try:
                handle = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # for writing alone
                continue
            try:
                yield f"{folder}/{name} = {os.read(handle, 4096).decode().strip()}"
            except OSError:  # a folder, or a setting of a protocol that is not there
                continue
            finally:
                os.close(handle)


def _sockets(pid: int) -> Iterator[str]:
    for table in SOCKET_TABLES if sockets_counted(pid) else ():
        for line in _lines(f"/proc/{pid}/net/{table}")[1:]:
            fields = line.split()
            yield f"{table} from {fields[1]} to {fields[2]}, state {fields[3]}, inode {fields[9]}"
    for table in SMALL_TABLES:
        yield from (f"{table} {line}" for line in _lines(f"/proc/{pid}/net/{table}")[1:])


def _files(pid: int, files: Iterable[str]) -> Iterator[str]:
    for name in files:
        path = Path(f"/proc/{pid}/root{name}")
        if path.is_dir():
            yield from (f"{name}/{entry}" for entry in os.listdir(path))
        else:
            yield f"{name} {path.stat().st_mode:o} {path.read_text(encoding='utf-8', errors='replace')!r}"


def _lines(file: str | Path) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # a kernel without that protocol
        return []
