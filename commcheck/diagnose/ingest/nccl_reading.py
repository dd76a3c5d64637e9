"""What NCCL tells of itself with NCCL_DEBUG=INFO or TRACE: communicators, networks, rings, and how each pair is connected.

The wordings are those of NCCL 2.10 to 2.30 (src/init.cc, src/bootstrap.cc, src/transport, src/graph/connect.cc). A part
that a release does not print stays empty.

What may not be here: I/O, or judgement.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from commcheck.diagnose.lazy import Lazy
from commcheck.model.base import Value
from commcheck.model.case import LogLine


class Member(Value, frozen=True):
    """A rank of a communicator. `seconds`: what its initialisation took, where it says so."""

    rank: int
    size: int
    host: str
    pid: int
    device: int
    bus: str
    complete: bool = False
    seconds: float | None = None
    line: LogLine | None = None


class Communicator(Value, frozen=True):
    """Those that say the same communicator of themselves. `identity`: NCCL's commId; for one that was split off its
    colour and size; for a release that prints neither its size."""

    identity: str
    members: tuple[Member, ...]

    @property
    def sizes(self) -> frozenset[int]:
        """How many ranks it has, as its members say: one number, if they agree."""
        return frozenset(member.size for member in self.members)


class Connection(Value, frozen=True):
    """How one rank sends to another in a channel. `via`: "P2P/IPC", "SHM/direct", "NET/IB/0/GDRDMA", "NET/Socket/0"."""

    channel: int
    source: int
    target: int
    via: str
    host: str = ""
    line: LogLine | None = None

    @property
    def transport(self) -> str:
        """P2P, SHM, NET/IB, NET/Socket, or NET/ with a plug-in's name."""
        head, _, rest = self.via.partition("/")
        return f"NET/{rest.split('/')[0]}" if head == "NET" else head


class Process(Value, frozen=True):
    """What one process (or of several processes of a host that do not differ, one) says of its networks.

    `cards`: the RDMA ports that it uses, as "mlx5_0:1/IB"; `network`: what it has chosen; `direct_off`: why the cards do
    not reach the GPUs' memory; `set`: variables that NCCL says it was told."""

    host: str
    pid: int
    version: str = ""
    bootstrap: str = ""
    cards: tuple[str, ...] = ()
    no_cards: bool = False
    sockets: tuple[str, ...] = ()
    network: str = ""
    plugin: str = ""
    direct_off: tuple[str, ...] = ()
    set: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    lines: tuple[LogLine, ...] = ()


class Nccl(Value, frozen=True):
    """Everything that NCCL has told. `rings`: by channel the ranks in their order; `trees`: by rank what it prints."""

    versions: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    communicators: tuple[Communicator, ...] = ()
    connections: tuple[Connection, ...] = ()
    rings: dict[int, tuple[int, ...]] = {}  # noqa: RUF012 - as above
    trees: dict[int, str] = {}  # noqa: RUF012 - as above


# Each line that is read has one of these. Of lines that differ in numbers alone a few are kept of a large log: a thousand
# ranks connect a hundred thousand times, and one that says something else differs in more.
WORDS = (
    "net/ib : using", "using network ", "bootstrap : using", "bootstrap: using", "init timings", "set by environment to",
    " via net/", " via p2p/", " via shm/", " via direct shared memory", "nccl info channel ", "nccl info trees [",
    " nnodes ",
)  # fmt: skip

_WHO = Lazy(r"(?P<host>[A-Za-z0-9][\w.-]{0,254}):(?P<pid>\d{1,9}):\d{1,9} \[\d{1,5}\] ")
_VERSION = Lazy(r"\bNCCL version (?P<version>\d+\.\d+\.\d+)")
_INIT = Lazy(
    r"\brank (?P<rank>\d{1,7}) nranks (?P<size>\d{1,7}) cudaDev (?P<device>-?\d{1,4})(?: nvmlDev -?\d{1,4})? busId (?P<bus>\w{1,16})"
    r"(?: commId (?P<id>0x\w{1,16})| parent \S{1,20}(?: \w+Count (?P<nth>-?\d+))? color (?P<color>-?\d+) key -?\d+)? ?- Init (?P<what>START|COMPLETE)"
)
_TIMINGS = Lazy(
    r"Init timings(?: - \w+)?: rank (?P<rank>\d{1,7}) nranks (?P<size>\d{1,7}) total (?P<total>[\d.]{1,12})"
)
_BOOTSTRAP = Lazy(r"\bBootstrap ?: Using (?:\[0\])?(?P<name>\S{1,300}?)<\d+>")
_IB = Lazy(r"\bNET/IB ?: Using (?P<list>.{1,2000})")
_CARD = Lazy(r"(?<![\w:])(?P<card>[A-Za-z][\w-]{0,60}:\d{1,3}/(?:IB|RoCE|uIB|Unknown|\w*IB)\b)")
_SOCKETS = Lazy(r"\bNET/Socket ?: Using (?P<list>\[\d.{1,2000})")
_SOCKET = Lazy(r"\[\d{1,3}\](?P<name>[^:\s]{1,60}):")
_NETWORK = Lazy(r"\b(?:Using network|Assigned NET plugin) (?P<name>\S.{0,80}?)(?: to comm)?\s*$")
_PLUGIN = Lazy(
    r"\b(?:NET/Plugin ?: Loaded net plugin|Successfully loaded external network plugin) (?P<name>\S.{0,200}?)(?: \(v\d{1,3}\))?\s*$"
)
_SET = Lazy(r"\b(?P<name>NCCL_\w{1,60}) set (?:by environment )?to (?P<value>\S{1,200}?)\.?\s*$")
_DIRECT = Lazy(
    r"(?:NET/IB ?: )?GPU Direct RDMA Disabled for (?:GPU \w+ / )?(?:HCA (?P<hca>\w+)(?: '(?P<name>[^']{1,60})')?)?.{0,40}?(?:\((?P<why>[^)]{1,80})\))?\s*$"
)
_LINK = Lazy(
    r"\bChannel (?P<channel>\d{1,4})(?:/\d{1,4})? : (?P<source>\d{1,7})\[\w{1,16}\] -> (?P<target>\d{1,7})\[\w{1,16}\]"
    r"(?: \[(?P<way>send|receive)\])? via (?P<via>\S.{0,80}?)(?: comm \S+ nRanks \d+)?\s*$"
)
_RING = Lazy(r"\bChannel (?P<channel>\d{1,4})/\d{1,4} ?:(?P<ranks>(?: +\d{1,7})+)\s*$")
_TREES = Lazy(r"\bTrees(?P<trees>(?: \[\d{1,4}\] \S{1,60}){1,128})")


class _Said(NamedTuple):
    line: LogLine
    host: str
    pid: int
    text: str


def read(lines: Iterable[LogLine]) -> Nccl:
    """What the lines of any number of ranks tell, in whatever order they come."""
    said = [found for line in lines if (found := _said(line)) is not None]
    versions = dict.fromkeys(m["version"] for s in said if (m := _VERSION.re.search(s.text)))
    return Nccl(
        versions=tuple(versions),
        processes=_processes(said),
        communicators=_communicators(said),
        connections=_connections(said),
        rings=_rings(said),
        trees={
            s.line.rank: m["trees"].strip() for s in said if s.line.rank is not None and (m := _TREES.re.search(s.text))
        },
    )


def _said(line: LogLine) -> _Said | None:
    if "NCCL" not in line.text:
        return None
    text = line.text[:4096]
    who = _WHO.re.search(text, 0, 400)
    if who is None:
        return _Said(line, line.host, 0, text) if "NCCL version" in text else None
    return _Said(line, who["host"], int(who["pid"]), text[who.end() :])


# --- networks --------------------------------------------------------------------------------------------------


def _processes(said: Iterable[_Said]) -> tuple[Process, ...]:
    by_process: dict[tuple[str, int], list[_Said]] = {}
    for one in said:
        if one.pid:
            by_process.setdefault((one.host, one.pid), []).append(one)
    made = (_process(host, pid, rows) for (host, pid), rows in by_process.items())
    return tuple(p for p in made if p.lines or p.version or p.set or p.no_cards)


def _process(host: str, pid: int, said: list[_Said]) -> Process:
    def first(pattern: Lazy, group: str) -> str:
        return next((str(m[group]) for s in said if (m := pattern.re.search(s.text))), "")

    cards = _CARD.re.findall(first(_IB, "list").partition("; OOB")[0])
    told = [
        s for s in said if any(p.re.search(s.text) for p in (_BOOTSTRAP, _IB, _SOCKETS, _NETWORK, _PLUGIN, _DIRECT))
    ]
    return Process(
        host=host,
        pid=pid,
        version=first(_VERSION, "version"),
        bootstrap=first(_BOOTSTRAP, "name"),
        cards=tuple(dict.fromkeys(cards)),
        no_cards=any("NET/IB : No device found" in s.text for s in said),
        sockets=tuple(dict.fromkeys(_SOCKET.re.findall(first(_SOCKETS, "list")))),
        network=first(_NETWORK, "name"),
        plugin=first(_PLUGIN, "name"),
        direct_off=tuple(dict.fromkeys(reason for s in said if (reason := _direct_off(s.text)))),
        set={m["name"]: m["value"] for s in said if (m := _SET.re.search(s.text))},
        lines=tuple(s.line for s in told[:8]),
    )


def _direct_off(text: str) -> str:
    match = _DIRECT.re.search(text)
    if match is None or "NET/Socket" in text:
        return ""
    card = match["name"] or match["hca"] or ""
    return ": ".join(part for part in (card, match["why"] or "") if part) or "no reason given"


# --- communicators ---------------------------------------------------------------------------------------------


def _communicators(said: Iterable[_Said]) -> tuple[Communicator, ...]:
    found: dict[str, dict[tuple[int, str, int, int], Member]] = {}
    seconds: dict[tuple[str, int, int, int], float] = {}
    for one in said:
        if time := _TIMINGS.re.search(one.text):
            seconds[one.host, one.pid, int(time["rank"]), int(time["size"])] = _number(time["total"])
        match = _INIT.re.search(one.text)
        if match is None:
            continue
        rank, size = int(match["rank"]), int(match["size"])
        members = found.setdefault(_identity(match), {})
        before = members.get((rank, one.host, one.pid, size))
        members[rank, one.host, one.pid, size] = Member(
            rank=rank,
            size=size,
            host=one.host,
            pid=one.pid,
            device=int(match["device"]),
            bus=match["bus"],
            complete=match["what"] == "COMPLETE" or (before is not None and before.complete),
            line=before.line if before else one.line,
        )
    return tuple(
        Communicator(
            identity=identity,
            members=tuple(_timed(m, seconds) for m in sorted(members.values(), key=lambda m: (m.rank, m.host, m.pid))),
        )
        for identity, members in found.items()
    )


def _identity(match: re.Match[str]) -> str:
    if match["id"]:
        return match["id"]
    if match["color"]:
        return f"split {match['nth'] or ''} color {match['color']} of {match['size']}"
    return f"of {match['size']}"


def _timed(member: Member, seconds: dict[tuple[str, int, int, int], float]) -> Member:
    from msgspec.structs import replace

    total = seconds.get((member.host, member.pid, member.rank, member.size))
    return member if total is None else replace(member, seconds=total)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


# --- channels --------------------------------------------------------------------------------------------------


def _connections(said: Iterable[_Said]) -> tuple[Connection, ...]:
    """Each direction of each channel once: sender and receiver both tell of it."""
    found: dict[tuple[int, int, int], Connection] = {}
    for one in said:
        match = _LINK.re.search(one.text)
        if match is None:
            continue
        key = (int(match["channel"]), int(match["source"]), int(match["target"]))
        if key in found and match["way"] == "receive":
            continue
        found[key] = Connection(
            channel=key[0], source=key[1], target=key[2], via=_via(match["via"]), host=one.host, line=one.line
        )
    return tuple(connection for _, connection in sorted(found.items()))


def _via(text: str) -> str:
    """Until 2.11 shared memory had no short name."""
    return "SHM/direct" if text.startswith("direct shared memory") else text.replace("P2P/direct pointer", "P2P/direct")


def _rings(said: Iterable[_Said]) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for one in said:
        if match := _RING.re.search(one.text):
            found.setdefault(int(match["channel"]), tuple(map(int, match["ranks"].split())))
    return found
