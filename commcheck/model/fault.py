"""Faults as a scenario declares them: a `kind`, its own parameters, and when it strikes. Pure data.

The kinds are not listed here: each module of `commcheck.lab.faults` has one, and each of `commcheck.worker.faults`."""

from __future__ import annotations

from commcheck.model.base import Value


class When(Value, frozen=True):
    """When a fault strikes. Without any: before the world is started.

    `phase`: as soon as a rank (that one, if `rank` is given) begins it. `after`: seconds after that, or after the
    start of the world. `lasts`: seconds until it is taken back; None: until the world has ended."""

    phase: str = ""
    rank: int | None = None
    after: float = 0.0
    lasts: float | None = None


class FaultSpec(Value, frozen=True, kw_only=True, tag_field="kind"):
    """The base of all kinds: a kind is a subclass with a tag of its own, and its fields are its parameters."""

    when: When | None = None


class HostFault(FaultSpec, frozen=True, kw_only=True):
    """A fault of hosts or of the network between them. `hosts`: where it is made, by number."""

    hosts: tuple[int, ...] = ()


class RankFault(FaultSpec, frozen=True, kw_only=True):
    """A fault that a rank's own program makes: at the begin of `phase`, with an argument of the kind's own."""

    rank: int
    phase: str = "verify"
    argument: str = ""
