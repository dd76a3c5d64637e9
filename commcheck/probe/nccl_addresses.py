"""The addresses of this network namespace as the C library lists them, in its order: NCCL takes the first that fits."""

import ctypes
import os
import socket
import struct

from commcheck.model.nccl import NcclAddress

_IFF_RUNNING = 0x40  # linux/if.h
_AF_PACKET = 17


class _IfAddrs(ctypes.Structure):
    """struct ifaddrs of ifaddrs.h."""


_IfAddrs._fields_ = [
    ("next", ctypes.POINTER(_IfAddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
    ("other", ctypes.c_void_p),
    ("data", ctypes.c_void_p),
]


def addresses() -> tuple[NcclAddress, ...]:
    """All of them. An entry of the family "link" stands for each interface itself, with its number as scope.

    Raises OSError when the kernel does not answer."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_IfAddrs)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    found = []
    try:
        entry = first
        while entry:  # type: ignore[truthy-bool]  # a null pointer of ctypes is false
            here = entry.contents
            one = _address(here.name.decode(errors="replace"), here)
            if one is not None:
                found.append(one)
            entry = here.next
    finally:
        libc.freeifaddrs(first)
    return tuple(found)


def _address(name: str, entry: _IfAddrs) -> NcclAddress | None:
    if not entry.address:
        return None
    running = bool(entry.flags & _IFF_RUNNING)
    (family,) = struct.unpack("=H", ctypes.string_at(entry.address, 2))
    if family == _AF_PACKET:  # struct sockaddr_ll: family, protocol, number of the interface
        (number,) = struct.unpack_from("=i", ctypes.string_at(entry.address, 8), 4)
        return NcclAddress(interface=name, family="link", address="", prefix=0, running=running, scope=number)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    address, _, scope = unpacked(ctypes.string_at(entry.address, 16 if family == socket.AF_INET else 28))
    prefix = _bits(entry.netmask, family)
    kind = "ipv4" if family == socket.AF_INET else "ipv6"
    return NcclAddress(interface=name, family=kind, address=address, prefix=prefix, running=running, scope=scope)


def _bits(netmask: int | None, family: int) -> int:
    if not netmask:
        return 32 if family == socket.AF_INET else 128
    raw = ctypes.string_at(netmask, 8 if family == socket.AF_INET else 24)
    mask = raw[4:8] if family == socket.AF_INET else raw[8:24]
    return int.from_bytes(mask, "big").bit_count()


def unpacked(raw: bytes) -> tuple[str, int, int]:
    """Address, port and scope of a struct sockaddr_in or sockaddr_in6. Raises ValueError for another family."""
    (family,) = struct.unpack_from("=H", raw)
    (port,) = struct.unpack_from("!H", raw, 2)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port, 0
    if family != socket.AF_INET6:
        raise ValueError(f"no socket address: family {family}")
    (scope,) = struct.unpack_from("=I", raw, 24)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, scope
