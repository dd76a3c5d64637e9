"""What is said of NCCL where no world with it can be tried: from facts and NCCL's own rules alone. Pure.

NCCL takes, unless it is told: interfaces whose names begin with ib; else all but those that begin with docker or lo; it
meets its peers over the first of them (src/misc/socket.cc, ncclFindInterfaces)."""

from __future__ import annotations

from commcheck.model.case import HostFacts
from commcheck.suggest.model import Candidate, Cluster, Setting
from commcheck.suggest.networks import Network, networks

NO_GPU = "no GPU is here: what was tried is a gloo world, and what concerns NCCL follows from the hosts' facts alone"


def for_nccl(cluster: Cluster, settings: Candidate) -> Candidate:
    """NCCL_SOCKET_IFNAME, where NCCL's own choice would not be the network that the world was formed on."""
    if len(cluster.hosts) == 1:
        return ()
    way = way_of(cluster, settings)
    if way is None:
        return ()
    astray = [h.host for h in cluster.hosts if own_choice(h) != way.interfaces[h.host]]
    if not astray:
        return ()
    return (named(way, f"on {', '.join(astray)} NCCL would take another interface by itself; {way.what}"),)


def named(way: Network, why: str) -> Setting:
    """NCCL_SOCKET_IFNAME for a network: exactly its interface, on each host."""
    return Setting(name="NCCL_SOCKET_IFNAME", values={h: f"={name}" for h, name in way.interfaces.items()}, why=why)


def way_of(cluster: Cluster, settings: Candidate) -> Network | None:
    """The network of the world that formed: that of its interfaces, or that of rank 0's address."""
    ways = networks(cluster.hosts)
    told = {s.name: s for s in settings}
    named, address = told.get("GLOO_SOCKET_IFNAME"), told.get("MASTER_ADDR")
    for way in ways:
        if named is not None and way.interfaces == named.values:
            return way
    for way in ways:
        if named is None and address is not None and way.addresses == address.values:
            return way
    return ways[0] if ways and named is None else None


def own_choice(facts: HostFacts) -> str:
    """The interface over which NCCL meets its peers when it is told none."""
    up = [i.name for i in facts.interfaces if i.up and i.addresses]
    fast = [n for n in up if n.startswith("ib")]
    others = [n for n in up if not n.startswith(("docker", "lo"))]
    docker = [n for n in up if n.startswith("docker")]
    return next(iter([*fast, *others, *docker, *up]), "")
