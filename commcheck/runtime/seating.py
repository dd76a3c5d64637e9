"""Which of the hosts that are expected a process is on, where the processes come as they please. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from commcheck.errors import UsageError
from commcheck.model.base import Value
from commcheck.runtime.board import Member


class Arrival(Value, frozen=True):
    """A process that has come. Its `member.rank` is what its launcher calls it, -1 where that does not number them; `pipe`: the
    rank of the host whose own pipe it came through, None where all share one."""

    member: Member
    pipe: int | None = None


class Seated(Value, frozen=True):
    """The processes, each with its host's rank, in order; and the hosts' names, by rank."""

    members: tuple[Member, ...]
    hosts: tuple[str, ...]


def seated(hosts: Sequence[str], arrivals: Sequence[Arrival], expected: Sequence[int]) -> Seated:
    """By its pipe, else by its host's name, else by its launcher's number, else by what is left: then nobody knows which
    hosts have not come. `expected`: the ranks for which processes were started, as the launcher numbers them. Raises UsageError
    for more processes than hosts."""
    taken: dict[int, Member] = {}
    left: list[Member] = []
    for one in arrivals:
        if one.pipe is None:
            left.append(one.member)
        elif taken.setdefault(one.pipe, one.member) is not one.member:
            raise UsageError(f"{hosts[one.pipe]}: more than one process was started there: start one")
    if len(taken) + len(left) > len(expected):
        raise UsageError(f"{len(taken) + len(left)} processes came from {len(expected)} hosts: start one on each")
    named, numbered = _ranks({rank: hosts[rank] for rank in expected}), dict(enumerate(expected))
    for by_name in (True, False):
        again, left = left, []
        for member in sorted(again, key=lambda m: m.begun):
            rank = named.get(_short(member.hostname)) if by_name else numbered.get(member.rank)
            if rank is None or rank in taken:
                left.append(member)
            else:
                taken[rank] = member
    free = [rank for rank in expected if rank not in taken]
    names = (
        {rank: f"a host of which nothing is known ({n})" for n, rank in enumerate(free[len(left) :], 1)} if left else {}
    )
    taken |= dict(zip(free, left, strict=False))
    return Seated(
        members=tuple(_at(rank, taken[rank]) for rank in sorted(taken)),
        hosts=tuple(names.get(rank, name) for rank, name in enumerate(hosts)),
    )


def _ranks(hosts: Mapping[int, str]) -> dict[str, int]:
    """By name without its domain, where that is one host's alone."""
    found: dict[str, int] = {}
    twice = set()
    for rank, name in hosts.items():
        if found.setdefault(_short(name), rank) != rank:
            twice.add(_short(name))
    return {name: rank for name, rank in found.items() if name not in twice}


def _short(name: str) -> str:
    return name.partition(".")[0].lower()


def _at(rank: int, member: Member) -> Member:
    from msgspec.structs import replace

    return replace(member, rank=rank)
