"""A `Case`: all the evidence there is about one world, one host or one log. Everything said is computed from it."""

from enum import StrEnum

from commcheck.model.base import Value, remembered
from commcheck.model.fabric import Fabric
from commcheck.model.nccl import NcclFacts
from commcheck.model.phase import Phase, PhaseStatus
from commcheck.model.ras import Answer


class Origin(StrEnum):
    """Which door the evidence came in by."""

    WORLD = "world"  # commcheck started every rank
    JOINED = "joined"  # somebody else started the ranks; we are one of them, or read what they left
    STATIC = "static"  # settings and host facts alone
    LOG = "log"  # text that a job left behind
    LIVE = "live"  # a running job of somebody else's, looked at from outside and left alone


class Ended(StrEnum):
    """Why the watch over a world stopped."""

    FINISHED = "finished"  # every rank ended by itself, without an error
    FAILED = "failed"  # at least one rank failed or died
    STALLED = "stalled"  # nothing moved any more
    DEADLINE = "deadline"  # still moving when the last deadline passed
    RUNNING = "running"  # it went on when the look at it ended
    INTERRUPTED = "interrupted"
    NOT_RUN = "not-run"


# --- facts of a host ------------------------------------------------------------------------------------


class Address(Value, frozen=True):
    """One address of an interface. `family` is "ipv4" or "ipv6", `prefix` its network's length in bits."""

    family: str
    address: str
    prefix: int


class Interface(Value, frozen=True):
    """A network interface as the kernel shows it. `carrier`: a cable or peer is there. `carrier_changes`: how often it
    came or went since the interface was made; None where it could not be read."""

    name: str
    up: bool
    carrier: bool
    loopback: bool
    mtu: int
    mac: str = ""
    addresses: tuple[Address, ...] = ()
    carrier_changes: int | None = None


class Route(Value, frozen=True):
    """A route; `destination` in CIDR form, "0.0.0.0/0" is the default; `gateway` empty when on link."""

    destination: str
    gateway: str
    interface: str


class NameLookup(Value, frozen=True):
    """What a look-up gave. `addresses` in the resolver's order; `error` is empty on success."""

    name: str
    kind: str  # "forward" or "reverse"
    addresses: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0.0


class Limit(Value, frozen=True):
    """A resource limit; -1 is unlimited. `name` as in `ulimit`: nofile, nproc, memlock, as."""

    name: str
    soft: int
    hard: int


class Listener(Value, frozen=True):
    """A listening TCP socket on a host and, where it could be found, the process that owns it."""

    address: str
    port: int
    pid: int | None = None
    command: str = ""
    is_store: bool = False  # it answered as a PyTorch TCPStore does


class HostFacts(Value, frozen=True):
    """What is known about one host without starting anything there.

    `identity`: equal for two processes exactly where they share a kernel's network; host names do not tell (containers,
    `ip netns exec` and cloned images share them)."""

    host: str
    hostname: str = ""
    identity: str = ""
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    lookups: tuple[NameLookup, ...] = ()
    nameservers: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    listeners: tuple[Listener, ...] = ()
    port_range: tuple[int, int] | None = None  # net.ipv4.ip_local_port_range
    shm_bytes: int | None = None
    memory_bytes: int | None = None
    versions: dict[str, str] = {}  # python, torch, kernel, commcheck, ...
    backends: tuple[str, ...] = ()  # those that the installed torch offers, where a rank could say
    nccl: NcclFacts | None = None  # what libnccl says of the job's settings, where the job may use it
    fabric: Fabric | None = None  # RDMA cards and GPUs; None: neither, or not looked at
    not_read: tuple[str, ...] = ()  # facts that could not be read, each with its reason


# --- what one rank did ------------------------------------------------------------------------------------


class PhaseRecord(Value, frozen=True):
    """One phase of one rank. `begin` is in seconds since the world was started (monotonic)."""

    phase: Phase
    status: PhaseStatus
    begin: float
    seconds: float
    note: str = ""


class RankError(Value, frozen=True):
    """The exception that ended a rank, as it was raised. `no_descriptor_left`: the process could open no file then."""

    phase: Phase
    kind: str  # the exception's class name
    message: str
    no_descriptor_left: bool = False


def call_signature(op: str, elements: int, dtype: str, reduce_op: str) -> str:
    """What must agree between the ranks of a call, as reports write it: `all_reduce(4 x float32, sum)`; the name alone
    where a call brings nothing, or what it brings was not seen."""
    if not elements and not dtype:
        return op
    return f"{op}({elements} x {dtype}{', ' + reduce_op if reduce_op else ''})"


class Collective(Value, frozen=True):
    """A collective or point-to-point call that a rank issued, in its order; `expected` is what the workload asks for, as
    its step number `place` (None: it has no steps). `seconds`: from its issue to its return; None while it has not returned.
    `group`: the ranks of its group as this rank sees them, empty for the whole world."""

    index: int
    op: str
    shape: tuple[int, ...]
    dtype: str
    reduce_op: str = ""
    group: str = ""
    peer: int | None = None
    phase: Phase = Phase.VERIFY
    done: bool = False
    expected: str = ""  # the workload's own signature of this step; empty where there is none
    seconds: float | None = None
    place: int | None = None


class ValueCheck(Value, frozen=True):
    """A comparison of a collective's result with its reference value."""

    op: str
    dtype: str
    size: int  # elements
    ok: bool
    wrong_slots: tuple[int, ...] = ()  # ranks whose contribution came out wrong, where that can be told
    detail: str = ""


class Published(Value, frozen=True):
    """The address that a rank told the others to connect to."""

    rank: int
    address: str
    port: int | None = None


SENT_BACK = "says the host itself by ICMP, as a firewall that rejects does"  # how the detail of such a refusal ends
DNS_PORT = 53


STUCK = 2
"""Repetitions of a packet in a row from which it is more than one lost by chance: the second is 0.6 s after the packet."""


class Socket(Value, frozen=True):
    """A row of the kernel's TCP or UDP table that belongs to the rank's process.

    `state` as `ss` names it ("ESTAB", "SYN-SENT", "LISTEN", ...); queues in bytes."""

    family: str
    protocol: str
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    state: str
    send_queue: int = 0
    receive_queue: int = 0
    retransmits: int = 0
    interface: str = ""

    @property
    def stuck(self) -> bool:
        """What was sent on it has been repeated again and again, and the other side's kernel acknowledges nothing."""
        return self.state == "ESTAB" and self.protocol == "tcp" and self.send_queue > 0 and self.retransmits >= STUCK

    @property
    def asks_for_names(self) -> bool:
        """A question to a name server is open on it."""
        return self.protocol == "udp" and self.remote_port == DNS_PORT


class Outcome(StrEnum):
    """What a probe of ours met."""

    OK = "ok"
    REFUSED = "refused"
    TIMED_OUT = "timed-out"
    UNREACHABLE = "unreachable"  # no route to host or network
    UNRESOLVED = "unresolved"
    STALLED = "stalled"  # connected, but the payload did not come through
    OTHER = "other"


class Probe(Value, frozen=True):
    """One connection attempt of ours. `kind`: "master" (the store's port), "data" (an ephemeral port of a peer), "back" (only
    looked up: the route of rank 0's host to a rank that waits for its store), "bulk" (64 KiB through a data connection), "nccl"
    (both, to the address that NCCL takes on a peer), "name" (a look-up).

    Of a "bulk" only: `arrived` is how many of its bytes the peer's kernel has acknowledged; `sent` and `lost` are small packets
    with data, as the kernel counted them (0: it did not); `rate` is in bytes per second (0: not measured). `unanswered`: nobody
    answers the kernel's question (ARP) for the hardware address of the target, or of the `router` that its route leads to.
    `fixed`: the one that it does not ask for, by a permanent entry of its table of neighbours."""

    kind: str
    target: str
    port: int
    outcome: Outcome
    peer_rank: int | None = None
    via: str = ""  # the local address that the kernel chose
    errno: str = ""
    seconds: float = 0.0
    detail: str = ""
    arrived: int = 0
    sent: int = 0
    lost: int = 0
    rate: float = 0.0
    unanswered: bool = False
    router: str = ""
    fixed: str = ""

    @property
    def ends(self) -> bool:
        """No other probe of the same peer follows: the bulk is the last, and a connection that failed has none."""
        return self.kind == "bulk" or (self.kind == "data" and self.outcome is not Outcome.OK)


class PairMeasure(Value, frozen=True):
    """Latency (seconds, one way) and bandwidth (bytes per second) to one peer, coarse."""

    peer_rank: int
    latency: float
    bandwidth: float


class ProcessState(Value, frozen=True):
    """A live process as /proc shows it: `state` is R, S, D, T, Z or X; `cpu` in seconds; `faults`: pages it was given."""

    state: str
    threads: int = 0
    cpu: float = 0.0
    waiting_in: str = ""
    faults: int = 0

    @property
    def stopped(self) -> bool:
        """By a signal (T), or by a debugger (t)."""
        return self.state in ("T", "t")


class Exit(Value, frozen=True):
    """How a process ended: an exit code, or a signal's number. `oom`: the kernel's counters say out of memory. `by_us`:
    commcheck ended it after the evidence was taken, so it says nothing about the rank."""

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    by_us: bool = False


class LogLine(Value, frozen=True):
    """A line of text. `number` counts from 1 in its source; `rank`, `host` and `seconds` (of its day) where a mark says."""

    source: str
    number: int
    text: str
    rank: int | None = None
    seconds: float | None = None
    host: str = ""


class RankRecord(Value, frozen=True):
    """Everything about one process of the world. `slot` is its place in the launch order, unique even when two
    processes claim the same rank; `rank` and `world_size` are what its environment claims."""

    slot: int
    rank: int | None
    world_size: int | None
    host: str
    started: str = ""  # "warm" (forked), "cold" (fresh interpreter), "not-started"
    started_why: str = ""
    pid: int | None = None
    environment: dict[str, str] = {}  # the variables that bear on communication, secrets removed
    backend: str = ""
    init_method: str = "env://"
    phases: tuple[PhaseRecord, ...] = ()
    begun: float = 0.0  # when its world was started, in seconds since the epoch by its host's clock; 0: not known
    error: RankError | None = None
    exit: Exit | None = None
    process: ProcessState | None = None
    stack: tuple[str, ...] = ()
    sockets: tuple[Socket, ...] = ()
    published: tuple[Published, ...] = ()
    tries: tuple[int, ...] = ()  # ranks of other hosts that it set out to connect to, whether or not it has yet
    probes: tuple[Probe, ...] = ()
    carrier_changes: dict[str, int] = {}  # by interface of its host, as last seen: at its end, or at a standstill
    collectives: tuple[Collective, ...] = ()
    checks: tuple[ValueCheck, ...] = ()
    pairs: tuple[PairMeasure, ...] = ()
    waits_for: tuple[int, ...] = ()  # ranks that had not come to the store when this one looked for them
    members: tuple[tuple[int, int], ...] = ()  # (rank, pid) of every member, as an all-gather showed them
    output: tuple[LogLine, ...] = ()
    faults: tuple[str, ...] = ()  # faults made on purpose; for the report's reader, never for a rule

    @property
    def name(self) -> int:
        """The number by which to speak of this process: its claimed rank, else its slot."""
        return self.slot if self.rank is None else self.rank

    def phase(self, phase: Phase) -> PhaseRecord | None:
        """The record of `phase`, if the rank came to it."""
        return next((p for p in self.phases if p.phase is phase), None)

    @property
    def last_phase(self) -> PhaseRecord | None:
        """The phase that the rank was in when it was last heard of."""
        return self.phases[-1] if self.phases else None

    @property
    def finished(self) -> bool:
        """The rank came through its teardown."""
        last = self.last_phase
        return last is not None and last.phase is Phase.TEARDOWN and last.status is PhaseStatus.OK


class World(Value, frozen=True):
    """The world as it was asked for."""

    size: int
    backend: str
    master_addr: str = ""
    master_port: int | None = None
    store_seconds: float = 1800.0  # torch's own default for store and gloo collectives (torch.distributed.constants)


class Case(Value, frozen=True):
    """All evidence. `complete`: no further process will appear (the launcher has started all, or the join deadline
    has passed), so an absent rank is a missing one. `expected_slots` is how many processes were to be started."""

    origin: Origin
    world: World | None = None
    hosts: tuple[HostFacts, ...] = ()
    ranks: tuple[RankRecord, ...] = ()
    lines: tuple[LogLine, ...] = ()
    environment: dict[str, str] = {}  # for STATIC: the settings of this process
    ras: tuple[Answer, ...] = ()  # what NCCL's RAS has said of the job, the last answer last
    complete: bool = True
    ended: Ended = Ended.NOT_RUN
    seconds: float = 0.0
    not_read: tuple[str, ...] = ()  # evidence that could not be had, each with its reason

    def host(self, name: str) -> HostFacts | None:
        """The facts of one host."""
        return _by_name(self.hosts).get(name)


@remembered
def _by_name(hosts: tuple[HostFacts, ...]) -> dict[str, HostFacts]:
    return {h.host: h for h in reversed(hosts)}  # of several with one name, the first
