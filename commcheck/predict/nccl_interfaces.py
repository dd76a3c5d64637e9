"""Which interface and address NCCL takes to form a communicator, from a job's settings and the host's addresses.

Written after NCCL's `src/misc/socket.cc`, `src/os/linux.cc` and `src/bootstrap.cc`, 2.10 to 2.30; libraries of 2.16 to 2.32
were compared with it. What changed in between: 2.24 calls a lack of interfaces an invalid usage (5) where it was an internal
error (3); 2.28 passes over interfaces that do not run, and takes virbr* last; 2.29 looks for an interface outside of the
network of NCCL_COMM_ID where that is IPv4 (its test is the wrong way round); 2.30.7 reads an empty port as 65535, which was 0.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from commcheck.catalog.env.nccl_ifname import LONGEST_NAME, Pattern, is_set, pattern
from commcheck.model.base import Value
from commcheck.model.nccl import NcclAddress

SUCCESS, SYSTEM_ERROR, INTERNAL_ERROR, INVALID_ARGUMENT, INVALID_USAGE = 0, 2, 3, 4, 5
"""ncclResult_t, as far as it is met here."""

NO_INTERFACE_IS_USAGE = 22400
ONLY_RUNNING = 22800
OUTSIDE = range(22900, 23000)
EMPTY_PORT_IS_NONE = 23007
FAMILIES = {"AF_INET": "ipv4", "AF_INET6": "ipv6"}
"""What NCCL_SOCKET_FAMILY may be, to the letter; another value counts as none."""


class Selection(Value, frozen=True):
    """What NCCL does. `result` as ncclGetUniqueId returns it; None where NCCL's own code does not determine it, and `reason`
    says why. `address` and `port` are those of the unique id: the port is the kernel's choice (0) unless NCCL_COMM_ID names it."""

    result: int | None
    reason: str
    interface: str = ""
    address: str = ""
    port: int = 0


class CommId(Value, frozen=True):
    """NCCL_COMM_ID as NCCL reads it. `scope`: the number of the interface after a %, else 0."""

    address: str
    port: int
    scope: int = 0


def choose(
    settings: Mapping[str, str],
    addresses: Sequence[NcclAddress],
    version: int,
    resolved: Mapping[str, Sequence[str]] | None = None,
) -> Selection:
    """What ncclGetUniqueId of that version does with these settings, on a host with these addresses (in getifaddrs' order).

    `resolved`: what the host's resolver makes of names, in its order; NCCL_COMM_ID may hold one."""
    if "NCCL_COMM_ID" in settings:
        return _by_comm_id(settings["NCCL_COMM_ID"], addresses, version, resolved or {})
    family = FAMILIES.get(settings.get("NCCL_SOCKET_FAMILY", ""), "")
    usable = [a for a in addresses if _usable(a, family, version)]
    wanted = settings.get("NCCL_SOCKET_IFNAME")
    tries = ((pattern(wanted), "named by NCCL_SOCKET_IFNAME"),) if wanted and is_set(wanted) else _defaults(version)
    for names, why in tries:
        found = next((a for a in usable if names.takes(a.interface)), None)
        if found is not None:
            return Selection(result=SUCCESS, reason=why, interface=found.interface, address=_scoped(found))
    result = INVALID_USAGE if version >= NO_INTERFACE_IS_USAGE else INTERNAL_ERROR
    return Selection(result=result, reason="no interface fits")


def _defaults(version: int) -> tuple[tuple[Pattern, str], ...]:
    """What is tried, in turn, where no interface is named."""
    virtual = ("virbr",) if version >= ONLY_RUNNING else ()
    return (
        (Pattern(("ib",)), "ib* comes first"),
        (Pattern(("docker", "lo", *virtual), excludes=True), "the first that is neither docker* nor lo*"),
        (Pattern(("docker",)), "docker*, as there is nothing better"),
        (Pattern(("lo",)), "lo*, as there is nothing better"),
        *(((Pattern(virtual), "virbr*, as there is nothing else"),) if virtual else ()),
    )


def _usable(address: NcclAddress, family: str, version: int) -> bool:
    if address.family not in FAMILIES.values() or (family and address.family != family):
        return False
    if version >= ONLY_RUNNING and not address.running:
        return False
    return address.address != "::1"


def _scoped(address: NcclAddress) -> str:
    """The address; a link-local one means nothing without its interface."""
    return f"{address.address}%{address.interface}" if address.scope else address.address


def _by_comm_id(
    value: str, addresses: Sequence[NcclAddress], version: int, resolved: Mapping[str, Sequence[str]]
) -> Selection:
    """NCCL_COMM_ID names where the root is; the interface is any in the same network, and other settings do not count."""
    read = comm_id(value, addresses, version, resolved)
    if isinstance(read, Selection):
        return read
    found = next((a for a in addresses if _taken(a, read, version)), None)
    if found is None:
        return Selection(result=SYSTEM_ERROR, reason=f"no interface is in the network of {read.address}")
    by_scope = {a.scope: a.interface for a in addresses if a.family == "link"}
    shown = f"{read.address}%{by_scope[read.scope]}" if read.scope in by_scope else read.address
    why = "by the network of NCCL_COMM_ID"
    return Selection(result=SUCCESS, reason=why, interface=found.interface, address=shown, port=read.port)


def _taken(local: NcclAddress, remote: CommId, version: int) -> bool:
    """NCCL takes the address as being in the network of the remote one."""
    far = ipaddress.ip_address(remote.address)
    if local.family != f"ipv{far.version}":
        return False
    if far.version == 6 and local.scope != remote.scope:
        return False
    inside = far in ipaddress.ip_network(f"{local.address}/{local.prefix}", strict=False)
    return inside != (far.version == 4 and version in OUTSIDE)


def comm_id(
    value: str, addresses: Sequence[NcclAddress], version: int, resolved: Mapping[str, Sequence[str]]
) -> CommId | Selection:
    """NCCL_COMM_ID as `ADDRESS:PORT`, `NAME:PORT` or `[IPV6]:PORT`; where it cannot be read, what NCCL does then."""
    if len(value.encode()) < 2:
        return _refused("it is empty")
    if value.startswith("["):
        return _bracketed(value, addresses)
    entry = next((e for e in value.split(",") if e.partition(":")[0]), "")
    name, colon, port = entry.partition(":")
    if not name:
        return _refused("there is no address before the colon (IPv6 needs brackets)")
    if len(name.encode()) > LONGEST_NAME:
        return _undetermined("the name is longer than NCCL has room for")
    number = _atoi(port.partition(":")[0])
    if not colon or (not port.partition(":")[0] and version >= EMPTY_PORT_IS_NONE):
        number = 0xFFFF
    numeric = _numeric(name)
    found = (numeric,) if numeric else resolved.get(name)
    if found is None:
        return _undetermined(f"what {name} resolves to is not known here")
    if not found:
        return _refused(f"{name} does not resolve")
    return CommId(address=found[0], port=number)


def _bracketed(value: str, addresses: Sequence[NcclAddress]) -> CommId | Selection:
    end = value.find("]")
    if end < 0:
        return _refused("a closing bracket is missing")
    address, percent, interface = value[1:end].rpartition("%") if "%" in value[:end] else (value[1:end], "", "")
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return _undetermined(f"{address!r} is no IPv6 address, which NCCL does not check")
    if len(value) < end + 2:
        return _undetermined("there is no port after the bracket, which NCCL does not check")
    if len(interface) > 15:
        return _undetermined("the interface's name is longer than NCCL has room for")
    numbers = {a.interface: a.scope for a in addresses if a.family == "link"}
    scope = numbers.get(interface, 0) if percent else 0
    return CommId(address=str(parsed), port=_atoi(value[end + 2 :]), scope=scope)


def _refused(why: str) -> Selection:
    return Selection(result=INVALID_ARGUMENT, reason=f"NCCL_COMM_ID cannot be read: {why}")


def _undetermined(why: str) -> Selection:
    return Selection(result=None, reason=f"NCCL_COMM_ID: {why}")


def _atoi(text: str) -> int:
    """C's atoi, cut to the 16 bits of a port."""
    number = re.match(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", text)
    return int(number[1]) & 0xFFFF if number else 0


def _numeric(text: str) -> str:
    """The IPv4 address that the C library reads in a text without asking anybody (also 10.1, 0x7f000001); "" for a name."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 4 or not all(re.fullmatch(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*", p) for p in parts):
        return ""
    numbers = [int(p, 16) if p[:2] in ("0x", "0X") else int(p, 8) if p[0] == "0" else int(p) for p in parts]
    *front, last = numbers
    if any(n > 255 for n in front) or last >= 256 ** (5 - len(numbers)):
        return ""
    whole = last + sum(n << (24 - 8 * i) for i, n in enumerate(front))
    return str(ipaddress.IPv4Address(whole))
