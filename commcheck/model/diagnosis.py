"""What commcheck says: matches, diagnoses, fixes, and the report (contract: schema commcheck/report/1)."""

from enum import StrEnum

from msgspec import field

from commcheck.model.base import Value
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

SCHEMA = "commcheck/report/1"


class Verdict(StrEnum):
    """The three answers. Our own failure is inconclusive, never unhealthy."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"


class Role(StrEnum):
    """A root cause, or what follows from one."""

    ROOT = "root"
    CONSEQUENCE = "consequence"


class EvidenceKind(StrEnum):
    """Where a piece of evidence was seen."""

    LOG = "log"
    PHASE = "phase"
    SOCKET = "socket"
    PROBE = "probe"
    STACK = "stack"
    FACT = "fact"
    EXIT = "exit"
    VALUE = "value"


class Evidence(Value, frozen=True):
    """One observation. `source` names the file, table or probe, `line` its line where it has one."""

    kind: EvidenceKind
    text: str
    rank: int | None = None
    source: str = ""
    line: int | None = None


class Link(Value, frozen=True):
    """A direction between two ranks or hosts."""

    source: str
    target: str
    port: int | None = None


class Fix(Value, frozen=True):
    """A repair as data. Where `set`, `unset` or `args` alone describe it, commcheck can try it; `commands` change a
    machine and are printed, never run. `verified`: True worked, False did not, None was not tried (`not_tried` says why).
    `applies_to_ranks` empty: all ranks. `rank_set`: by slot (as text), where the values differ: two processes that claim
    the same rank have different slots."""

    pattern: FixPattern
    text: str
    set: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    rank_set: dict[str, dict[str, str]] = {}
    args: dict[str, str] = {}  # of commcheck preflight: backend, world-size, master-port, ...
    commands: tuple[str, ...] = ()
    applies_to_ranks: tuple[int, ...] = ()
    frequency: str = ""
    verified: bool | None = None
    not_tried: str = ""

    @property
    def changes_settings_only(self) -> bool:
        """It can be tried on the same world without touching the machine."""
        return bool(self.set or self.unset or self.args or self.rank_set) and not self.commands


class Match(Value, frozen=True):
    """What a rule found. `symptom` overrides the rule's default where the phase decides it. `consequence`: it rests on
    what others say of a failure that names itself elsewhere."""

    symptom: Symptom
    title: str
    confidence: float
    ranks: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    against: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()
    next: tuple[str, ...] = ()
    consequence: bool = False


class Diagnosis(Value, frozen=True):
    """One ranked answer of the report. `confirm`: how to see for oneself that it is so."""

    symptom: Symptom
    cause: str
    code: str
    title: str
    confidence: float
    role: Role
    stage: Stage
    ranks: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    against: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()
    confirm: str = ""


class Moment(Value, frozen=True):
    """Something that a log tells of, on one rank or several, with the line of the first of them.

    `seconds`: of the day, as that line's clock has it; with `exact` false it has none, and this is the last time before
    it. `cause` and `role`: of the diagnosis that cites such a line."""

    seconds: float | None
    exact: bool
    ranks: tuple[int, ...]
    hosts: tuple[str, ...]
    text: str
    source: str
    line: int
    cause: str = ""
    role: Role | None = None


class RankPhase(Value, frozen=True):
    """One row of the report's phase table. `begin`: seconds after the first rank's start, by its host's clock where the
    ranks were started on their own; None: not known. A phase that is still running when the report is made has no
    `seconds` yet."""

    rank: int
    slot: int
    phase: str
    status: str
    seconds: float
    begin: float | None = None


class Placed(Value, frozen=True):
    """How one rank was placed and started."""

    rank: int
    slot: int
    host: str
    pid: int | None
    started: str
    started_why: str = ""


class PublishedRow(Value, frozen=True):
    """An address that a rank told the others to connect to, whether or not they then could. In the order in which they
    were told: that of commcheck's own probe, then that of the process group."""

    rank: int
    address: str
    port: int | None = None


class Connection(Value, frozen=True):
    """A connection that the kernel shows between two ranks' processes, and the interface that carries it."""

    rank: int
    local: str
    remote: str
    interface: str
    purpose: str  # "store" or "data"


class PairRow(Value, frozen=True):
    """Coarse latency (seconds) and bandwidth (bytes per second) from one rank to another."""

    rank: int
    peer_rank: int
    latency: float
    bandwidth: float


class WorldReport(Value, frozen=True):
    """The world that was really formed, with its proof."""

    size: int
    backend: str
    hosts: tuple[str, ...] = ()
    master: str = ""
    placed: tuple[Placed, ...] = ()
    published: tuple[PublishedRow, ...] = ()
    proof: tuple[Connection, ...] = ()
    distinct_processes: int = 0
    values_checked: int = 0
    seconds: float = 0.0  # from the start of the world to the verdict; the import of torch is not in it
    pairs: tuple[PairRow, ...] = ()


class Report(Value, frozen=True):
    """The JSON report. Field order is the order of printing."""

    schema: str
    verdict: Verdict
    command: tuple[str, ...]
    versions: dict[str, str]
    world: WorldReport | None
    phases: tuple[RankPhase, ...]
    diagnoses: tuple[Diagnosis, ...]
    not_evaluated: tuple[str, ...]
    next: tuple[str, ...]
    replay: str
    seconds: float
    notes: tuple[str, ...] = field(default=())
    first: Moment | None = None  # of the first rank that failed, where a log tells
    timeline: tuple[Moment, ...] = field(default=())
