"""The answer for a reader: what to set, why, what happens without it, and that it was run."""

from __future__ import annotations

from collections.abc import Iterator

from commcheck import __version__
from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import SCHEMA, Report, Verdict
from commcheck.registry import exported
from commcheck.report.clean import one_line, wrap
from commcheck.report.to_text import render as render_report
from commcheck.suggest.form import Form
from commcheck.suggest.model import DEFAULT_ADDR, DEFAULT_PORT, TIMEOUT, Leftover, Setting, Suggestion

LABEL = 10
HOSTS_SHOWN = 8


def form_named(name: str) -> Form:
    """The form for one kind of reader."""
    return next(f for f in exported("commcheck.suggest.forms", "FORM", Form) if f.name == name)


def render(found: Suggestion, form: Form, *, commented: bool, width: int = 100) -> str:
    """The answer, and its settings in a form. `commented`: all but the settings as comments, so that it can be used as
    it is."""
    lines = list(_page(found, width - 2 if commented else width))
    if found.verdict is not Verdict.HEALTHY:
        failed = lines + _failed(found, width)
        return "\n".join(f"# {x}".rstrip() for x in failed) + "\n" if commented else "\n".join(failed) + "\n"
    block = form.render(found).removesuffix("\n").split("\n")  # a value may hold what splitlines takes for an end
    if commented:
        notes = [f"# {line}".rstrip() for line in lines]
        head, rest = (block[:1], block[1:]) if block[0].startswith("#!") else ([], block)
        # Slurm reads its own lines only before the first command, and does not mind comments between them.
        return "\n".join([*head, *notes, *rest]) + "\n"
    if found.all_settings or any(x.harmless is False for x in found.leftovers):
        lines += ["", *(f"  {line}" for line in block)]
    return "\n".join(lines) + "\n"


def _page(found: Suggestion, width: int) -> Iterator[str]:
    yield from wrap(_headline(found), width)
    for setting in found.all_settings:
        yield ""
        yield setting.name
        yield from _row("value", _values(found, setting), width)
        if setting.name == TIMEOUT:
            yield from _row("where", "init_process_group(timeout=datetime.timedelta(seconds=...))", width)
        yield from _row("why", setting.why, width)
        if setting in found.advice:
            yield from _row("asked", found.nccl, width)
            yield from _row("not tried", found.not_tried, width)
        else:
            yield from _row("without", _without(found, setting), width)
    if found.verdict is Verdict.HEALTHY:
        yield ""
        yield from _row("proven", _proof(found), width)
        if found.fixed_order:
            text = f"rank 0 has to be on {found.main}; with the hosts in the reverse order: {found.fixed_order}"
            yield from _row("but", text, width)
        if found.not_proven:
            yield from _row("but", found.not_proven, width)
    for leftover in found.leftovers:
        yield from _row("this shell", _left(leftover), width)
    if found.nccl and not found.advice:
        yield from _row("NCCL", found.nccl, width)
    if found.not_tried and not found.advice:
        yield from _row("not tried", found.not_tried, width)
    for note in found.notes:
        yield from _row("note", note, width)


def _headline(found: Suggestion) -> str:
    hosts = list(found.hosts[:HOSTS_SHOWN])
    more = f" and {len(found.hosts) - len(hosts)} more" if len(found.hosts) > len(hosts) else ""
    where = "on this host" if len(found.hosts) == 1 else f"on {', '.join(hosts)}{more}"
    cost = f"({found.worlds} world{'s' if found.worlds != 1 else ''} tried, {found.seconds:.1f} s)"
    world = f"for {found.size} rank{'s' if found.size != 1 else ''} {where} with {found.backend}"
    if found.verdict is Verdict.INCONCLUSIVE:
        why = found.not_proven or "no world that was tried could be judged"
        return f"NOT KNOWN {world}: {why} {cost}"
    if found.verdict is Verdict.UNHEALTHY:
        return f"NOTHING FORMS {world}: no settings that were tried do {cost}"
    count = len(found.settings)
    of_nccl = f"; for NCCL {', '.join(s.name for s in found.advice)}" if found.advice else ""
    if not count:
        return f"NOTHING NEEDS TO BE SET {world}{of_nccl} {cost}"
    return f"{count} SETTING{'S' if count > 1 else ''} {world}: {', '.join(s.name for s in found.settings)}{of_nccl} {cost}"


def _row(label: str, text: str, width: int) -> list[str]:
    if not text:
        return []
    return [
        f"  {label if number == 0 else '':<{LABEL}} {line}".rstrip()
        for number, line in enumerate(wrap(one_line(text), max(30, width - LABEL - 3)))
    ]


def _values(found: Suggestion, setting: Setting) -> str:
    by_value: dict[str, list[str]] = {}
    for host in found.hosts:
        value = setting.value(host, found.main)
        if value is not None:
            by_value.setdefault(value, []).append(host)
    if len(by_value) == 1 and len(next(iter(by_value.values()))) == len(found.hosts):
        return f"{next(iter(by_value))} (every rank)"
    return "; ".join(
        f"{value} on {', '.join(hosts[:HOSTS_SHOWN])} ({ranks_text(r for h in hosts for r in found.ranks[h])})"
        for value, hosts in by_value.items()
    )


def _without(found: Suggestion, setting: Setting) -> str:
    removal = next((r for r in found.removals if r.setting == setting.name), None)
    if removal is None:
        return "that was not tried"
    cause = f" [{removal.cause}]" if removal.cause else ""
    if not removal.judged:
        return f"tried, and that world could not be judged: {removal.title}{cause}"
    if removal.luck:
        return (
            f"it forms as the hosts are, and only by luck: with rank 0 on {removal.order[0]} it fails: "
            f"{removal.title}{cause}"
        )
    return f"tried, and it fails: {removal.title}{cause}"


def _proof(found: Suggestion) -> str:
    what = "these settings" if found.settings else "nothing set"
    own = {"MASTER_ADDR": DEFAULT_ADDR, "MASTER_PORT": str(DEFAULT_PORT)}
    usual = [f"{k}={v}" for k, v in own.items() if k not in {x.name for x in found.settings}]
    what += f" beyond a launcher's own {' and '.join(usual)}" if usual else ""
    other = f", with rank 0 on {found.hosts[0]} and on {found.hosts[-1]}" if found.orders > 1 else ""
    return (
        f"the world ran with {what}{other}: {found.size} ranks, {found.values_checked} values compared and right, "
        f"{found.world_seconds:.1f} s"
    )


def _left(leftover: Leftover) -> str:
    said = f"{leftover.name} is set here; the settings were tried without it"
    if leftover.harmless is None:
        return f"{said}, and not with it"
    if leftover.harmless:
        return f"{said}, and with it they work as well"
    return f"{said}, and with it {leftover.why or 'the world fails'}: unset it"


def _failed(found: Suggestion, width: int) -> list[str]:
    """The diagnosis of the try that came farthest."""
    if found.diagnosis is None:
        return []
    told = ", ".join(f"{s.name}={s.value(found.main, found.main)}" for s in found.tried_with) or "nothing set"
    report = Report(
        schema=SCHEMA,
        verdict=Verdict.UNHEALTHY,
        command=(),
        versions={"commcheck": __version__},
        world=None,
        phases=(),
        diagnoses=(found.diagnosis,),
        not_evaluated=(),
        next=(),
        replay="",
        seconds=found.seconds,
    )
    return ["", f"the try that came farthest ({told}):", *render_report(report, width=width).splitlines()]
