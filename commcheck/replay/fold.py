"""Fewer ranks, or more, in the place of those that were recorded: whoever differs from the rest stays. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from commcheck.errors import UsageError
from commcheck.model.base import ranks_text
from commcheck.model.plan import Plan, RankPlan
from commcheck.model.scenario import Scenario


def chosen(known: Sequence[int], special: Iterable[int], size: int, *, beside: Sequence[int] = ()) -> tuple[int, ...]:
    """Which `size` of the `known` ranks stand for all, in their order: of the `special` ones as many as leave the others in the
    majority, then those of `beside`, then the others from the front."""
    if size >= len(known):
        return tuple(known)
    own = [r for r in dict.fromkeys(special) if r in known]
    own.sort(key=lambda r: r not in beside)
    kept = own[: max(1, (size - 1) // 2)]
    rest = [r for r in dict.fromkeys((*beside, *known)) if r in known and r not in own]
    kept += [r for r in (*rest, *own) if r not in kept][: size - len(kept)]
    return tuple(r for r in known if r in kept)


def resized(plan: Plan, culprits: Iterable[int], size: int) -> tuple[Plan, str]:
    """The plan with `size` ranks, and a note on who stands for whom. `culprits`: numbers of ranks, as the report has them."""
    ranks = plan.ranks
    if size < 1:
        raise UsageError(f"--world-size {size}: must be at least 1")
    if size == plan.size:
        return plan, ""
    if size > plan.size:
        return _grown(plan, tuple(culprits), size)
    named = {_claimed(r): r for r in reversed(ranks)}
    slots = [r.slot for r in ranks]
    # Rank 0 has the store.
    kept = chosen(slots, [named[c].slot for c in culprits if c in named], size, beside=slots[:1])
    by_slot = {r.slot: r for r in ranks}
    made = tuple(_renumbered(by_slot[slot], number, plan.size, size) for number, slot in enumerate(kept))
    moved = [f"rank {new} is rank {_claimed(by_slot[old])} of then" for new, old in enumerate(kept) if new != old]
    note = f"{size} of {plan.size} ranks" + (f": {', '.join(moved[:8])}" if moved else "")
    return replace(plan, size=size, ranks=_locals(made)), note


def _grown(plan: Plan, culprits: tuple[int, ...], size: int) -> tuple[Plan, str]:
    """More ranks: copies of one that did nothing wrong, on the hosts in turn."""
    models = [r for r in plan.ranks if _claimed(r) not in culprits] or list(plan.ranks)
    if not models:
        raise UsageError(f"--world-size {size}: the bundle holds no rank that others could be made like")
    model = models[-1]
    places = list(dict.fromkeys(r.place for r in plan.ranks))
    old = tuple(_renumbered(r, r.slot, plan.size, size) for r in plan.ranks)
    more = tuple(
        replace(
            model,
            slot=number,
            place=places[number % len(places)],
            environment=model.environment | {"RANK": str(number), "WORLD_SIZE": str(size)},
        )
        for number in range(plan.size, size)
    )
    numbers = ranks_text(r.slot for r in more)
    return replace(plan, size=size, ranks=_locals((*old, *more))), f"{numbers}: made like rank {_claimed(model)}"


def _claimed(rank: RankPlan) -> int:
    text = rank.environment.get("RANK", "")
    return int(text) if text.isdigit() else rank.slot


def _renumbered(rank: RankPlan, number: int, before: int, size: int) -> RankPlan:
    """The rank at another place. What was set wrongly stays as it was set."""
    environment = dict(rank.environment)
    if environment.get("RANK") == str(rank.slot):
        environment["RANK"] = str(number)
    if environment.get("WORLD_SIZE") == str(before):
        environment["WORLD_SIZE"] = str(size)
    return replace(rank, slot=number, environment=environment)


def _locals(ranks: tuple[RankPlan, ...]) -> tuple[RankPlan, ...]:
    """LOCAL_RANK and LOCAL_WORLD_SIZE as a launcher would set them now, where they were set at all."""
    made = []
    for rank in ranks:
        mates = [r.slot for r in ranks if r.place == rank.place]
        own = {"LOCAL_RANK": str(mates.index(rank.slot)), "LOCAL_WORLD_SIZE": str(len(mates))}
        there = {n: v for n, v in own.items() if n in rank.environment}
        made.append(replace(rank, environment=rank.environment | there))
    return tuple(made)


def resized_scenario(scenario: Scenario, size: int) -> Scenario:
    """The scenario with another number of ranks. Raises UsageError where a rank that it speaks of would not be there."""
    spoken = [int(n) for n in scenario.ranks] + [f.rank for f in scenario.fault if hasattr(f, "rank")]
    least = max(spoken, default=0) + 1
    if size < least:
        raise UsageError(f"--world-size {size}: the scenario says what rank {least - 1} does: at least {least}")
    return replace(scenario, world=replace(scenario.world, size=size))
