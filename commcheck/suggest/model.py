"""A setting, a candidate, the hosts, and the answer. Pure data."""

from __future__ import annotations

from commcheck.model.base import Value
from commcheck.model.case import HostFacts
from commcheck.model.diagnosis import Diagnosis, Verdict
from commcheck.model.phase import Phase
from commcheck.model.plan import Place

SCHEMA = "commcheck/suggestion/1"
DEFAULT_ADDR, DEFAULT_PORT = "127.0.0.1", 29500
"""What torchrun tells its ranks when nobody tells it."""


TIMEOUT = "timeout"
"""The one setting that is no variable: what the program gives to init_process_group, in seconds."""


class Setting(Value, frozen=True):
    """A variable and its values by host; a host that is not named does without.

    `of_main`: the value goes by the host of rank 0, and all ranks have the same. `why`: what speaks for it."""

    name: str
    values: dict[str, str]
    of_main: bool = False
    why: str = ""

    def value(self, host: str, main: str) -> str | None:
        """What a rank on `host` has when rank 0 is on `main`; None: nothing."""
        return self.values.get(main if self.of_main else host)


Candidate = tuple[Setting, ...]
"""The settings of one try, by name, each name once; nothing at all is one too."""

Order = tuple[str, ...]
"""The hosts in the order in which the ranks fill them; rank 0 is on the first."""


class Cluster(Value, frozen=True):
    """The hosts that the world is to run on. `base`: what every rank has in its environment besides the settings.

    `ports`: for MASTER_PORT, the best first. `timeout`: of store and collectives, where the job sets one. `nccl`: what NCCL
    takes on each host, for the ranks to try."""

    hosts: tuple[HostFacts, ...]
    places: tuple[Place, ...]
    size: int
    backend: str = "gloo"
    base: dict[str, str] = {}
    ports: tuple[int, ...] = ()
    timeout: float | None = None
    nccl: dict[str, str] = {}

    @property
    def names(self) -> Order:
        """The hosts as they were given."""
        return tuple(h.host for h in self.hosts)

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders in which the ranks are tried: as given, and from the other end. What forms in one of them alone does
        so by luck, or needs rank 0 to be where it is."""
        return (self.names,) if len(self.hosts) == 1 else (self.names, self.names[::-1])

    def host_of(self, rank: int, order: Order) -> str:
        """Where a rank runs: the hosts are filled one after the other, as launchers do."""
        return order[rank * len(order) // self.size]

    def ranks_on(self, host: str) -> tuple[int, ...]:
        """The ranks of a host in the given order."""
        return tuple(r for r in range(self.size) if self.host_of(r, self.names) == host)


class Trial(Value, frozen=True):
    """What a world did. `phase`: the first that not all ranks came through. `offers`: settings out of the fixes of what
    was diagnosed; `touches`: all that these fixes would set."""

    verdict: Verdict
    seconds: float
    phase: Phase | None = None
    diagnosis: Diagnosis | None = None
    touches: tuple[str, ...] = ()
    offers: tuple[Setting, ...] = ()
    values_checked: int = 0

    @property
    def formed(self) -> bool:
        """It formed, and every value was right."""
        return self.verdict is Verdict.HEALTHY

    @property
    def cause(self) -> str:
        """The cause that was diagnosed, or nothing."""
        return self.diagnosis.cause if self.diagnosis is not None else ""


class Removal(Value, frozen=True):
    """What the world did without one setting. `order`: in which it failed; `luck`: it formed in the given one; `judged`: it
    is known that it failed."""

    setting: str
    cause: str
    title: str
    order: Order
    luck: bool = False
    judged: bool = True


class Found(Value, frozen=True):
    """How a search ended. `failed`: the nearest that was tried, where nothing forms. `fixed_order`: it forms in the given
    order alone, and what happens in the other one."""

    settings: Candidate | None
    trial: Trial | None = None
    removals: tuple[Removal, ...] = ()
    fixed_order: str = ""
    not_proven: str = ""
    failed: Trial | None = None
    failed_with: Candidate = ()


class Leftover(Value, frozen=True):
    """A variable about communication that this shell has already. `harmless`: the world formed with it as well; None: that
    was not tried. `why`: of NCCL's, what was found to be wrong."""

    name: str
    value: str
    harmless: bool | None
    why: str = ""


class Suggestion(Value, frozen=True):
    """The answer. `advice`: settings for NCCL, with which no world was tried; `not_tried`: why not; `nccl`: what its library
    said instead, and what came of that."""

    verdict: Verdict
    size: int
    backend: str
    hosts: Order
    hostnames: dict[str, str]
    ranks: dict[str, tuple[int, ...]]
    settings: Candidate
    removals: tuple[Removal, ...] = ()
    fixed_order: str = ""
    not_proven: str = ""
    values_checked: int = 0
    world_seconds: float = 0.0
    orders: int = 1
    diagnosis: Diagnosis | None = None
    tried_with: Candidate = ()
    leftovers: tuple[Leftover, ...] = ()
    advice: Candidate = ()
    nccl: str = ""
    not_tried: str = ""
    worlds: int = 0
    seconds: float = 0.0
    torch: str = ""
    notes: tuple[str, ...] = ()
    schema: str = SCHEMA

    @property
    def main(self) -> str:
        """The host of rank 0."""
        return self.hosts[0]

    @property
    def all_settings(self) -> Candidate:
        """What was proven, and what is mere advice."""
        return (*self.settings, *self.advice)

    def environment(self, host: str) -> dict[str, str]:
        """The variables that are to be set on a host."""
        told = {s.name: s.value(host, self.main) for s in self.all_settings if s.name != TIMEOUT}
        return {name: value for name, value in told.items() if value is not None}
