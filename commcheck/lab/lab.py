"""The lab: build the hosts and the networks between them, and take them away."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any, Self

from commcheck.errors import LaunchError
from commcheck.lab import netlink
from commcheck.lab.carriers import wait_for_carriers
from commcheck.lab.host import Host, Space
from commcheck.lab.keeper import Keeper
from commcheck.lab.network import forwarding, hosts_file, names, port, wires
from commcheck.lab.requirements import missing_requirement
from commcheck.lab.validity import require_valid
from commcheck.model.plan import Place
from commcheck.model.topology import Topology

SYSCTLS = {
    # IPv6 addresses are usable at once instead of after duplicate address detection.
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
    # What one world learnt of a path must not shape the next one.
    "net.ipv4.tcp_no_metrics_save": "1",
}

FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
CABLES = dict.fromkeys((f"net.bridge.bridge-nf-call-{name}tables" for name in ("ip", "ip6", "arp")), "0")
"""A bridge is a cable: its frames do not pass the firewall of the switch's IP layer, whatever the machine's default."""

FILES = ("/etc/hosts", "/etc/resolv.conf")
TWO_HOSTS = Topology()

NO_RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
"""The default resolv.conf: nobody listens there, so a look-up that no hosts file answers fails at once."""


class Lab:
    """The virtual hosts of a topology, `h0` to `h(N-1)`, and the networks between them. Use as a context manager.

    Raises UsageError for a topology that contradicts itself; entering raises LaunchError where it cannot be built."""

    def __init__(self, topology: Topology = TWO_HOSTS) -> None:
        require_valid(topology)
        self.topology = topology
        self.names = names(topology)
        self.hosts: tuple[Host, ...] = ()
        self._keeper: Keeper | None = None

    @property
    def switch(self) -> Space:
        """The namespace of the bridges and routers: neutral ground between the hosts."""
        if self._keeper is None:
            raise LaunchError("the lab is not open")
        return Space("switch", self._keeper.pid)

    @property
    def places(self) -> tuple[Place, ...]:
        """One place per host, in order."""
        return tuple(host.place() for host in self.hosts)

    @property
    def private_files(self) -> tuple[str, ...]:
        """The files and directories that each host has for itself."""
        return (*FILES, "/dev/shm") if self.topology.shm is not None else FILES  # noqa: S108

    def __getitem__(self, number: int) -> Host:
        return self.hosts[number]

    def __len__(self) -> int:
        return len(self.hosts)

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts)

    def __enter__(self) -> Self:
        missing = missing_requirement()
        if missing:
            raise LaunchError(missing)
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every program and every namespace. Ranks that still run here belong to who started them."""
        for host in self.hosts:
            host.stop_programs()
        self.hosts = ()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    def _build(self) -> None:
        topology = self.topology
        router = forwarding(topology)
        sysctls = SYSCTLS | CABLES | dict.fromkeys(FORWARDING, "1" if router else "0")
        self._keeper = keeper = Keeper(sysctls, [self._held(number) for number in range(topology.hosts)])
        netlink.load()  # while the keeper starts
        keeper.wait()
        switch = self.switch
        switch.inside(partial(netlink.build_switch, topology, keeper.pids))
        if router:
            switch.nft(router)
        self.hosts = tuple(Host(f"h{i}", pid, i, wires(topology, i), switch) for i, pid in enumerate(keeper.pids))
        for host in self.hosts:
            host.inside(partial(netlink.build_host, topology, host.number))
        for space in (*self.hosts, switch):
            space.inside(partial(wait_for_carriers, space.name, self.cables(space)))

    def cables(self, space: Space) -> list[str]:
        """The links of a place that have a cable: a host's interfaces, or the switch's ports."""
        if isinstance(space, Host):
            return [wire.name for wire in space.wires if wire.cable]
        return [port(wire.network, host.number) for host in self.hosts for wire in host.wires if wire.cable]

    def _held(self, number: int) -> dict[str, Any]:
        """What the holder of a host is told."""
        topology = self.topology
        text = hosts_file(self.names if topology.names else {})
        uptimes = dict(enumerate(topology.uptimes))
        return {
            "name": f"h{number}",
            "files": dict(zip(FILES, (text, NO_RESOLVER), strict=True)),
            "sysctls": SYSCTLS,
            "shm": topology.shm,
            "uptime": uptimes.get(number, 0),
        }
