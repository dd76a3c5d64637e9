"""Topologies in few words, for tests."""

from commcheck.model.topology import Network, Topology


def topology_of(
    hosts=2,
    *,
    subnet="10.77.0.0/24",
    subnet6=None,
    second=None,
    names=True,
    docker0=False,
    down="",
    bare="",
    gateway=False,
):
    """Hosts on one bridge, or with `second`, its subnet, on two."""
    networks = [Network(subnet=subnet, subnet6=subnet6)]
    if second:
        networks.append(Network(interface="eth1", subnet=second))
    return Topology(
        hosts=hosts, networks=tuple(networks), names=names, docker0=docker0, down=down, bare=bare, gateway=gateway
    )
