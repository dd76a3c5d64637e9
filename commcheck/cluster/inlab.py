"""A cluster of virtual hosts: the lab is built, an agent is started on each host, and this process leads.

What they say to each other are files in a file system that lives in the first host's mount namespace: it goes with the lab,
also when this process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isqrt
from pathlib import Path

from commcheck.cluster.lead import Lead, Options
from commcheck.cluster.values import Collected
from commcheck.errors import LaunchError, UsageError
from commcheck.lab.lab import Lab
from commcheck.model.fault import FaultSpec
from commcheck.model.topology import Topology
from commcheck.runtime.folder import Folder
from commcheck.scenarios.strike import Strikes

LEADER = -1
"""The rank of this process, which is none of the hosts."""
MOUNT_SECONDS = 10.0
"""For one mount(8)."""
NEIGHBOURS = "/proc/sys/net/ipv4/neigh/default/gc_thresh3"
"""How many neighbours the kernel holds, for all its network namespaces together (ip-sysctl.rst)."""
PLACE = "/mnt"
_ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from commcheck.cluster.agent import main; main()"


def collected(
    topology: Topology, faults: tuple[FaultSpec, ...], say: Callable[[str], None], options: Options
) -> Collected:
    """Build, measure, take away. Raises LaunchError and UsageError."""
    _has_room_for(topology.hosts)
    say(f"building {topology.hosts} virtual hosts")
    with Lab(topology) as lab, Strikes(lab, faults):
        return measured(lab, say, options)


def _has_room_for(hosts: int) -> None:
    """Virtual hosts share their kernel's table of neighbours, and where it is full packets are lost without a word: every
    host would be called unreachable by some. Raises UsageError."""
    try:
        most = int(Path(NEIGHBOURS).read_text())
    except (OSError, ValueError):  # a network namespace of our own has no such file
        return
    if hosts * (hosts - 1) > most:
        raise UsageError(
            f"--lab: {hosts} virtual hosts are {hosts * (hosts - 1)} neighbours for one kernel, and this one holds {most}: "
            f"take at most {isqrt(most)} hosts, or sysctl -w {'.'.join(Path(NEIGHBOURS).parts[3:])}={2 * hosts * hosts}"
        )


def measured(
    lab: Lab,
    say: Callable[[str], None],
    options: Options,
    *,
    silent: Sequence[int] = (),
    env: dict[str, str] | None = None,
) -> Collected:
    """The hosts of a lab that is there, with whatever lies on them. `silent`: hosts where no agent is started."""
    names = [host.name for host in lab]
    there = [n for n in range(len(lab)) if n not in silent]
    with _board(lab) as directory:
        for number in there:
            lab[number].popen(
                [sys.executable, "-P", "-c", _BOOT, _ROOT, directory, str(number), names[number]],
                env={**os.environ, **(env or {})},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        lead = Lead(Folder(directory, LEADER), names, there, say, options)
        try:
            return lead.collected()
        finally:
            lead.leave(0)
            for host in lab:
                host.stop_programs()


@contextmanager
def _board(lab: Lab) -> Iterator[str]:
    first = lab[0]
    done = first.run(["mount", "-t", "tmpfs", "commcheck", PLACE], timeout=MOUNT_SECONDS)
    if done.returncode:
        raise LaunchError(f"cannot mount a file system for what the hosts say: {done.stderr.strip()}")
    try:
        yield f"/proc/{first.pid}/root{PLACE}"
    finally:
        first.run(["umount", "-l", PLACE], timeout=MOUNT_SECONDS)
