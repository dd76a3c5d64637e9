"""What the hosts of a cluster say to each other and measure. Frozen values, without input and output."""

from __future__ import annotations

from collections.abc import Iterable

from commcheck.cluster.group_testing import Isolated
from commcheck.model.base import Value
from commcheck.model.case import HostFacts
from commcheck.model.cluster import Reach

DRIVER = "nvidia-driver"
"""Where the versions of a host's facts have its GPU driver's."""
LIBRARY = "libnccl"
"""Where they have that of the libnccl which a job would load."""


class Card(Value, frozen=True):
    """What a host says of itself first of all. `cores`: processors of its kernel. `ports`: where it listens, the main one
    first; `mark`: what the others say there to be let in. `environment`: the variables that bear on communication, without
    secrets."""

    name: str
    facts: HostFacts
    mark: bytes
    ports: tuple[int, ...]
    cores: int = 1
    environment: dict[str, str] = {}


class Target(Value, frozen=True):
    """A host as the others are told of it."""

    rank: int
    name: str
    address: str
    ports: tuple[int, ...]
    mark: bytes


class PortTry(Value, frozen=True):
    """A connection that was tried: `reach` is OK, REFUSED, DROPPED, NO_ROUTE, NO_NEIGHBOUR or WRONG_VALUES (another program
    answered)."""

    port: int
    reach: Reach
    detail: str = ""


class Reached(Value, frozen=True):
    """How one host met another. `large`: OK, SMALL_ONLY, WRONG_VALUES, or NOT_TRIED where no connection stood. `mtu`: of the
    path, as the kernel knew it after a large transfer. `gbit`: at which further pieces went, where many talked; None: none did.
    `named`: the addresses that the other's name has there; `name_error`: why it has none. `fixed`: the hardware
    address that the kernel was told for it, once and for all, where no port answered."""

    rank: int
    ports: tuple[PortTry, ...]
    large: Reach = Reach.NOT_TRIED
    large_detail: str = ""
    mtu: int | None = None
    gbit: float | None = None
    named: tuple[str, ...] = ()
    name_error: str = ""
    fixed: str = ""


class Flow(Value, frozen=True):
    """One direction of a link. `gbit`: 10^9 bits per second of one stream; None: not measured. `sent` and `lost`: small
    packets. `right`: what arrived is what was sent."""

    gbit: float | None = None
    sent: int = 0
    lost: int = 0
    right: bool = True


class Measured(Value, frozen=True):
    """A link, measured by `source`. `latency_us`: median round trip of a small message between two processes; `connect_us`:
    median of what a connection takes, which is how a plain TCP ping counts; `ahead`: seconds by which the target's clock is ahead, at most
    `ahead_error` wrong. `failed`: why it could not be measured to the end."""

    source: int
    target: int
    latency_us: float | None = None
    connect_us: float | None = None
    there: Flow = Flow()
    back: Flow = Flow()
    ahead: float | None = None
    ahead_error: float = 0.0
    failed: str = ""


# --- what the one who leads tells the others, and their answers ---------------------------------------------


class MeetAll(Value, frozen=True, tag="meet"):
    """Try every target: its name, its ports, 64 KiB."""

    targets: tuple[Target, ...]


class Know(Value, frozen=True, tag="know"):
    """The targets that later orders mean."""

    targets: tuple[Target, ...]


class MeetGroups(Value, frozen=True, tag="groups"):
    """Of each test, every host of the one group tries every host of the other as in MeetAll, and moves pieces to it unless they
    are a pair."""

    tests: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


class MeasurePairs(Value, frozen=True, tag="measure"):
    """The first of each pair measures the link to the second. `seconds`: of each stream; 0: none. `small`: latency and loss
    too. `both`: the streams of the two directions at the same time."""

    pairs: tuple[tuple[int, int], ...]
    seconds: float
    small: bool = True
    both: bool = False


class Leave(Value, frozen=True, tag="leave"):
    """It is over, with this exit code."""

    code: int


Order = MeetAll | Know | MeetGroups | MeasurePairs | Leave


class Answer(Value, frozen=True):
    """What came of an order at one host."""

    reached: tuple[Reached, ...] = ()
    measured: tuple[Measured, ...] = ()
    failed: str = ""


class Timed(Value, frozen=True):
    """A step of the run. `begun`: seconds since the epoch; `heard`: by rank, seconds until its answer was there; `silent`:
    who was asked and gave none; `pairs`: the links that were measured, each by its first end."""

    name: str
    round: int
    begun: float
    seconds: float
    heard: dict[int, float]
    pairs: tuple[tuple[int, int], ...] = ()
    silent: tuple[int, ...] = ()


class Collected(Value, frozen=True):
    """All that is known of a cluster, in the order of its hosts. `names` and `addresses` are those of `targets`; a host
    without a card has said nothing; `silent`: why, where that is known. `gone`: hosts that stopped answering, with when.
    `quiet`, `loaded`: the links with few and with all others talking; `again`: those that stood out, once more and alone.
    `loaded_again`: those rounds once more. `isolated`: what group testing has made of it, which leaves most links untimed; None:
    every pair was to be timed."""

    names: tuple[str, ...]
    cards: dict[int, Card]
    targets: dict[int, Target]
    interfaces: dict[int, str]
    reached: dict[int, tuple[Reached, ...]] = {}
    quiet: tuple[Measured, ...] = ()
    again: tuple[Measured, ...] = ()
    loaded: tuple[Measured, ...] = ()
    loaded_again: tuple[Measured, ...] = ()
    gone: dict[int, str] = {}
    silent: dict[int, str] = {}
    rounds: int = 0
    isolated: Isolated | None = None
    notes: tuple[str, ...] = ()
    steps: tuple[Timed, ...] = ()


def share_a_kernel(cards: Iterable[Card]) -> bool:
    """Some of the hosts are virtual ones of one machine, and compete for its processors. A host that could not tell
    which kernel it has is taken for one of its own."""
    known = [kernel for card in cards if (kernel := card.facts.identity.partition("/")[0])]
    return len(set(known)) < len(known)
