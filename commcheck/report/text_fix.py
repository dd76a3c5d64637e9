"""A fix as lines that can be copied into a shell, and what came of trying it."""

from collections.abc import Mapping

from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import Fix, WorldReport
from commcheck.report.clean import one_line, visible

ROWS = 12
"""Lines to copy per fix; a world of 64 ranks must still leave room for the rest."""


def slot_names(world: WorldReport | None) -> dict[int, str]:
    """How to speak of each process: by its rank, or, where two claim the same rank, by its place in the order too."""
    placed = world.placed if world is not None else ()
    ranks = [p.rank for p in placed]
    return {
        p.slot: f"rank {p.rank}" if ranks.count(p.rank) == 1 else f"process {p.slot} (which claims rank {p.rank})"
        for p in placed
    }


def fix_lines(fix: Fix, names: Mapping[int, str]) -> tuple[str, tuple[str, ...]]:
    """What came of trying it, and the lines to copy. `names`: of the processes, by slot."""
    where = f"on {ranks_text(fix.applies_to_ranks)}" if fix.applies_to_ranks else "on every rank"
    rows: list[tuple[str, str]] = []
    rows += [(_export(name, value), where) for name, value in fix.set.items()]
    rows += [(f"unset {visible(name)}", where) for name in fix.unset]
    rows += _per_rank(fix, names)
    if fix.args:
        # Settings that are no variables (backend, world size): shown as preflight takes them.
        options = " ".join(f"--{one_line(name)} {_quoted(value)}".rstrip() for name, value in fix.args.items())
        rows.append((f"commcheck preflight {options}", "the same setting belongs into your job"))
    rows += [(one_line(command), "") for command in fix.commands]
    width = max((len(command) for command, note in rows if note), default=0)
    lines = [f"{command:<{min(width, 60)}}   # {note}" if note else command for command, note in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f"# and {len(rows) - ROWS} more (--format json shows all)")
    return outcome(fix), tuple(lines)


def _per_rank(fix: Fix, names: Mapping[int, str]) -> list[tuple[str, str]]:
    """The settings that differ between processes; a value that several of them share is one line."""
    shared: dict[tuple[str, str], list[int]] = {}
    for slot, settings in fix.rank_set.items():
        if slot.isdecimal():
            for name, value in settings.items():
                shared.setdefault((name, value), []).append(int(slot))
    rows = []
    for (name, value), slots in shared.items():
        # "rank 3" for most; a process whose rank another one claims too has a longer name.
        called = [names.get(slot, f"rank {slot}") for slot in slots]
        plain = [who.removeprefix("rank ") for who in called]
        if all(who.isdecimal() for who in plain):
            where = ranks_text(tuple(int(who) for who in plain))
        else:
            where = ", ".join(called)
        rows.append((_export(name, value), f"on {where}"))
    return rows


def outcome(fix: Fix) -> str:
    """Whether the fix was tried, and what came of it; empty for mere advice."""
    if fix.verified is True:
        return "tried: the world then formed and its values were right"
    if fix.verified is False:
        return "tried: did not help"
    if fix.not_tried:
        return f"not tried: {one_line(fix.not_tried)}"
    if fix.commands:
        return "not tried: it changes the machine"
    # Advice that nobody could try is no news; a setting that was not tried is.
    return "not tried here; commcheck preflight tries it" if fix.changes_settings_only else ""


def _export(name: str, value: str) -> str:
    return f"export {visible(name)}={_quoted(value)}"


def _quoted(value: str) -> str:
    """For a shell; a value with control characters is shown visibly rather than exactly."""
    if not value or (value.isascii() and value.replace("_", "a").replace(".", "a").isalnum()):
        return value or "''"
    import shlex

    return shlex.quote(one_line(value))
