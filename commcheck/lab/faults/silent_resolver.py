"""A name server that never answers: each look-up takes many seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.firewall import chain
from commcheck.lab.faults.layers import file_edited
from commcheck.lab.faults.names import NO_NAMES
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class SilentResolver(HostFault, frozen=True, tag="silent-resolver"):
    """The name server of `hosts` never answers, and their hosts files name only localhost.

    `hosts_files`: these still name all hosts, in the usual form, which does not answer for IPv4-mapped addresses."""

    hosts_files: bool = False


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: SilentResolver) -> Iterator[None]:
    """Let the host ask the switch, which swallows the queries."""
    # A rule on the host itself would not do: the kernel tells the sender of its own dropped packets, and the look-up
    # would fail at once.
    with ExitStack() as stack:
        stack.enter_context(chain(host.switch, ["meta l4proto { tcp, udp } th dport 53 counter drop"]))
        server = f"nameserver {host.wires[0].gateway}\n"
        stack.enter_context(file_edited(host, "/etc/resolv.conf", lambda _: server))
        if not spec.hosts_files:
            stack.enter_context(file_edited(host, "/etc/hosts", lambda _: NO_NAMES))
        yield


FAULT = Fault(spec=SilentResolver, make=make, leads_to=("reverse-dns-slow",))
