"""What an engine is, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from commcheck.model.base import Value

Environ = Mapping[str, str]
RUN = "COMMCHECK_RUN"
"""The variable in which the one that starts the ranks names the run, to know its records from others'."""


class Member(Value, frozen=True):
    """What a launcher's variables say of one process. `read`: the variables that say it.

    `first_host`: the host of rank 0, "" where the variables do not tell; `port`: one for the job's store that another job
    on the same hosts would not choose, where the launcher has a number for it."""

    engine: str
    rank: int
    world_size: int
    local_rank: int | None = None
    local_world_size: int | None = None
    first_host: str = ""
    port: int | None = None
    read: tuple[str, ...] = ()


class Allocation(Value, frozen=True):
    """Hosts that are this process's to start ranks on, and have none yet. `nodes`: 0 where only the engine itself can count
    them; `ranks`: 0 where none were asked for; `hosts`: their names, in the order in which ranks are given, where that is known.
    `read`: the variables that say it."""

    engine: str
    nodes: int = 0
    ranks: int = 0
    hosts: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


class Wanted(Value, frozen=True):
    """What is to be started: a preflight, or in each process `runs`, which needs no rendezvous. `options`: of `commcheck
    preflight`; `report_dir`: one that all hosts share, "" where the ranks' reports come with the engine's output; `program`: what
    is commcheck on the hosts; `talks`: what is written to the engine is to reach every process. `run`: what `RUN` is to be there,
    where the engine does not pass it on; `gpus`: per host, where they have to be asked for; `pod`: a pod template of the job's
    own, as Kubernetes has it in JSON."""

    nodes: int
    ranks_per_node: int
    report_dir: str = ""
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("commcheck",)
    master_port: int = 29500
    hosts: tuple[str, ...] = ()
    image: str = ""
    name: str = "commcheck"
    size: int = 0
    runs: tuple[str, ...] = ()
    talks: bool = False
    run: str = ""
    gpus: int = 0
    pod: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def world_size(self) -> int:
        """All ranks."""
        return self.size or self.nodes * self.ranks_per_node

    @property
    def words(self) -> tuple[str, ...]:
        """What each process runs."""
        return self.runs or self.preflight

    @property
    def preflight(self) -> tuple[str, ...]:
        """What each process of a preflight runs."""
        reports = ("--report-dir", self.report_dir) if self.report_dir else ("--report-to", "stdout")
        return (*self.program, "preflight", *reports, *self.options)


class Launch(Value, frozen=True):
    """What would be started: files to write (name and text), then commands for a shell, and what to know about them. `at_end`:
    what a rank says is passed on when it has ended."""

    commands: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    at_end: bool = False


class Engine(Value, frozen=True):
    """A launcher. `within`: engines that may have started it; it then speaks for the process. `render`: None for those that
    are only recognised. `run`: the variables that together name one launch. `holds`: what this process may start ranks in; `asked`: the
    same for one that needs to be asked for, since no variable tells. `unreached`: the hosts that it has not reached, by its own
    words, with those of each. `carrier`: our own module that carries out what was rendered, where no command of the engine's does
    all of it; its ranks then run in an image of theirs, where this machine's files are not."""

    name: str
    detect: Callable[[Environ], Member | None]
    render: Callable[[Wanted], Launch] | None = None
    within: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    holds: Callable[[Environ], Allocation | None] | None = None
    asked: Allocation | None = None
    unreached: Callable[[Sequence[str]], dict[str, str]] | None = None
    carrier: str = ""


def number(environ: Environ, *names: str) -> int | None:
    """The first of these variables that is a number of at least 0."""
    for name in names:
        text = environ.get(name, "").strip()
        if text.isdecimal():
            return int(text)
    return None


def present(environ: Environ, *names: str) -> tuple[str, ...]:
    """Those of the names that are set."""
    return tuple(name for name in names if name in environ)
