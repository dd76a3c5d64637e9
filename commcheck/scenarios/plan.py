"""From a declared world to the plan of a real one: addresses, ports and folders that are only known here are filled in."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from msgspec.structs import replace

from commcheck.errors import UsageError
from commcheck.lab.faults.each import address
from commcheck.lab.lab import Lab
from commcheck.lab.memory import memory_group
from commcheck.model.plan import FaultAt, Plan
from commcheck.model.scenario import RankSettings, World
from commcheck.planner import local_plan
from commcheck.scenarios.needs import faketime, other_python
from commcheck.system.ports import held_port

LAB_PORT = 29500
"""torch's customary port. Every lab has networks of its own, so that all may use it."""
BASE = {"PATH": os.defpath} | {
    name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES") if name in os.environ
}
"""What every rank of a scenario has in its environment besides what the file says: a scenario is the same everywhere. Only
where this machine keeps its programs and libraries (containers find the CUDA driver by LD_LIBRARY_PATH alone), and which
GPUs are ours, are taken from it."""
IMPATIENT = {"RES_OPTIONS": "timeout:1 attempts:1"}
"""Without a lab the machine's own name server is asked: torch looks up the name of every address that connects to its
store, and a server that loses one question would cost five seconds. Virtual hosts have resolvers of their own."""
_HELD = re.compile(r"\{(main(?:\.[A-Za-z0-9_.-]+)?|port|taken|tmp)\}")


def plan(
    world: World,
    ranks: Mapping[int, RankSettings],
    lab: Lab | None,
    stack: ExitStack,
    faults: Mapping[int, tuple[FaultAt, ...]] | None = None,
    base: Mapping[str, str] = BASE,
) -> Plan:
    """The plan of a world; what it holds (a port, a folder, memory groups) is given back with `stack`. `base`: what every
    rank has in its environment besides.

    Raises UsageError for a value that speaks of a host or an interface that is not there."""
    where: dict[str, Any] = {"master_addr": "127.0.0.1", "base": IMPATIENT | dict(base)}
    if lab is not None:
        order = world.hosts or range(lab.topology.hosts)
        places = tuple(lab[n].place() for n in order)
        where = {"master_addr": lab[world.master].address, "base": base, "places": places}
    port = world.port or (LAB_PORT if lab is not None else stack.enter_context(held_port()))
    filling = _Filling(world, lab, stack, port)
    made = local_plan(
        size=world.size,
        backend=world.backend,
        env={k: filling(v) for k, v in world.env.items()},
        unset=world.unset,
        rank_env={n: _clock(r.clock) | {k: filling(v) for k, v in r.env.items()} for n, r in ranks.items()},
        rank_unset={n: r.unset for n, r in ranks.items()},
        rank_backend={n: r.backend for n, r in ranks.items() if r.backend is not None},
        init_method={n: filling(r.init_method) for n, r in ranks.items() if r.init_method is not None},
        limits={n: {k: (v, v) for k, v in r.limits.items()} for n, r in ranks.items()},
        cgroups={n: (stack.enter_context(memory_group(r.memory)),) for n, r in ranks.items() if r.memory},
        faults=faults,
        store_seconds=world.timeout,
        workload=world.workload,
        master_port=port,
        **where,
    )
    others = {n for n, r in ranks.items() if r.other_torch}
    return replace(made, ranks=tuple(replace(r, python=other_python()) if r.slot in others else r for r in made.ranks))


class _Filling:
    """Fills in what stands in braces. A port that is taken and a folder are made once, where they are first spoken of."""

    def __init__(self, world: World, lab: Lab | None, stack: ExitStack, port: int) -> None:
        self._world, self._lab, self._stack, self._port = world, lab, stack, port
        self._made: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        text = _HELD.sub(lambda found: self._value(found[1]), text)
        return text if self._lab is None else address(self._lab, text)

    def _value(self, name: str) -> str:
        if name == "port":
            return str(self._port)
        if name.startswith("main"):
            return self._main(name.partition(".")[2])
        if name not in self._made:
            self._made[name] = self._taken() if name == "taken" else self._folder()
        return self._made[name]

    def _main(self, of: str) -> str:
        """The host that all ranks are told: its address, name, IPv6 address, or address on an interface."""
        if self._lab is None:
            return {"": "127.0.0.1", "name": socket.gethostname(), "ipv6": "::1"}.get(of, "127.0.0.1")
        host = self._lab[self._world.master]
        if of == "ipv6" and not host.address6:
            raise UsageError(f"{{main.ipv6}}: {host.name} has no IPv6 address in this lab")
        fixed = {"": host.address, "name": host.name, "ipv6": host.address6}
        return fixed[of] if of in fixed else host.address_on(of)

    def _taken(self) -> str:
        """A port of the master's host on which somebody else listens."""
        holder = socket.socket() if self._lab is None else self._lab[self._world.master].socket()
        self._stack.callback(holder.close)
        holder.bind(("", 0))
        holder.listen()
        return str(holder.getsockname()[1])

    def _folder(self) -> str:
        return self._stack.enter_context(tempfile.TemporaryDirectory(prefix="commcheck-"))


def _clock(ahead: int) -> dict[str, str]:
    """What gives a rank another wall clock; the monotonic one, by which everybody waits, stays."""
    if not ahead:
        return {}
    return {"LD_PRELOAD": faketime(), "FAKETIME": f"{ahead:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
