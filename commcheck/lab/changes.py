"""Where in a lab something was changed: the kernel tells, so that only there all has to be compared."""

from __future__ import annotations

import errno
import socket

from commcheck.lab.lab import Lab

NETLINK_NETFILTER = 12
# Bits of rtnetlink groups (linux/rtnetlink.h): links, queues, addresses, routes and rules.
# Links, because routes that vanish with one are not announced themselves.
LINK, TC, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE = 1 << 0, 1 << 3, 1 << 4, 1 << 6, 1 << 7
IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE = 1 << 8, 1 << 10, 1 << 18
NETWORK = LINK | TC | IPV4_IFADDR | IPV4_ROUTE | IPV4_RULE | IPV6_IFADDR | IPV6_ROUTE | IPV6_RULE
NFTABLES = 1 << 6  # NFNLGRP_NFTABLES
GROUPS = ((socket.NETLINK_ROUTE, NETWORK), (NETLINK_NETFILTER, NFTABLES))


class Changes:
    """Listens in every place of an open lab from now on. What /proc/sys and files hold is not announced by the kernel."""

    def __init__(self, lab: Lab) -> None:
        self._sockets = {space.name: space.inside(_listen) for space in (*lab.hosts, lab.switch)}

    def places(self) -> set[str]:
        """The names of the places where links, queues, addresses, routes, rules or firewalls were changed since the last
        call (or where so much was that the kernel gave up telling)."""
        heard = {name: [_changed(one) for one in ours] for name, ours in self._sockets.items()}  # all are emptied
        return {name for name, changed in heard.items() if any(changed)}

    def close(self) -> None:
        """Listen no longer."""
        for ours in self._sockets.values():
            for one in ours:
                one.close()


def _listen() -> tuple[socket.socket, ...]:
    made = []
    for protocol, groups in GROUPS:
        one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        one.bind((0, groups))
        one.setblocking(False)
        made.append(one)
    return tuple(made)


def _changed(one: socket.socket) -> bool:
    changed = False
    while True:
        try:
            one.recv(1 << 16)
        except BlockingIOError:
            return changed
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
        changed = True
