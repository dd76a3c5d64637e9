"""The addresses of a lab: which interfaces each host of a topology has, and how they are joined. Pure."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network

from commcheck.model.base import Value
from commcheck.model.topology import Kind, Network, Topology

Subnet = IPv4Network | IPv6Network

FIRST_HOST = 10  # host 0 is .10, so that the numbers below are free for the switch and for faults
SWITCH = 1
DOCKER_ADDRESS = "172.17.0.1/16"  # Docker's default: the same on every host, and of no use between hosts
DOWN_SUBNET = "10.99.0.0/24"  # of the interface that has an address and is down
FULL_MTU = 1500
OVERLAYS = ("vlan", "vxlan")
ROUTED_BITS = {4: 24, 6: 64}  # the prefix of each host's own subnet, by IP version
TUNNEL_BYTES = {4: 50, 6: 70}  # what VXLAN adds to a packet, by the carrier's IP version
NAT_BRIDGE = "nat0"


class Wire(Value, frozen=True):
    """One interface of one host. `bridge`: what its cable is plugged into, in the switch; empty: into the router itself,
    or there is no cable (an overlay). `over`: an overlay's carrier. `mtu`: bytes."""

    name: str
    kind: Kind
    network: int  # its place in Topology.networks
    bridge: str
    subnet: str | None
    subnet6: str | None = None
    over: str = ""
    tag: int = 0
    mtu: int = FULL_MTU
    nat: bool = False  # the first network of a host behind an address-translating router

    def address(self, host: int) -> str:
        """The IPv4 address (the IPv6 one where there is no IPv4) of host number `host`."""
        return str(self.interfaces(FIRST_HOST + host)[0].ip)

    def address6(self, host: int) -> str:
        """The IPv6 address of host number `host`; empty where there is none."""
        found = [item for item in self.interfaces(FIRST_HOST + host) if item.version == 6]
        return str(found[0].ip) if found else ""

    @property
    def gateway(self) -> str:
        """The address of the switch or router."""
        return str(self.interfaces(SWITCH)[0].ip)

    @property
    def cable(self) -> bool:
        """It has a port in the switch."""
        return self.kind not in OVERLAYS

    def interfaces(self, number: int) -> list[IPv4Interface | IPv6Interface]:
        """Address `number` of each of its subnets, IPv4 first."""
        made: list[IPv4Interface | IPv6Interface] = []
        for subnet in (self.subnet, self.subnet6):
            if subnet:
                network: Subnet = ip_network(subnet)
                text = f"{network.network_address + number}/{network.prefixlen}"
                made.append(IPv4Interface(text) if network.version == 4 else IPv6Interface(text))
        return made


def members(topology: Topology, network: Network) -> tuple[int, ...]:
    """The numbers of the hosts that are on a network."""
    return network.hosts or tuple(range(topology.hosts))


def wires(topology: Topology, host: int) -> tuple[Wire, ...]:
    """The interfaces of a host that lead to others, in the topology's order."""
    made: dict[str, Wire] = {}
    for index, network in enumerate(topology.networks):
        if host in members(topology, network):
            made[network.interface] = _wire(topology, index, host, made)
    return tuple(made.values())


def _wire(topology: Topology, index: int, host: int, earlier: dict[str, Wire]) -> Wire:
    network = topology.networks[index]
    subnet, subnet6, bridge = network.subnet, network.subnet6, f"br{index}"
    nat = index == 0 and host in topology.nat
    if nat:
        subnet, subnet6, bridge = topology.nat_subnet, None, NAT_BRIDGE
    elif network.kind == "routed":
        subnet, subnet6, bridge = own_subnet(subnet, host), own_subnet(subnet6, host), ""
    if network.kind not in OVERLAYS:
        mtu, over = FULL_MTU, ""
    else:
        carrier = earlier[network.over]
        lost = TUNNEL_BYTES[4 if carrier.subnet else 6] if network.kind == "vxlan" else 0
        mtu, over, bridge = carrier.mtu - lost, network.over, ""
    return Wire(
        name=network.interface, kind=network.kind, network=index, bridge=bridge, subnet=subnet, subnet6=subnet6,
        over=over, tag=network.tag if over else 0, mtu=network.mtu or mtu, nat=nat,
    )  # fmt: skip


def own_subnet(subnet: str | None, host: int) -> str | None:
    """The part of a routed network's `subnet` that is host number `host`'s own."""
    if not subnet:
        return None
    whole: Subnet = ip_network(subnet)
    bits = ROUTED_BITS[whole.version]
    first = whole.network_address + (host << (whole.max_prefixlen - bits))
    return f"{first}/{bits}"


def routes(topology: Topology, host: int) -> list[tuple[str, str]]:
    """A host's routes beyond its own subnets: destination and the router's address."""
    found: list[tuple[str, str]] = []
    own = wires(topology, host)
    for wire in own:
        network = topology.networks[wire.network]
        if wire.kind == "routed" and not wire.nat:
            whole = [subnet for subnet in (network.subnet, network.subnet6) if subnet]
            found += zip(whole, (str(item.ip) for item in wire.interfaces(SWITCH)), strict=True)
    if topology.gateway or own[0].nat:
        found += [("::/0" if item.version == 6 else "0.0.0.0/0", str(item.ip)) for item in own[0].interfaces(SWITCH)]
    return found


def names(topology: Topology) -> dict[str, str]:
    """The address of each host by its name."""
    return {f"h{host}": wires(topology, host)[0].address(host) for host in range(topology.hosts)}


def forwarding(topology: Topology) -> str:
    """The nft text of what the switch forwards as a router; empty when it is none, and forwards nothing."""
    routed = [index for index, network in enumerate(topology.networks) if network.kind == "routed"]
    if not routed and not topology.nat:
        return ""
    rules = ["ct state established,related accept"]
    rules += [f'iifname "p{index}-*" oifname "p{index}-*" accept' for index in routed]
    masquerade = ""
    if topology.nat:
        rules.append(f'iifname "{NAT_BRIDGE}" accept')
        masquerade = f"""chain translate {{
            type nat hook postrouting priority 100; policy accept;
            ip saddr {topology.nat_subnet} oifname != "{NAT_BRIDGE}" masquerade
        }}"""
    return f"""table inet router {{
        chain forward {{
            type filter hook forward priority 0; policy drop;
            {"; ".join(rules)}
        }}
        {masquerade}
    }}
    """


def bridges(topology: Topology) -> list[str]:
    """The bridges in the switch."""
    own = [f"br{index}" for index, network in enumerate(topology.networks) if network.kind == "bridge"]
    return [*own, NAT_BRIDGE] if topology.nat else own


def port(wire: int, host: int) -> str:
    """The name, in the switch, of the cable to `host` on network number `wire`."""
    return f"p{wire}-{host}"


def hosts_file(names: dict[str, str]) -> str:
    """The text of an /etc/hosts: localhost, then address by name."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    return "\n".join(lines + [f"{address} {name}" for name, address in names.items()]) + "\n"
