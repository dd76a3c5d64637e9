"""A scenario: a world, what is done to it, and what commcheck has to say about it. Pure data, as its TOML file has it.

The field `fault` is typed loosely here: its kinds are the files of two folders, and `commcheck.scenarios.kinds` joins
them to the type that files are checked against."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from commcheck.model.base import Value
from commcheck.model.diagnosis import Verdict
from commcheck.model.taxonomy import FixPattern, Symptom
from commcheck.model.topology import Topology

SCHEMA = "commcheck/scenario/1"
WITHIN_SECONDS = 3.0
"""From the start of a world to its diagnosis, unless a scenario says otherwise."""
DEADLINE_SECONDS = 15.0
"""After which a world of a scenario is given up: one that commcheck cannot make out would be watched for minutes."""

Size = Annotated[int, Meta(ge=1, le=256)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]


class World(Value, frozen=True):
    """The world that is started: `size` ranks.

    `hosts`: which host each rank runs on, repeated from the front (default: rank i on host i, and so around). `master`:
    the host whose address all ranks are told as MASTER_ADDR, with `port` (default: 29500 in a lab, a free one without).
    `env` is set for all ranks; {h1} in a value is the address of host 1, {h1.eth1} the one of its interface eth1.
    `timeout`: of store and collectives, as a job would set it."""

    size: Size = 2
    backend: str = "gloo"
    hosts: tuple[int, ...] = ()
    master: int = 0
    port: Port | None = None
    env: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    timeout: Seconds | None = None
    workload: str = "standard"


class RankSettings(Value, frozen=True):
    """What is different for one rank. `limits`: soft and hard limit by name, as ulimit and setrlimit(2) know them
    ("nofile", "nproc", "as", "memlock", ...). `memory`: bytes that its control group lets it have. `other_torch`: it runs in
    the interpreter that COMMCHECK_OTHER_PYTHON names, which has another version of torch. `clock`: seconds by which its wall
    clock is ahead."""

    env: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    backend: str | None = None
    init_method: str | None = None
    limits: dict[str, int] = {}
    memory: Annotated[int, Meta(ge=1 << 20)] | None = None
    other_torch: bool = False
    clock: int = 0


class Expect(Value, frozen=True):
    """What has to be said.

    `cause`: what leads; where several things are wrong, `also` names the others, each of which may lead as well.
    `symptoms`: any of these. `ranks`: the culprits, not those that notice; `any_rank`: all do the same wrong, so that
    naming some of them is right too (the first to fail may be all that there is to see). `fixes`: patterns that must be offered;
    `mended`: some fix that only changes settings must have been tried and have worked. `within`: seconds from the start of
    the world to the diagnosis. Healthy worlds: `interface` that must carry the data."""

    verdict: Verdict
    cause: str = ""
    also: tuple[str, ...] = ()
    symptoms: tuple[Symptom, ...] = ()
    ranks: tuple[int, ...] = ()
    any_rank: bool = False
    fixes: tuple[FixPattern, ...] = ()
    mended: bool = False
    within: Seconds = WITHIN_SECONDS
    interface: str = ""


class Scenario(Value, frozen=True):
    """One file. Without `lab` all ranks run on this machine itself.

    `family`: scenarios of one family look alike from the job's own output. `requires`: what not every machine has (see
    `commcheck.scenarios.needs`). `deadline`: seconds after which its worlds are given up."""

    title: Text
    expect: Expect
    world: World = World()
    lab: Topology | None = None
    ranks: dict[str, RankSettings] = {}
    fault: tuple[Any, ...] = ()
    family: str = ""
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    source: str = ""
    deadline: Seconds = DEADLINE_SECONDS
