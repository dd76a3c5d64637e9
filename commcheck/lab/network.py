"""The addresses of a lab, and the `ip -batch` text that makes its links. Pure: text in, text out."""

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network

from commcheck.model.base import Value

FIRST_HOST = 10  # host 0 is .10, so that the numbers below are free for the switch and for faults
SWITCH = 1
DOCKER_ADDRESS = "172.17.0.1/16"  # Docker's default: the same on every host, and of no use between hosts


class Wire(Value, frozen=True):
    """A network that joins all hosts: interface `name` on each host, bridge `bridge` in the switch."""

    name: str
    bridge: str
    subnet: str | None
    subnet6: str | None = None

    def address(self, host: int) -> str:
        """The IPv4 address (the IPv6 one where there is no IPv4) of host number `host`."""
        return str(self.interfaces(FIRST_HOST + host)[0].ip)

    def address6(self, host: int) -> str:
        """The IPv6 address of host number `host`; empty where there is none."""
        found = [item for item in self.interfaces(FIRST_HOST + host) if item.version == 6]
        return str(found[0].ip) if found else ""

    @property
    def gateway(self) -> str:
        """The switch's own address."""
        return str(self.interfaces(SWITCH)[0].ip)

    def interfaces(self, number: int) -> list[IPv4Interface | IPv6Interface]:
        """Address `number` of each of the wire's subnets, IPv4 first."""
        made: list[IPv4Interface | IPv6Interface] = []
        for subnet in (self.subnet, self.subnet6):
            if subnet:
                network: IPv4Network | IPv6Network = ip_network(subnet)
                text = f"{network.network_address + number}/{network.prefixlen}"
                made.append(IPv4Interface(text) if network.version == 4 else IPv6Interface(text))
        return made


class Extras(Value, frozen=True):
    """Further interfaces of every host, each as real machines have them."""

    docker0: bool = False  # a bridge with the same address everywhere
    down: str = ""  # name of an interface that has an address and is down
    bare: str = ""  # name of an interface that is up and has no address
    gateway: bool = False  # a default route through the switch, which forwards nothing


def switch_batch(wires: tuple[Wire, ...], pids: list[int], extras: Extras) -> str:
    """Commands for the switch's namespace: the bridges, and one cable to each host."""
    lines = ["link set dev lo up"]
    for number, wire in enumerate(wires):
        lines.append(f"link add name {wire.bridge} type bridge forward_delay 0 mcast_snooping 0")
        lines += [f"addr add {item} dev {wire.bridge}{_nodad(item)}" for item in wire.interfaces(SWITCH)]
        lines.append(f"link set dev {wire.bridge} up")
        for host, pid in enumerate(pids):
            lines.append(f"link add name {port(number, host)} type veth peer name {wire.name} netns {pid}")
            lines.append(f"link set dev {port(number, host)} master {wire.bridge} up")
    for host, pid in enumerate(pids):
        for mark, name in (("d", extras.down), ("b", extras.bare)):
            if name:
                lines.append(f"link add name {mark}{host} type veth peer name {name} netns {pid}")
                lines.append(f"link set dev {mark}{host} up")
    return "\n".join(lines) + "\n"


def host_batch(wires: tuple[Wire, ...], host: int, extras: Extras) -> str:
    """Commands for one host's namespace."""
    lines = ["link set dev lo up"]
    for wire in wires:
        items = wire.interfaces(FIRST_HOST + host)
        lines += [f"addr add {item}{_broadcast(item)} dev {wire.name}{_nodad(item)}" for item in items]
        lines.append(f"link set dev {wire.name} up")
    if extras.docker0:
        lines.append("link add name docker0 type bridge")
        lines.append(f"addr add {DOCKER_ADDRESS} dev docker0")
        lines.append("link set dev docker0 up")
    if extras.down:
        lines.append(f"addr add 10.99.0.{FIRST_HOST + host}/24 dev {extras.down}")
    if extras.bare:
        lines.append(f"link set dev {extras.bare} addrgenmode none up")
    if extras.gateway:
        lines += [f"route add {_everywhere(item)} via {item.ip}" for item in wires[0].interfaces(SWITCH)]
    return "\n".join(lines) + "\n"


def port(wire: int, host: int) -> str:
    """The name, in the switch, of the cable to `host` on network number `wire`."""
    return f"p{wire}-{host}"


def hosts_file(names: dict[str, str]) -> str:
    """The text of an /etc/hosts: localhost, then address by name."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    return "\n".join(lines + [f"{address} {name}" for name, address in names.items()]) + "\n"


def _nodad(item: IPv4Interface | IPv6Interface) -> str:
    # Duplicate address detection would keep an IPv6 address unusable for its first second or two.
    return " nodad" if item.version == 6 else ""


def _broadcast(item: IPv4Interface | IPv6Interface) -> str:
    return " broadcast +" if item.version == 4 else ""


def _everywhere(item: IPv4Interface | IPv6Interface) -> str:
    return "::/0" if item.version == 6 else "0.0.0.0/0"
