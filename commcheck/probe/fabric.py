"""InfiniBand and RoCE cards, GPUs and what lies between them, from /sys and /proc, without a library.

Everything is read below `root`, so that a recorded tree can be read like the machine itself. A host without such cards and
without NVIDIA's driver costs two look-ups."""

import os
import re
from collections.abc import Iterator

from commcheck.model.fabric import Fabric, Gid, NetDevice, RdmaCard, RdmaPort
from commcheck.probe import pci
from commcheck.probe.pci import number, text

_PEER_MODULES = ("nvidia_peermem", "nv_peer_mem")
_PEER_REGISTERED = ("nv_mem", "nv_mem_nc", "nvidia-peermem")  # where NCCL looks, src/transport/net_ib/gdr.cc
_RATE = re.compile(r"(?P<rate>\d{1,6}(?:\.\d)?) Gb/sec")
_FIRST_GIDS = 2  # of an InfiniBand port: NCCL uses the first, or the second where it is routable
_LINE = 64  # bytes: an address has 39 and a newline
_UP = 0x1  # IFF_UP


def fabric(root: str = "/") -> Fabric | None:
    """What this host has; None where it has neither RDMA cards nor NVIDIA GPUs. Never raises."""
    base = os.path.join(root, "sys/class/infiniband")
    cards = tuple(_card(root, base, name) for name in _listed(base))
    driver = os.path.isdir(os.path.join(root, "proc/driver/nvidia"))
    if not cards and not driver:
        return None
    try:
        gpus = pci.gpus(root)
    except OSError:
        gpus = ()
    located = tuple(card.pci for card in cards if card.pci is not None)
    return Fabric(
        cards=cards,
        gpus=gpus,
        peer_memory=_peer_memory(root),
        open_driver="Open Kernel Module" in text(root, "proc/driver/nvidia/version") if driver else None,
        verbs=any(name.startswith("uverbs") for name in _listed(os.path.join(root, "dev/infiniband"))),
        redirecting=pci.redirecting(root, (*gpus, *located)) if gpus else None,
    )


def _listed(directory: str) -> list[str]:
    return sorted(_names(directory), key=_natural)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """mlx5_2 before mlx5_10."""
    return tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name) if part
    )


def _card(root: str, base: str, name: str) -> RdmaCard:
    directory = os.path.join(base, name)
    device = os.path.join(directory, "device")
    ports = [n for n in _listed(os.path.join(directory, "ports")) if n.isdigit()]
    return RdmaCard(
        name=name,
        ports=tuple(_port(os.path.join(directory, "ports", n), int(n)) for n in ports),
        pci=pci.device(device),
        interfaces=tuple(_interface(root, n) for n in _listed(os.path.join(device, "net"))),
        vendor=text(device, "vendor"),
        model=text(directory, "hca_type"),
        firmware=text(directory, "fw_ver"),
    )


def _interface(root: str, name: str) -> NetDevice:
    directory = os.path.join(root, "sys/class/net", name)
    flags = number(text(directory, "flags")) or 0
    return NetDevice(name=name, mtu=number(text(directory, "mtu")) or 0, up=bool(flags & _UP))


def _port(directory: str, numbered: int) -> RdmaPort:
    layer = text(directory, "link_layer")
    rate = _RATE.match(text(directory, "rate"))
    places = sorted(int(n) for n in _names(os.path.join(directory, "gids")) if n.isdigit())
    wanted = places if layer != "InfiniBand" else places[:_FIRST_GIDS]
    return RdmaPort(
        number=numbered,
        state=_named(text(directory, "state")),
        physical=_named(text(directory, "phys_state")),
        layer=layer,
        rate=float(rate["rate"]) if rate else 0.0,
        lid=number(text(directory, "lid")),
        gids=_gids(directory, wanted),
        table=len(places),
    )


def _named(state: str) -> str:
    """`4: ACTIVE` is ACTIVE."""
    return state.partition(":")[2].strip() or state


def _gids(directory: str, places: list[int]) -> tuple[Gid, ...]:
    """What is configured at these places: of the 256 that a RoCE port has, a few."""
    found = []
    for index, address in _addresses(os.path.join(directory, "gids"), places):
        if not Gid(index=index, address=address).empty:
            kind = text(directory, f"gid_attrs/types/{index}")
            found.append(
                Gid(index=index, address=address, kind=kind, interface=text(directory, f"gid_attrs/ndevs/{index}"))
            )
    return tuple(found)


def _addresses(directory: str, places: list[int]) -> Iterator[tuple[int, str]]:
    """The files of a table, read without what Python's text files cost, since there are two thousand of them in a host
    with eight cards. A container may be refused the places that belong to another one."""
    try:
        at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        for index in places:
            try:
                file = os.open(str(index), os.O_RDONLY, dir_fd=at)
            except OSError:
                continue
            try:
                yield index, os.read(file, _LINE).decode("ascii", "replace").strip()
            except OSError:
                pass
            finally:
                os.close(file)
    finally:
        os.close(at)


def _peer_memory(root: str) -> str:
    loaded = (m for m in _PEER_MODULES if os.path.isdir(os.path.join(root, "sys/module", m)))
    registered = (
        m for m in _PEER_REGISTERED if os.path.exists(os.path.join(root, "sys/kernel/mm/memory_peers", m, "version"))
    )
    return next(loaded, "") or next(registered, "")
