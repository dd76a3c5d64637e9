"""Look at one host from inside: a short-lived process that enters a place, probes, and prints what it found.

Started by the launcher once per place; a fresh interpreter without torch, so that entering namespaces disturbs nobody."""

import os
import socket
import sys
import threading

import msgspec

from commcheck.errors import LaunchError
from commcheck.model.base import Value
from commcheck.model.case import HostFacts, Listener, Outcome, Probe
from commcheck.model.plan import Place
from commcheck.probe.connect import answers_as_store, connect, way
from commcheck.probe.neighbours import answers
from commcheck.probe.ras import Door, Reply, ask
from commcheck.system.place import enter
from commcheck.system.process import die_with_parent

SIGN_DEADLINE = 0.4
"""Seconds for the attempt on the neighbouring port."""
MAX_PORT = 65535


class Target(Value, frozen=True):
    """A connection to try. `kind` and `peer_rank` are passed into the probe; `rank` says for whom it is tried."""

    rank: int
    address: str
    port: int
    kind: str = "master"
    peer_rank: int | None = None


class Request(Value, frozen=True):
    """What to look at. `parent` is the pid of the asking process; `nccl` the environment of a job that uses NCCL there."""

    parent: int
    place: Place = Place()
    facts: bool = False
    names: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    listening_on: tuple[int, ...] = ()
    nccl: dict[str, str] | None = None
    ras: tuple[Door, ...] = ()


class Answer(Value, frozen=True):
    """What was found. `probes` carry the slot for which each was tried."""

    facts: HostFacts | None = None
    probes: tuple[tuple[int, Probe], ...] = ()
    listeners: tuple[Listener, ...] = ()
    ras: tuple[Reply, ...] = ()
    failed: str = ""


def look(request: Request) -> Answer:
    """Carry out a request in this process, which must already be in its place. Never raises."""
    facts = None
    if request.facts:
        from commcheck.probe.facts import host_facts

        facts = host_facts(request.place.host, names=request.names)
        if request.nccl is not None:
            from commcheck.probe.nccl_library import ask as ask_library

            facts = msgspec.structs.replace(facts, nccl=ask_library(request.nccl))
    found: list[Listener] = []
    # Beside the other attempts: a rule that drops the port often drops it on the loopback interface too, and asking
    # who listens there then takes as long as they do.
    asking = threading.Thread(target=lambda: found.extend(x for port in request.listening_on for x in listeners(port)))
    asking.start()
    probes = _try_all(request.targets)
    asking.join()
    return Answer(facts=facts, probes=probes, listeners=tuple(found), ras=tuple(map(ask, request.ras)))


def _try_all(targets: tuple[Target, ...]) -> tuple[tuple[int, Probe], ...]:
    results: list[tuple[int, Probe]] = []

    def one(target: Target) -> None:
        if target.kind == "back":
            # A packet would tell the other host our hardware address, and so mend what is to be found.
            results.append((target.rank, way(target.address, target.port, target.kind, target.peer_rank)))
            return
        probe = connect(target.address, target.port, kind=target.kind, peer_rank=target.peer_rank)
        if probe.outcome is Outcome.OK and target.kind == "master":
            store = answers_as_store(target.address, target.port)
            if store is None:  # the store was busy, or a packet was lost: silence is believed when it is kept
                store = answers_as_store(target.address, target.port)
            detail = "a PyTorch store answers there" if store else "something answers there that is no PyTorch store"
            probe = msgspec.structs.replace(probe, detail=detail)
        elif probe.outcome is Outcome.TIMED_OUT and target.kind == "master":
            sign = sign_of_life(target.address, target.port)
            if sign:
                probe = msgspec.structs.replace(probe, detail=f"{probe.detail}, but the host itself is up ({sign})")
        results.append((target.rank, probe))

    threads = [threading.Thread(target=one, args=(t,)) for t in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(sorted(results, key=lambda r: (r[0], r[1].target, r[1].port)))


def sign_of_life(address: str, port: int) -> str:
    """How a host that is silent on one port shows that it is there: it answers ARP, or refuses on the next port."""
    try:
        resolved = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][4][0]
    except OSError:
        return ""  # the name is gone
    if answers(str(resolved)):
        return "it answers ARP"
    other = connect(address, port + 1 if port < MAX_PORT else port - 1, deadline=SIGN_DEADLINE)
    return f"port {other.port}: {other.outcome.value}" if other.outcome in (Outcome.OK, Outcome.REFUSED) else ""


def listeners(port: int) -> tuple[Listener, ...]:
    """Who listens on a port of this host. The owner is found where /proc lets us look."""
    from commcheck.system import sockets

    rows = sockets.table(os.getpid())
    found = {i: s for i, s in rows.items() if s.protocol == "tcp" and s.state == "LISTEN" and s.local_port == port}
    if not found:
        return ()
    owners: dict[str, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            for inode in sockets.inodes(int(name)) & found.keys():
                owners.setdefault(inode, int(name))
    result = []
    for inode, s in sorted(found.items()):
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(s.local_address, s.local_address)
        both = (address, "127.0.0.1") if s.local_address == "::" else (address,)
        store = any(answers_as_store(a, port) for a in both)
        pid = owners.get(inode)
        result.append(Listener(address=s.local_address, port=port, pid=pid, command=_command(pid), is_store=store))
    return tuple(result)


def _command(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(300).replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def main() -> None:
    """Read a request from standard input, enter its place, print the answer."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    die_with_parent(request.parent)
    try:
        enter(request.place)
        answer = look(request)
    except LaunchError as e:
        answer = Answer(failed=str(e))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
