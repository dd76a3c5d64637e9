"""What is measured between the hosts of a cluster, and what it comes to. The report of `commcheck cluster`.

A matrix has a row per source and a column per target, both in the order of `ClusterReport.hosts`. A thousand hosts are a
million links: matrices hold plain numbers and letters, and only what is wrong has values of its own (`diagnoses`)."""

from __future__ import annotations

from enum import StrEnum

from commcheck.model.base import Value
from commcheck.model.case import HostFacts
from commcheck.model.diagnosis import Diagnosis, Verdict

SCHEMA = "commcheck/cluster/1"


class Reach(StrEnum):
    """How a target was reached from a source: a letter, so that a row of a matrix is a text."""

    OK = "o"
    ITSELF = "-"
    NOT_TRIED = "."
    UNRESOLVED = "n"  # the target's name has no address there, or another one than the target has
    NO_ROUTE = "u"  # the source's kernel said so, or a router on the way
    NO_NEIGHBOUR = "a"  # on the same network, and no ARP or neighbour answer
    DROPPED = "d"  # nothing came back
    REFUSED = "r"
    SOME_PORTS = "p"  # some of the tried ports work and others do not
    SMALL_ONLY = "m"  # small packets pass, large ones do not
    WRONG_VALUES = "w"  # what arrived was not what was sent


class HostRow(Value, frozen=True):
    """One host. `address`: that by which the others were told to reach it, on `interface`. `said_nothing`: it was expected
    and has not spoken, so that nothing else is known of it."""

    name: str
    address: str = ""
    interface: str = ""
    port: int | None = None
    facts: HostFacts | None = None
    said_nothing: bool = False


class Drift(Value, frozen=True):
    """Something that should be the same on all hosts and is not, or has changed since the baseline.

    `kind`: version, kernel, driver, variable, nccl, mtu, name, clock, limit. `values`: by value, the hosts that have it, the most
    common first. `baseline`: what it was, where there is one."""

    kind: str
    name: str
    values: dict[str, tuple[str, ...]]
    baseline: str = ""


class Step(Value, frozen=True):
    """What the hosts were told to do at one time, by the clock of the one who leads. Hosts are their places in
    `ClusterReport.hosts`.

    `name`: start, facts, reach, quiet, again, loaded, "loaded again", ...; `round`: from 1; 0 where it has none. `begin`:
    seconds since the report's `begun`. `took`: per host, seconds until its part was seen to be done; None: it had none, or
    never was. `waited_for`: whose part was done last, both ends where that was a link; nobody where all were done together. `silent`: who
    gave no answer."""

    name: str
    begin: float
    seconds: float
    round: int = 0
    took: tuple[float | None, ...] = ()
    waited_for: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()


class ClusterReport(Value, frozen=True):
    """The whole. `latency_us`: median round trip in microseconds, as a plain TCP ping has it; `gbit`: 10^9 bits per second
    of one stream, alone on its link; `gbit_loaded`: the same while all other pairs of the round talk. None: not measured.
    `bad_hosts`: those to leave out, as --exclude-file writes them. `grouped`: by group testing, which times few of the links.
    `begun`: seconds since the epoch."""

    verdict: Verdict
    command: tuple[str, ...]
    versions: dict[str, str]
    hosts: tuple[HostRow, ...]
    reach: tuple[str, ...]
    latency_us: tuple[tuple[float | None, ...], ...] = ()
    gbit: tuple[tuple[float | None, ...], ...] = ()
    gbit_loaded: tuple[tuple[float | None, ...], ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    drift: tuple[Drift, ...] = ()
    bad_hosts: tuple[str, ...] = ()
    rounds: int = 0
    grouped: bool = False
    begun: float = 0.0
    seconds: float = 0.0
    not_evaluated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    schema: str = SCHEMA
