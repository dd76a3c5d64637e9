"""A `Plan`: everything needed to start a world, and nothing that is not. Pure data; `runtime` carries it out."""

from commcheck.model.base import Value


class Place(Value, frozen=True):
    """Where a process runs. All empty: right here.

    `netns`: an entry below /run/netns, as `ip netns` makes them (its files below /etc/netns/NAME are mounted over
    /etc, as `ip netns exec` does). `pid`: instead, the namespaces (net, uts, mnt, and the clocks of its children) of that process."""

    host: str = ""  # the name by which reports speak of it
    netns: str = ""
    pid: int | None = None

    @property
    def here(self) -> bool:
        """No namespace has to be entered."""
        return not self.netns and self.pid is None


class FaultAt(Value, frozen=True):
    """A fault made on purpose inside one rank: the name of a module of `commcheck.worker.faults`, when it strikes
    (at the begin of that phase), and an argument."""

    name: str
    phase: str = ""
    argument: str = ""


class RankPlan(Value, frozen=True):
    """One process: its exact environment (nothing is inherited), place, limits and faults.

    `limits`: soft and hard value by name ("nofile", "as", ...). `cgroups`: directories whose cgroup.procs it joins."""

    slot: int
    environment: dict[str, str]
    place: Place = Place()
    limits: dict[str, tuple[int, int]] = {}
    cgroups: tuple[str, ...] = ()
    faults: tuple[FaultAt, ...] = ()
    backend: str = "gloo"
    store_seconds: float | None = None  # None: torch's own default
    init_method: str = "env://"
    name_patience: float = 0.0  # seconds for which a MASTER_ADDR without an address may be about to get one
    python: str = ""  # an interpreter of its own; empty: the launcher's
    nccl_address: str = ""  # what NCCL would form a communicator from there, for the ranks to try; empty: they need not


class Plan(Value, frozen=True):
    """A world to start. `size`: the world size that is meant, against which the ranks' own claims are compared."""

    size: int
    backend: str
    ranks: tuple[RankPlan, ...]
    workload: str = "standard"
    given: bytes = b""  # what the workload is told; its own business
    base_environment: dict[str, str] = {}  # what all ranks share; the forking process is started with it
