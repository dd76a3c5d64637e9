"""What a host shows of its InfiniBand and RoCE cards, its GPUs, and the PCI tree between them."""

from __future__ import annotations

from commcheck.model.base import Value


class Gid(Value, frozen=True):
    """One address of an RDMA port. `kind`: "IB/RoCE v1" or "RoCE v2", where the kernel says; `interface`: whose it is."""

    index: int
    address: str  # eight groups of four digits, as sysfs writes it
    kind: str = ""
    interface: str = ""

    @property
    def empty(self) -> bool:
        """Nothing is configured at this place of the table."""
        return not self.address.strip("0:")

    @property
    def link_local(self) -> bool:
        """fe80::/10: no router carries it on, and it does not say which subnet it is on."""
        return self.address[:3].lower() in ("fe8", "fe9", "fea", "feb")

    @property
    def ipv4(self) -> str:
        """The IPv4 address that it stands for; "" where it stands for none."""
        head, groups = self.address[:29].lower(), self.address.split(":")
        if head != "0000:0000:0000:0000:0000:ffff" or len(groups) != 8:
            return ""
        return ".".join(str(int(part, 16)) for group in groups[6:] for part in (group[:2], group[2:]))

    @property
    def version(self) -> int | None:
        """Of RoCE, where the kernel says."""
        return 2 if self.kind == "RoCE v2" else 1 if self.kind in ("IB/RoCE v1", "RoCE v1") else None


class RdmaPort(Value, frozen=True):
    """A port of an RDMA card. `state` as sysfs names it (ACTIVE, INIT, ARMED, DOWN); `rate` in Gbit/s, 0 where unknown.

    `gids`: those that are configured; `table`: how many places the table has."""

    number: int
    state: str
    physical: str = ""
    layer: str = ""  # "InfiniBand" or "Ethernet"
    rate: float = 0.0
    lid: int | None = None
    gids: tuple[Gid, ...] = ()
    table: int = 0

    @property
    def active(self) -> bool:
        """Data can pass."""
        return self.state == "ACTIVE"


class NetDevice(Value, frozen=True):
    """The network interface of a card, with its MTU in bytes."""

    name: str
    mtu: int
    up: bool = False


class PciDevice(Value, frozen=True):
    """Where a device is: its address, and the addresses from the root port to it. Speeds in GT/s, 0 where unknown.

    `host_bridge`: the root complex, as sysfs names it ("pci0000:00")."""

    address: str
    path: tuple[str, ...] = ()
    host_bridge: str = ""
    numa: int | None = None
    speed: float = 0.0
    width: int = 0
    most_speed: float = 0.0
    most_width: int = 0


class RdmaCard(Value, frozen=True):
    """An RDMA device (HCA). `vendor`: PCI vendor id, as "0x15b3"; `model` and `firmware` as the card names them."""

    name: str
    ports: tuple[RdmaPort, ...] = ()
    pci: PciDevice | None = None
    interfaces: tuple[NetDevice, ...] = ()
    vendor: str = ""
    model: str = ""
    firmware: str = ""


class Fabric(Value, frozen=True):
    """What bears on RDMA and on GPUs that reach each other, as the host shows it.

    `peer_memory`: the loaded module by which cards read GPU memory ("nvidia_peermem", "nv_peer_mem"), else "";
    `open_driver`: NVIDIA's open kernel modules are loaded, which offer dma-buf instead (None: no driver seen);
    `verbs`: /dev/infiniband has device files; `redirecting`: PCI bridges between the devices whose ACS sends peer traffic
    up to the processor; None: that could not be read. `told_by`: the tools from whose text all this is; "": /sys itself."""

    cards: tuple[RdmaCard, ...] = ()
    gpus: tuple[PciDevice, ...] = ()
    peer_memory: str = ""
    open_driver: bool | None = None
    verbs: bool = False
    redirecting: tuple[str, ...] | None = None
    told_by: str = ""
