"""Take away what a world leaves behind even when nothing went wrong: it is no fault, and must not shape the next one."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from commcheck.lab.lab import Lab

NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
ROUTE_CACHES = (Path("/proc/sys/net/ipv4/route/flush"), Path("/proc/sys/net/ipv6/route/flush"))


def end_programs(lab: Lab) -> None:
    """End the programs of the hosts and the connections that nobody holds any more; empty their own /dev/shm."""
    for host in lab:
        host.stop_programs()
        if lab.topology.shm is not None:
            _empty(host.path("/dev/shm"))  # noqa: S108
    for space in (*lab.hosts, lab.switch):
        if sockets_counted(space.pid):
            # In TIME_WAIT, or closed with data that was never acknowledged: they would hold ports for minutes. What
            # listens has an owner, and is left for the comparison to find.
            space.command(["ss", "--kill", "--tcp", "--no-header", "state", "connected"])


def forget(ip: Any, bridges: Iterable[str]) -> list[Any]:
    """Flush connections, learned neighbours and learned paths of the network that this thread is in.

    Gives the neighbours that somebody has set for good."""
    lasting = []
    if COUNT.exists() and COUNT.read_text(encoding="ascii").strip() != "0":
        from pyroute2 import Conntrack

        with Conntrack() as connections:
            connections.flush()
    for neighbour in ip.get_neighbours():
        if neighbour["state"] & NUD_PERMANENT:
            lasting.append(neighbour)
        elif not neighbour["state"] & NUD_NOARP:
            _drop(ip, neighbour)
    for bridge in bridges:
        ip.link("set", index=socket.if_nametoindex(bridge), kind="bridge", br_fdb_flush=True)
    for file in ROUTE_CACHES:
        if file.exists():
            file.write_text("1", encoding="ascii")
    return lasting


def _drop(ip: Any, neighbour: Any) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    with suppress(NetlinkError):  # the kernel may have been quicker
        ip.neigh("del", ifindex=neighbour["ifindex"], dst=neighbour.get("NDA_DST"), family=neighbour["family"])


def _empty(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def sockets_counted(pid: int) -> int:
    """How many internet sockets there are in the network of `pid`, those in TIME_WAIT too."""
    total = 0
    for file in ("sockstat", "sockstat6"):
        for line in Path(f"/proc/{pid}/net/{file}").read_text(encoding="ascii").splitlines():
            what, *fields = line.split()
            if what.removesuffix(":").removesuffix("6") in {"TCP", "UDP", "UDPLITE", "RAW"}:
                total += sum(
                    int(n) for name, n in zip(fields[::2], fields[1::2], strict=True) if name in {"inuse", "tw"}
                )
    return total
