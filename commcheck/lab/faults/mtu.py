"""A path that swallows large packets and says nothing: the switch's port has a smaller MTU than the hosts."""

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.host import Host
from commcheck.lab.network import port

FULL_MTU = 1500


@contextmanager
def mismatch(host: Host, mtu: int = 1400, wire: int = 0) -> Iterator[None]:
    """Frames of `host` above `mtu` are lost in the switch's port, without an ICMP message.

    Large segments are cut in the host (gso_max_segs 1): virtual links would otherwise carry a segment of 64 KiB
    past every MTU, which no real cable does."""
    name = port(wire, host.number)
    interface = host.wires[wire].name
    before = host.command(["cat", f"/proc/{host.pid}/root/sys/class/net/{interface}/mtu"]).strip()
    host.ip("link", "set", "dev", interface, "gso_max_segs", "1")
    host.switch.ip("link", "set", "dev", name, "mtu", str(mtu))
    try:
        yield
    finally:
        host.switch.ip("link", "set", "dev", name, "mtu", before)
        host.ip("link", "set", "dev", interface, "gso_max_segs", "65535")
