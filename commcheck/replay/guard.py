"""A bundle may come from anybody: what of it could do harm here is refused, or taken out. Pure.

Nothing of it is believed: neither names that become parts of commands, nor sizes that become memory, nor paths of programs."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_interface, ip_network

import msgspec
from msgspec.structs import replace

from commcheck.errors import InputError, UsageError
from commcheck.model.base import Value
from commcheck.model.case import Address, HostFacts, Interface, NameLookup, Route
from commcheck.model.plan import Place, Plan, RankPlan
from commcheck.model.script import Play, Script, decode
from commcheck.planner import RANKS_LIMIT
from commcheck.registry import rank_faults
from commcheck.replay.bundle import RECORDED, Bundle
from commcheck.replay.calls import LARGEST_BYTES, PLAYED, ROOTED, WORLD
from commcheck.scenarios.check import problems
from commcheck.scenarios.strike import kind_of

WORKLOADS = frozenset(("standard", "bare", "training", "call", RECORDED))
"""Workloads that do what is written in commcheck; what two of them are told is looked at here."""
CALL_SIZE, MOST_ELEMENTS = "COMMCHECK_CALL_SIZE", 4 << 20
RUNS_CODE = ("LD_", "PYTHON")
"""Beginnings of the names of variables that make a process load code from files."""
COMMANDS = frozenset(("shell",))
"""Faults of ranks whose argument is a command."""
LIMITS = frozenset(("nofile", "nproc", "memlock", "as", "core", "stack"))
LARGEST_CALL = 1 << 22
"""Elements that one call may take together, on one rank: generous against what `calls.script` makes."""
MOST_CALLS = 1 << 20
"""Calls of one rank that are played; a recorder has some thousands."""

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")


class Checked(Value, frozen=True):
    """A bundle that can do no harm, and what was taken out of it."""

    bundle: Bundle
    notes: tuple[str, ...] = ()


def checked(bundle: Bundle, *, trust: bool) -> Checked:
    """The bundle without what could do harm. Raises InputError for what no bundle of ours holds, UsageError for commands that
    nobody has trusted."""
    plan = _plan(bundle.plan)
    _calls(bundle)
    _commands(bundle, trust=trust)
    if bundle.scenario is not None:
        if bundle.scenario.world.workload not in WORKLOADS:
            raise InputError(f"the bundle's workload {bundle.scenario.world.workload!r} is not one that is run again")
        # What it expects does not matter here: it is compared with what was said.
        for problem in (p for p in problems(bundle.scenario) if p.path[:1] != ("expect",)):
            raise InputError(f"the bundle's scenario: {'.'.join(map(str, problem.path))}: {problem.text}")
    notes: list[str] = []
    hosts = tuple(_facts(h, notes) for h in bundle.case.hosts)
    made = replace(bundle, plan=plan, case=replace(bundle.case, hosts=hosts))
    return Checked(bundle=made, notes=tuple(dict.fromkeys(notes)))


def _commands(bundle: Bundle, *, trust: bool) -> None:
    scenario = bundle.scenario
    found = [
        f"the fault {kind_of(f)!r} runs {f.argument!r}"
        for f in (scenario.fault if scenario is not None else ())
        if kind_of(f) in COMMANDS
    ]
    found += [
        f"the fault {f.name!r} runs {f.argument!r}" for r in bundle.plan.ranks for f in r.faults if f.name in COMMANDS
    ]
    if scenario is not None:
        settings = (scenario.world.env, *(r.env for r in scenario.ranks.values()))
        found += [f"{n}={v} loads code" for env in settings for n, v in env.items() if n.startswith(RUNS_CODE)]
    if found and not trust:
        raise UsageError(f"{found[0]}: if you know where the bundle is from, and want that, add --trust")


# -- the plan


def _calls(bundle: Bundle) -> None:
    """One call may be of any kind and of few elements."""
    told = [r.environment for r in bundle.plan.ranks]
    if bundle.scenario is not None:
        told += [bundle.scenario.world.env, *(r.env for r in bundle.scenario.ranks.values())]
    for size in (environ[CALL_SIZE] for environ in told if CALL_SIZE in environ):
        if not size.isdecimal() or len(size) > 9 or int(size) > MOST_ELEMENTS:
            raise InputError(f"the bundle's {CALL_SIZE} is {size[:40]!r}: up to {MOST_ELEMENTS} elements are run again")


def _plan(plan: Plan) -> Plan:
    if plan.workload not in WORKLOADS:
        raise InputError(f"the bundle's workload {plan.workload!r} is not one that is run again")
    if not 1 <= plan.size <= RANKS_LIMIT or len(plan.ranks) > RANKS_LIMIT:
        raise InputError(f"the bundle's world has {plan.size} ranks: 1 to {RANKS_LIMIT} are run again")
    if [r.slot for r in plan.ranks] != list(range(len(plan.ranks))):
        raise InputError("the bundle's ranks are not numbered from 0 on")
    if plan.workload == RECORDED:
        script(plan)
    return replace(
        plan,
        ranks=tuple(_rank(r) for r in plan.ranks),
        base_environment={},
        given=plan.given if plan.workload == RECORDED else b"",
    )


def _rank(rank: RankPlan) -> RankPlan:
    unknown = {f.name for f in rank.faults} - set(rank_faults())
    if unknown:
        raise InputError(
            f"the bundle's fault {min(unknown)!r} is not known: replay it with the commcheck that saved it"
        )
    if rank.limits.keys() - LIMITS:
        raise InputError(f"the bundle's limit {min(rank.limits.keys() - LIMITS)!r} is not known")
    if any("\0" in n or "=" in n or "\0" in v or not n for n, v in rank.environment.items()):
        raise InputError("the bundle has a variable that no environment can hold")
    return replace(rank, place=Place(host=rank.place.host), cgroups=(), python="")


def script(plan: Plan) -> Script:
    """The calls of a recording. Raises InputError for such as no dumps give."""
    try:
        made = decode(plan.given)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(f"the bundle's recording: {error}") from error
    world = range(len(made.parts))
    if not 1 <= len(world) <= RANKS_LIMIT or any(set(g) - set(world) or len(set(g)) != len(g) for g in made.groups):
        raise InputError("the bundle's recording has groups of ranks that are not there")
    for number, part in enumerate(made.parts):
        if part.rank != number or len(part.calls) > MOST_CALLS:
            raise InputError("the bundle's recording has no part for each rank")
        for call in part.calls:
            if not _playable(call, made, number):
                raise InputError(f"the bundle's recording has a call of rank {number} that cannot be played: {call.op}")
    return made


def _playable(call: Play, made: Script, rank: int) -> bool:
    if call.op not in PLAYED or not WORLD <= call.group < len(made.groups) or not 0 <= call.size <= LARGEST_BYTES:
        return False
    members = range(len(made.parts)) if call.group == WORLD else made.groups[call.group]
    if (call.peer >= 0) != (call.op in ROOTED or call.op in ("send", "recv")):
        return False
    if call.size * len(members) > LARGEST_CALL:
        return False
    return rank in members and (call.peer == -1 or call.peer in members)


# -- facts, which become commands


def _facts(facts: HostFacts, notes: list[str]) -> HostFacts:
    """The facts without names and addresses that are none."""
    kept = [i for i in facts.interfaces if _INTERFACE.fullmatch(i.name)]
    unique = {i.name: _interface(i) for i in kept}
    if len(unique) < len(facts.interfaces):
        notes.append(
            f"{facts.host}: {len(facts.interfaces) - len(unique)} interface(s) without a proper name are left out"
        )
    return replace(
        facts,
        interfaces=tuple(unique.values()),
        routes=tuple(r for r in facts.routes if _route(r)),
        lookups=tuple(found for found in facts.lookups if _lookup(found)),
        port_range=facts.port_range if facts.port_range is not None and _range(facts.port_range) else None,
    )


def _interface(interface: Interface) -> Interface:
    return replace(interface, addresses=tuple(a for a in interface.addresses if _address(a)))


def _address(address: Address) -> bool:
    try:
        ip_interface(f"{address.address.partition('%')[0]}/{address.prefix}")
    except ValueError:
        return False
    return "%" not in address.address or _INTERFACE.fullmatch(address.address.partition("%")[2]) is not None


def _route(route: Route) -> bool:
    try:
        ip_network(route.destination)
        if route.gateway:
            ip_address(route.gateway)
    except ValueError:
        return False
    return "%" not in route.destination + route.gateway


def _lookup(lookup: NameLookup) -> bool:
    try:
        for address in lookup.addresses if lookup.kind == "forward" else ():
            ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _NAME.fullmatch(lookup.name) is not None or lookup.kind != "forward"


def _range(ports: tuple[int, int]) -> bool:
    return 0 < ports[0] < ports[1] < 65536
