"""Which way NCCL will probably take between two GPUs of a host and between two hosts, and why not a better one. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from commcheck.diagnose import visible
from commcheck.diagnose.fabric import (
    DIRECT,
    Distance,
    Port,
    amazon,
    distance,
    gid,
    gid_index,
    level,
    nearest,
    ports,
    usable,
    yes,
)
from commcheck.model.base import Value
from commcheck.model.case import Case, HostFacts, Origin
from commcheck.model.fabric import Fabric

_SHOWN = 4


class Way(Value, frozen=True):
    """`transport`: as NCCL names it. `why_not`: why each better one is probably not taken."""

    between: str
    transport: str
    why_not: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For a report's reader."""
        reasons = f" ({'; '.join(self.why_not)})" if self.why_not else ""
        return f"NCCL will probably use {self.transport} between {self.between}{reasons}"


def between_hosts(fabric: Fabric, environment: Mapping[str, str]) -> Way:
    """From this host to another one like it."""
    network = environment.get("NCCL_NET", "")
    plugin = environment.get("NCCL_NET_PLUGIN", "")
    if network and network.lower() not in ("ib", "socket"):
        return Way(between="hosts", transport=f"the plug-in {network}")
    if amazon(fabric) and network.lower() != "socket":
        reason = ("Amazon's EFA is reached by the aws-ofi-nccl plug-in alone: without it NCCL uses sockets",)
        return Way(between="hosts", transport="the plug-in AWS Libfabric, if it is installed", why_not=reason)
    found = usable(fabric, environment)
    if network.lower() == "socket" or not found:
        return Way(between="hosts", transport="NET/Socket", why_not=(_no_cards(fabric, environment),))
    kinds = "/".join(dict.fromkeys("RoCE" if p.roce else "IB" for p in found))
    direct = _not_direct(fabric, environment, found)
    how = "NET/IB" if direct or not fabric.gpus else "NET/IB with GPU Direct RDMA"
    which = ", ".join(p.name for p in found[:_SHOWN]) + (
        f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    )
    beside = (
        (f"unless the plug-in that NCCL_NET_PLUGIN={plugin} names takes its place",)
        if plugin and plugin != "none"
        else ()
    )
    return Way(between="hosts", transport=f"{how} over {which} ({kinds})", why_not=(*direct, *beside))


def _no_cards(fabric: Fabric, environment: Mapping[str, str]) -> str:
    if environment.get("NCCL_NET", "").lower() == "socket":
        return "NCCL_NET=Socket asks for it"
    if not fabric.cards:
        return "there is no RDMA card"
    if yes(environment.get("NCCL_IB_DISABLE")):
        return f"NCCL_IB_DISABLE={environment['NCCL_IB_DISABLE']} turns {len(fabric.cards)} RDMA cards off"
    active = [p for p in ports(fabric) if p.port.active]
    if not active:
        return f"no port is active: {_states(fabric)}"
    return f"NCCL_IB_HCA={environment.get('NCCL_IB_HCA', '')} names none of the active ports {', '.join(p.name for p in active[:_SHOWN])}"


def _states(fabric: Fabric) -> str:
    return ", ".join(f"{p.name} is {p.port.state or 'in no known state'}" for p in ports(fabric)[:_SHOWN])


def _not_direct(fabric: Fabric, environment: Mapping[str, str], found: tuple[Port, ...]) -> tuple[str, ...]:
    """Why cards will not read the GPUs' memory; nothing where they probably will, or there is no GPU."""
    if not fabric.gpus:
        return ()
    if not fabric.peer_memory and fabric.open_driver is not True:
        return ("no GPU Direct RDMA: nvidia_peermem is not loaded, and dma-buf needs NVIDIA's open kernel modules",)
    allowed = level(environment, "NCCL_NET_GDR_LEVEL", DIRECT)
    cards = tuple(dict.fromkeys(p.card for p in found))
    far = [near for gpu in fabric.gpus if (near := nearest(gpu, cards)) is not None and near[1] > allowed]
    if len(far) < len(fabric.gpus):
        return ()
    return (f"no GPU Direct RDMA: the nearest card is {far[0][1].name} away from its GPU, {allowed.name} is allowed",)


def between_gpus(fabric: Fabric, environment: Mapping[str, str]) -> Way | None:
    """Between the GPUs of this host that are farthest apart; None for fewer than two. NVLink is not in the PCI tree.

    MIG instances reach each other neither over PCI nor over NVLink (MIG user guide, "Deployment Considerations")."""
    seen = visible.read(environment.get(visible.NAME, "")).devices
    if seen and visible.is_slice(seen[0]):
        return _without_p2p("MIG instances of this host", environment, ("there is no P2P between MIG instances",))
    if len(fabric.gpus) < 2:
        return None
    far = max(distance(a, b) for i, a in enumerate(fabric.gpus) for b in fabric.gpus[i + 1 :])
    why: list[str] = []
    allowed = level(environment, "NCCL_P2P_LEVEL", Distance.PXB)
    if yes(environment.get("NCCL_P2P_DISABLE")):
        why.append("NCCL_P2P_DISABLE turns P2P off")
    elif far > allowed:
        why.append(f"P2P only over NVLink: by PCI the farthest GPUs are {far.name} apart, {allowed.name} is allowed")
    else:
        return Way(between="GPUs of this host", transport="P2P")
    return _without_p2p("GPUs of this host", environment, tuple(why))


def _without_p2p(between: str, environment: Mapping[str, str], why: tuple[str, ...]) -> Way:
    if not yes(environment.get("NCCL_SHM_DISABLE")):
        return Way(between=between, transport="SHM", why_not=why)
    off = (*why, "NCCL_SHM_DISABLE turns SHM off")
    return Way(between=between, transport="the network, as between hosts", why_not=off)


def account(case: Case) -> tuple[str, ...]:
    """The ways from each host, as sentences; for settings and facts without a world."""
    hosts = case.hosts if case.origin is Origin.STATIC else ()
    said = [(host, text) for host in hosts for text in _of_host(host, case.environment)]
    return tuple(text if len(hosts) == 1 else f"{host.host}: {text}" for host, text in said)


def _of_host(host: HostFacts, environment: Mapping[str, str]) -> tuple[str, ...]:
    if host.fabric is None or not (host.fabric.gpus or host.fabric.cards):
        return ()
    found = (between_gpus(host.fabric, environment), between_hosts(host.fabric, environment))
    return (*(way.sentence for way in found if way is not None), *_addresses(host, environment))


def _addresses(host: HostFacts, environment: Mapping[str, str]) -> tuple[str, ...]:
    """By which address each RoCE port would speak."""
    assert host.fabric is not None
    said = []
    for p in usable(host.fabric, environment):
        index = gid_index(p.port, environment)
        if p.roce and (found := gid(p.port, index)) is not None:
            said.append(f"{p.name} {found.ipv4 or found.address} ({found.kind or 'version not known'}, index {index})")
    return (f"RoCE addresses: {', '.join(said[:_SHOWN])}",) if said else ()
