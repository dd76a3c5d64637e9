"""Run a bundle again: as it was declared, or on virtual hosts that are rebuilt from the recorded facts, or right here."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

from msgspec.structs import replace

from commcheck import api
from commcheck.catalog.env.select import REMOVED
from commcheck.diagnose.ingest.redact import MARK
from commcheck.errors import LaunchError, UsageError
from commcheck.lab.lab import Lab
from commcheck.lab.requirements import missing_requirement
from commcheck.model.base import Value, ranks_text
from commcheck.model.case import Case, HostFacts
from commcheck.model.diagnosis import Report
from commcheck.model.plan import Place, Plan
from commcheck.probe.facts import identity
from commcheck.probe.limits import limits
from commcheck.replay.bundle import RECORDED, Bundle
from commcheck.replay.cause import can_be_made, with_cause
from commcheck.replay.compare import compared, lead, same
from commcheck.replay.dressed import dressed
from commcheck.replay.fold import resized, resized_scenario
from commcheck.replay.guard import RUNS_CODE, checked
from commcheck.replay.hosts import rebuilt
from commcheck.runtime.launcher import Launcher
from commcheck.scenarios.needs import missing
from commcheck.scenarios.plan import BASE
from commcheck.scenarios.run import Runner
from commcheck.scenarios.strike import Strikes
from commcheck.system.ports import held_port

Say = Callable[[str], None]

AT_THE_PORT = frozenset(("port-in-use", "stale-store", "wrong-service-on-port", "port-out-of-range", "port-mismatch"))
"""Causes for which it matters which port the store has."""
OWN = frozenset(("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "VIRTUAL_ENV", "CONDA_PREFIX"))
"""Variables of the interpreter that commcheck ran in then; now it is this one."""


class Wish(Value, frozen=True):
    """How it is to be run. `place`: "lab", "here", or "" for what fits. `trust`: its commands may be run, too."""

    world_size: int | None = None
    place: str = ""
    with_cause: bool = False
    trust: bool = False
    try_fixes: bool = True


class Played(Value, frozen=True):
    """What came of it; enough to be saved again."""

    plan: Plan
    case: Case
    report: Report


def needs_lab(bundle: Bundle, wish: Wish) -> bool:
    """Virtual hosts are going to be built."""
    if bundle.plan.workload == RECORDED:
        return False
    if bundle.scenario is not None:
        return bundle.scenario.lab is not None
    return wish.place == "lab" or (wish.place == "" and not _is_here(bundle.case.hosts))


def replay(bundle: Bundle, wish: Wish, *, command: tuple[str, ...], say: Say) -> Played:
    """Run it, and say in the report's notes whether it is the same again. Raises UsageError and LaunchError."""
    safe = checked(bundle, trust=wish.trust)
    bundle = safe.bundle
    before = bundle.report
    if bundle.plan.workload == RECORDED:
        from commcheck.replay.recorded import play

        played, before, notes = play(bundle, wish.world_size, command=command, say=say)
    elif bundle.scenario is not None:
        played, notes = _declared(bundle, wish, command, say)
    else:
        played, notes = _recorded(bundle, wish, command, say)
    verdict = compared(before, played.report)
    say(verdict)
    found = lead(bundle.report)
    undeclared = bundle.scenario is None and bundle.plan.workload != RECORDED
    if (
        undeclared
        and not wish.with_cause
        and found is not None
        and can_be_made(found.cause)
        and not same(before, played.report)
    ):
        notes = [
            f"facts do not show what makes {found.cause}, so it was not rebuilt: --with-cause makes it on purpose",
            *notes,
        ]
    report = replace(
        played.report, notes=(verdict, *notes, *safe.notes, *_versions(bundle, played.report), *played.report.notes)
    )
    return replace(played, report=report)


def _versions(bundle: Bundle, report: Report) -> list[str]:
    """Versions that are other ones now."""
    names = ("commcheck", "torch", "python", "kernel")
    then, now = bundle.head.versions, report.versions
    return [f"{n} {then[n]} then, {now[n]} now" for n in names if n in then and n in now and then[n] != now[n]]


# -- as declared


def _declared(bundle: Bundle, wish: Wish, command: tuple[str, ...], say: Say) -> tuple[Played, list[str]]:
    scenario = bundle.scenario
    assert scenario is not None
    if wish.place == "here" and scenario.lab is not None:
        raise UsageError("--here: the scenario declares virtual hosts, and its faults are made there: leave it out")
    if wish.with_cause:
        raise UsageError("--with-cause: the faults are declared in the bundle, and are made anyhow: leave it out")
    if wish.world_size is not None:
        scenario = resized_scenario(scenario, wish.world_size)
    why = missing(scenario)
    if why:
        raise LaunchError(f"it cannot be run again here: {why}")
    say(f"as declared: {scenario.title}")
    with Runner(idle_labs=0) as runner:
        ran = runner.make(scenario, command=command, progress=say)
    return Played(plan=ran.plan, case=ran.case, report=ran.report), []


# -- as recorded


def _recorded(bundle: Bundle, wish: Wish, command: tuple[str, ...], say: Say) -> tuple[Played, list[str]]:
    found = lead(bundle.report)
    plan, notes = bundle.plan, []
    if wish.world_size is not None:
        plan, note = resized(plan, found.ranks if found is not None else (), wish.world_size)
        notes += [note] if note else []
    with ExitStack() as stack:
        plan, more = _arranged(plan, bundle.case.hosts, stack)
        notes += more
        used = tuple(dict.fromkeys(r.place.host for r in plan.ranks))
        names: tuple[str, ...] = ()
        lab: Lab | None = None
        if needs_lab(bundle, wish) and _possible(wish, used, notes):
            say(f"rebuilding {len(used)} host(s)")
            wanted = rebuilt(tuple(bundle.case.host(n) or HostFacts(host=n) for n in used))
            lab, failed = stack.enter_context(dressed(wanted))
            notes += [*wanted.notes, *failed]
            names = tuple(d.name for d in wanted.dresses)
            places = dict(zip(names, lab.places, strict=True))
            plan = replace(
                plan, ranks=tuple(replace(r, place=places[r.place.host]) for r in plan.ranks if r.place.host in places)
            )
        else:
            plan, more = _here(plan, found.cause if found is not None else "", stack)
            notes += more
        made = with_cause(plan, bundle.case, found, names) if wish.with_cause else None
        if made is not None:
            plan = made.plan
            notes.append(made.note)
        strikes = stack.enter_context(Strikes(lab, made.faults if made is not None else ()))
        cases: list[Case] = []
        launcher = stack.enter_context(Launcher(plan.base_environment, workload=plan.workload))
        report = api.preflight(
            plan,
            launcher=launcher,
            command=command,
            try_fixes=wish.try_fixes,
            progress=say,
            keep=cases.append,
            heard=strikes.heard,
        )
    return Played(plan=plan, case=cases[0], report=report), notes


def _is_here(hosts: tuple[HostFacts, ...]) -> bool:
    """It was recorded on this very host, in this network: what was wrong here may still be."""
    try:
        return len(hosts) == 1 and hosts[0].identity == identity()
    except OSError:
        return False


def _possible(wish: Wish, hosts: tuple[str, ...], notes: list[str]) -> bool:
    """Virtual hosts can be built; one host that cannot is replaced by this one, where that was not ruled out."""
    why = missing_requirement()
    if not why:
        return True
    if wish.place == "lab" or len(hosts) > 1:
        raise LaunchError(f"the recorded hosts cannot be rebuilt here: {why}")
    notes.append(f"the recorded host is not rebuilt ({why}): this one stands in for it")
    return False


def _arranged(plan: Plan, hosts: tuple[HostFacts, ...], stack: ExitStack) -> tuple[Plan, list[str]]:
    """The plan with this machine's own paths, without what was taken out or would load code, with the recorded limits."""
    left_out: dict[str, list[int]] = {}
    files: dict[str, str] = {}
    ranks = []
    for rank in plan.ranks:
        own = {}
        for name, value in rank.environment.items():
            if name in OWN:
                continue
            if REMOVED in value or MARK in value or name.startswith(RUNS_CODE):
                left_out.setdefault(name, []).append(rank.slot)
            else:
                own[name] = value
        init = rank.init_method
        if init.startswith("file:"):
            if not files:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="commcheck-"))
            init = files.setdefault(init, f"file://{folder}/{len(files)}")
        ranks.append(
            replace(
                rank, environment=BASE | own, init_method=init, limits=_limits(hosts, rank.place.host) | rank.limits
            )
        )
    notes = [
        f"{n} is not set: its value was a secret, or would load code ({ranks_text(r)})" for n, r in left_out.items()
    ]
    first = ranks[0].environment if ranks else {}
    shared = {n: v for n, v in first.items() if all(r.environment.get(n) == v for r in ranks)}
    return replace(plan, ranks=tuple(ranks), base_environment=shared), notes


def _limits(hosts: tuple[HostFacts, ...], name: str) -> dict[str, tuple[int, int]]:
    """The recorded limits that were lower than this process's own are."""
    now = {limit.name: limit.soft for limit in limits()}
    facts = next((h for h in hosts if h.host == name), None)
    lower = {}
    for limit in facts.limits if facts is not None else ():
        here = now.get(limit.name, 0)
        if limit.soft >= 0 and (here < 0 or limit.soft < here):
            lower[limit.name] = (limit.soft, limit.soft)
    return lower


def _here(plan: Plan, cause: str, stack: ExitStack) -> tuple[Plan, list[str]]:
    """All ranks on this machine, in its own network."""
    notes = ["on this machine itself: the recorded interfaces, routes and names are not rebuilt"]
    host = socket.gethostname()
    ranks = tuple(replace(r, place=Place(host=host)) for r in plan.ranks)
    ports = {r.environment.get("MASTER_PORT", "") for r in ranks}
    if len(ports) == 1 and cause not in AT_THE_PORT:
        (port,) = ports
        if port.isdigit() and not _free(int(port)):
            other = str(stack.enter_context(held_port()))
            ranks = tuple(replace(r, environment=r.environment | {"MASTER_PORT": other}) for r in ranks)
            notes.append(f"port {port} is taken here: the store has port {other}")
    return replace(plan, ranks=ranks), notes


def _free(port: int) -> bool:
    if not 0 < port < 65536:
        return True
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("", port))
        except OSError:
            return False
    return True
