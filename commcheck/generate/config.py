"""A `Config`: everything that one world is configured by, in the words that scenario files use. Pure data.

A value may hold what is only known where the world is run: {h1} and {h1.eth1} are addresses of host 1, {main} is the
host that all ranks are told as MASTER_ADDR ({main.name}, {main.ipv6}, {main.eth1}), {port} the port of its store,
{taken} a port on which somebody else listens there, {tmp} a folder of this world alone."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from commcheck.model.base import Value
from commcheck.model.diagnosis import Verdict
from commcheck.model.scenario import Expect, RankSettings, Scenario, World
from commcheck.model.topology import Topology

INTERFACE_VARIABLE = "GLOO_SOCKET_IFNAME"


class Config(Value, frozen=True):
    """One world. `ranks`: what is different for a rank, by its number as text. Without `lab`: on this machine."""

    world: World = World()
    ranks: dict[str, RankSettings] = {}
    lab: Topology | None = None

    def environment(self, rank: int) -> dict[str, str]:
        """What is set for a rank beyond what a launcher sets."""
        own = self.ranks.get(str(rank), RankSettings())
        dropped = {*self.world.unset, *own.unset}
        return {k: v for k, v in {**self.world.env, **own.env}.items() if k not in dropped or k in own.env}


def with_environment(config: Config, variables: Mapping[str, str], rank: int | None = None) -> Config:
    """The configuration with these variables set, for all ranks or for one (a negative number counts from the last)."""
    if rank is None:
        return replace(config, world=replace(config.world, env=config.world.env | dict(variables)))
    own = config.ranks.get(at(config, rank), RankSettings())
    return with_rank(config, rank, replace(own, env=own.env | dict(variables)))


def with_rank(config: Config, rank: int, settings: RankSettings) -> Config:
    """The configuration with these settings of one rank (a negative number counts from the last)."""
    return replace(config, ranks=config.ranks | {at(config, rank): settings})


def at(config: Config, rank: int) -> str:
    """The key of a rank, which may be counted from the last. A rank that is not there stays as it is: it is not used."""
    return str(config.world.size + rank if rank < 0 else rank)


def scenario(config: Config, title: str, verdict: Verdict, cause: str = "") -> Scenario:
    """The configuration as a scenario: to be kept as a file, and run again by `commcheck scenario run`."""
    return Scenario(
        title=title,
        expect=Expect(verdict=verdict, cause=cause),
        world=config.world,
        lab=config.lab,
        ranks=config.ranks,
    )
