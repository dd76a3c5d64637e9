"""The verbs of commcheck as functions: the map of the program.

preflight   plan -> facts of the hosts -> a real world, watched -> case -> judgement -> fixes tried -> report
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable

from msgspec.structs import replace

from commcheck.diagnose import build
from commcheck.diagnose.match import FLAGGED, Judgement, decided, judge, rules
from commcheck.errors import UsageError
from commcheck.model.case import Case, HostFacts
from commcheck.model.diagnosis import Diagnosis, Fix, Report, Role, Verdict
from commcheck.model.plan import Place, Plan
from commcheck.planner import apply
from commcheck.probe.agent import Request, look
from commcheck.runtime.agents import Asking
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms, Watch, refuse_unplaced
from commcheck.runtime.world import RunningWorld

FIXES_TRIED = 6
"""Fixes tried per report at most; each costs a world."""
DIAGNOSES_MENDED = 3
"""Root diagnoses whose fixes are tried, best first."""


def silent(_: object) -> None:
    """Progress that nobody wants to see."""


def preflight(
    plan: Plan,
    *,
    launcher: Launcher | None = None,
    command: tuple[str, ...] = (),
    try_fixes: bool = True,
    terms: Terms | None = None,
    progress: Callable[[str], None] = silent,
    first: Callable[[Report], None] | None = None,
    keep: Callable[[Case], None] | None = None,
    heard: Callable[[RunningWorld], None] = silent,
) -> Report:
    """Form the world of `plan`, check it phase by phase, diagnose, try the fixes.

    `launcher`: a warm one to use again; else one is started and ended here. `first` is called with the report as it
    stands before the fixes are tried, seconds earlier than the return; `keep` with all evidence; `heard` whenever the ranks of a world
    (also of one in which a fix is tried) have come further. Raises UsageError and LaunchError."""
    begin = time.monotonic()
    if launcher is None:
        with Launcher(plan.base_environment or None, workload=plan.workload) as own:
            return _preflight(plan, own, command, try_fixes, terms or Terms(), progress, first, keep, heard, begin)
    return _preflight(plan, launcher, command, try_fixes, terms or Terms(), progress, first, keep, heard, begin)


def _preflight(
    plan: Plan,
    launcher: Launcher,
    command: tuple[str, ...],
    try_fixes: bool,
    terms: Terms,
    progress: Callable[[str], None],
    first: Callable[[Report], None] | None,
    keep: Callable[[Case], None] | None,
    heard: Callable[[RunningWorld], None],
    begin: float,
) -> Report:
    launcher.begin()
    progress(f"looking at {len({r.place for r in plan.ranks})} host(s)")
    facts = host_facts(plan)
    plan = _with_nccl(plan, facts)
    progress("importing torch")
    rules()  # read while the other process imports torch, and not when a verdict is waited for
    case = observe(plan, launcher, facts, terms, progress, heard=heard)
    if keep is not None:
        keep(case)
    judgement = judge(case)
    report = build.report(
        case,
        judgement,
        command=command,
        seconds=time.monotonic() - begin,
        replay=shlex.join(command),
        notes=_notes(launcher),
    )
    if judgement.verdict is not Verdict.UNHEALTHY:
        return report
    if first is not None:
        first(report)
    if try_fixes:
        tried = with_tried_fixes(plan, launcher, facts, judgement, terms, progress, heard)
        report = replace(report, diagnoses=tried, seconds=round(time.monotonic() - begin, 3))
    return report


def _notes(launcher: Launcher) -> tuple[str, ...]:
    if launcher.ready is None:
        return ()
    return (f"torch {launcher.ready.torch} was imported once for all forked ranks, in {launcher.import_seconds:.1f} s",)


def host_facts(plan: Plan) -> tuple[HostFacts, ...]:
    """The facts of every place of a plan, all at once. A place that cannot be entered raises LaunchError."""
    requests = {}
    for place in dict.fromkeys(r.place for r in plan.ranks):
        names = {r.environment.get("MASTER_ADDR", "") for r in plan.ranks if r.place == place} - {""}
        requests[place] = Request(parent=0, facts=True, names=tuple(sorted(names)), nccl=_uses_nccl(plan, place))
    here = {p: r for p, r in requests.items() if p.here}
    with Asking({p: r for p, r in requests.items() if not p.here}) as asking:
        answers = {p: look(replace(r, place=p)) for p, r in here.items()} | asking.answers()
    found = {
        p: answers[p].facts or HostFacts(host=p.host, not_read=(answers[p].failed or "no facts were given",))
        for p in requests
    }
    if not any(r.nccl for r in requests.values()):
        return tuple(found.values())
    from commcheck.runtime.nccl import with_reach

    return tuple(with_reach(found).values())


def _uses_nccl(plan: Plan, place: Place) -> dict[str, str] | None:
    """The environment of the first rank of a place that uses NCCL; None where none does."""
    rank = next((r for r in plan.ranks if r.place == place and "nccl" in (r.backend or plan.backend)), None)
    return None if rank is None else {**plan.base_environment, **rank.environment}


def _with_nccl(plan: Plan, facts: tuple[HostFacts, ...]) -> Plan:
    """The plan, with the address that NCCL would take on each rank's host, for the ranks to try."""
    places = dict.fromkeys(r.place for r in plan.ranks)
    answers = {place: f.nccl.answer for place, f in zip(places, facts, strict=True) if f.nccl is not None}
    taken = {place: answer.address for place, answer in answers.items() if answer is not None and answer.works}
    return replace(plan, ranks=tuple(replace(r, nccl_address=taken.get(r.place, "")) for r in plan.ranks))


def observe(
    plan: Plan,
    launcher: Launcher,
    facts: tuple[HostFacts, ...],
    terms: Terms,
    progress: Callable[[str], None],
    decides: Callable[[Case], bool] = decided,
    heard: Callable[[RunningWorld], None] = silent,
) -> Case:
    """Run one world and return all evidence about it. `decides`: whether the evidence so far is enough."""
    with launcher.start(plan) as world:
        case = Watch(world, facts, decides, terms, progress, heard).run()
    refuse_unplaced(case)
    return case


def with_tried_fixes(
    plan: Plan,
    launcher: Launcher,
    facts: tuple[HostFacts, ...],
    judgement: Judgement,
    terms: Terms,
    progress: Callable[[str], None],
    heard: Callable[[RunningWorld], None] = silent,
) -> tuple[Diagnosis, ...]:
    """The diagnoses with `verified` filled in: each fix that only changes settings is applied to the same world."""
    left = FIXES_TRIED
    roots = [d for d in judgement.diagnoses if d.role is Role.ROOT and d.confidence >= FLAGGED][:DIAGNOSES_MENDED]
    done = []
    for diagnosis in judgement.diagnoses:
        if diagnosis not in roots:
            done.append(
                replace(diagnosis, fixes=tuple(_untried(f, "it is not the leading cause") for f in diagnosis.fixes))
            )
            continue
        fixes = []
        worked = False
        for fix in diagnosis.fixes:
            if worked or left == 0:
                fixes.append(
                    _untried(fix, "another fix worked" if worked else f"{FIXES_TRIED} fixes were tried already")
                )
                continue
            tried = _try(fix, plan, launcher, facts, terms, progress, heard)
            left -= tried.verified is not None
            worked = tried.verified is True
            fixes.append(tried)
        done.append(replace(diagnosis, fixes=tuple(fixes)))
    return tuple(done)


def _untried(fix: Fix, why: str) -> Fix:
    if fix.not_tried or fix.verified is not None:
        return fix
    if fix.commands:
        why = "it changes the machine"
    elif not fix.changes_settings_only:
        why = "it is not a setting of the world"
    return replace(fix, not_tried=why)


def _try(
    fix: Fix,
    plan: Plan,
    launcher: Launcher,
    facts: tuple[HostFacts, ...],
    terms: Terms,
    progress: Callable[[str], None],
    heard: Callable[[RunningWorld], None],
) -> Fix:
    if not fix.changes_settings_only:
        return _untried(fix, "")
    try:
        mended = apply(plan, fix)
    except UsageError as e:
        return replace(fix, not_tried=str(e))
    progress(f"trying a fix: {fix.text}")
    if any(f.nccl is not None for f in facts):  # NCCL chooses anew
        facts = host_facts(mended)
        mended = _with_nccl(mended, facts)
    case = observe(mended, launcher, facts, terms, silent, heard=heard)
    return replace(fix, verified=judge(case).verdict is Verdict.HEALTHY)
