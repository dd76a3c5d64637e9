"""The lab: build the hosts and the networks between them, and take them away."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from commcheck.errors import LaunchError
from commcheck.lab.host import Host, Space
from commcheck.lab.network import Extras, Wire, host_batch, hosts_file, switch_batch
from commcheck.lab.requirements import missing_requirement
from commcheck.model.plan import Place

KEEPER_SECONDS = 10.0
"""The longest that the keeper may take to hold all namespaces, or to end."""

SYSCTLS = {
    # IPv6 addresses are usable at once instead of after duplicate address detection.
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
}

NO_RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
"""The default resolv.conf: nobody listens there, so a look-up that no hosts file answers fails at once."""


class Lab:
    """N virtual hosts, `h0` to `h(N-1)`, joined by a bridge. Use as a context manager, from a thread that outlives it.

    `subnet` and `subnet6`: the addresses of eth0 (host i gets number 10+i; either may be None). `second`: a second
    network, eth1. `names`: each hosts file knows every host. `docker0`, `down`, `bare`, `gateway`: see
    `commcheck.lab.network.Extras`."""

    def __init__(
        self,
        hosts: int = 2,
        *,
        subnet: str | None = "10.77.0.0/24",
        subnet6: str | None = None,
        second: str | None = None,
        names: bool = True,
        docker0: bool = False,
        down: str = "",
        bare: str = "",
        gateway: bool = False,
    ) -> None:
        if hosts < 1 or not (subnet or subnet6):
            raise LaunchError("a lab needs at least one host and one subnet")
        wires = [Wire(name="eth0", bridge="br0", subnet=subnet, subnet6=subnet6)]
        if second:
            wires.append(Wire(name="eth1", bridge="br1", subnet=second))
        self.wires = tuple(wires)
        self.extras = Extras(docker0=docker0, down=down, bare=bare, gateway=gateway)
        self.names = {f"h{i}": self.wires[0].address(i) for i in range(hosts)}
        self.hosts: tuple[Host, ...] = ()
        self._write_names = names
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def switch(self) -> Space:
        """The namespace of the bridges: neutral ground between the hosts."""
        if self._keeper is None:
            raise LaunchError("the lab is not open")
        return Space("switch", self._keeper.pid)

    @property
    def places(self) -> tuple[Place, ...]:
        """One place per host, in order."""
        return tuple(host.place() for host in self.hosts)

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
        if keeper is None:
            return
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            keeper.communicate(timeout=KEEPER_SECONDS)  # closes its input: it ends its holders and itself
        if keeper.poll() is None:
            keeper.kill()
            keeper.communicate()

    def _build(self) -> None:
        text = hosts_file(self.names if self._write_names else {})
        files = {"/etc/hosts": text, "/etc/resolv.conf": NO_RESOLVER}
        spec = {
            "parent": os.getpid(),
            "sysctls": SYSCTLS,
            "hosts": [{"name": name, "files": files, "sysctls": SYSCTLS} for name in self.names],
        }
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("holder.py")), json.dumps(spec)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={},
        )  # fmt: skip
        answer = self._answer(self._keeper, self._keeper.stdout)
        if answer["errors"]:
            raise LaunchError("the lab could not be built: " + "; ".join(answer["errors"]))
        pids: list[int] = answer["pids"]
        switch = self.switch
        switch.command(["ip", "-batch", "-"], switch_batch(self.wires, pids, self.extras))
        self.hosts = tuple(Host(f"h{i}", pid, i, self.wires, switch) for i, pid in enumerate(pids))
        for host in self.hosts:
            host.command(["ip", "-batch", "-"], host_batch(self.wires, host.number, self.extras))

    @staticmethod
    def _answer(keeper: "subprocess.Popen[bytes]", stdout: IO[bytes] | None) -> dict[str, Any]:
        ready = stdout is not None and select.select([stdout], [], [], KEEPER_SECONDS)[0]
        line = stdout.readline() if stdout is not None and ready else b""
        if not line:
            keeper.kill()
            _, said = keeper.communicate()
            raise LaunchError(f"the lab's keeper did not start: {said.decode(errors='replace').strip() or 'silence'}")
        answer: dict[str, Any] = json.loads(line)
        return answer
