"""The network interfaces of the network namespace that this is called in.

Names and addresses come from `netifaces` (getifaddrs); flags and the MTU from ioctl, and not from /sys/class/net:
inside another network namespace /sys still shows the one in which it was mounted. The count of carrier changes is only
there, and is taken where the hardware address shows that it is the same interface.
"""

import fcntl
import struct
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from commcheck.model.case import Address, Interface
from commcheck.system import carriers

_SIOCGIFFLAGS, _SIOCGIFMTU = 0x8913, 0x8921  # linux/sockios.h
_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING = 0x1, 0x8, 0x40  # linux/if.h; RUNNING: operational, so it has a carrier
_REQUEST = "16s24x"  # struct ifreq on 64 bit: the name, then a union


def prefix_length(netmask: str) -> int:
    """255.255.0.0 gives 16; ffff:ffff:: and ffff:ffff::/32 give 32. Raises ValueError on anything else."""
    mask, slash, length = netmask.partition("/")
    if slash:
        return int(length)
    if ":" in mask:
        return sum(int(part, 16).bit_count() for part in mask.split(":") if part)
    parts = [int(part) for part in mask.split(".")]
    if len(parts) != 4 or any(not 0 <= part <= 255 for part in parts):
        raise ValueError(f"not a netmask: {netmask!r}")
    return sum(part.bit_count() for part in parts)


def interfaces() -> tuple[Interface, ...]:
    """Every interface, the loopback first, then by name. Raises OSError when the kernel does not answer."""
    import _socket  # the C half of `socket`, without the 35 ms of Python around it

    import netifaces

    families = ((netifaces.AF_INET, "ipv4"), (netifaces.AF_INET6, "ipv6"))
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        found = []
        for name in netifaces.interfaces():
            try:
                table = netifaces.ifaddresses(name)
                flags, mtu = _flags_and_mtu(control.fileno(), name)
            except (OSError, ValueError):
                continue  # it was taken away since the list was made
            addresses = tuple(a for family, word in families for a in _addresses(word, table.get(family, ())))
            mac = next((str(entry.get("addr", "")) for entry in table.get(netifaces.AF_LINK, ())), "")
            found.append(
                Interface(
                    name=name,
                    up=bool(flags & _IFF_UP),
                    carrier=bool(flags & _IFF_RUNNING),
                    loopback=bool(flags & _IFF_LOOPBACK),
                    mtu=mtu,
                    mac=mac,
                    addresses=addresses,
                )
            )
    finally:
        control.close()
    counts = carriers.changes(macs={i.name: i.mac for i in found})
    counted = (replace(i, carrier_changes=counts.get(i.name)) for i in found)
    return tuple(sorted(counted, key=lambda i: (not i.loopback, i.name)))


def _addresses(family: str, entries: Iterable[Mapping[str, object]]) -> Iterable[Address]:
    """The addresses of one family; an IPv6 scope (fe80::1%eth0) is kept: the address is useless without it."""
    for entry in entries:
        address = str(entry.get("addr", ""))
        if not address:
            continue
        mask = str(entry.get("mask") or entry.get("netmask") or "")
        try:
            prefix = prefix_length(mask)
        except ValueError:
            prefix = 32 if family == "ipv4" else 128
        yield Address(family=family, address=address, prefix=prefix)


def _flags_and_mtu(fd: int, name: str) -> tuple[int, int]:
    """The interface's flags (as an unsigned short) and its MTU in bytes. Raises OSError."""
    request = struct.pack(_REQUEST, name.encode()[:15])
    (flags,) = struct.unpack_from("=H", fcntl.ioctl(fd, _SIOCGIFFLAGS, request), 16)
    (mtu,) = struct.unpack_from("=i", fcntl.ioctl(fd, _SIOCGIFMTU, request), 16)
    return flags, mtu
