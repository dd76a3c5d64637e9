"""The world of a report in words: its headline, and the proof that it was the world that was meant."""

from commcheck.model.base import ranks_text, spans
from commcheck.model.diagnosis import Connection, Report, Role, Verdict, WorldReport
from commcheck.report.clean import one_line

CONNECTIONS = 6  # shown one by one; a larger world's are counted by interface
PAIRS = 2
SURE = 0.7  # below, a cause is a candidate, and the first line must not sound as if it were found
_STARTED = {
    "warm": "forked from a process that had imported torch",
    "cold": "a fresh interpreter",
    "not-started": "not started",
}


def headline(report: Report) -> str:
    """The verdict's sentence."""
    world = report.world
    what = "" if world is None else f"{world.size} ranks, {one_line(world.backend)}: "
    roots = [d for d in report.diagnoses if d.role is Role.ROOT]
    if report.verdict is Verdict.HEALTHY:
        if world is None:
            also = f"; {len(roots)} thing{'s' if len(roots) > 1 else ''} to look at" if roots else ""
            return f"nothing found that would stop the communication{also}"
        if not world.values_checked:
            return f"{what}nothing wrong found"
        return f"{what}the world formed, and its values were right"
    if report.verdict is Verdict.INCONCLUSIVE:
        return f"{what}this could not be decided"
    if not roots:
        return f"{what}it failed, and no cause was recognised"
    others = len({root.cause for root in roots}) - 1  # one cause may stand there with two symptoms
    place = f" on {ranks_text(roots[0].ranks)}" if roots[0].ranks else ""
    lead = f"{one_line(roots[0].cause)}{place}"
    if roots[0].confidence < SURE:
        return f"{what}perhaps {lead}{f', or one of {others} other causes' if others > 1 else ', or another cause'}"
    return f"{what}{lead}{f', and {others} more' if others else ''}"


def proof_lines(world: WorldReport) -> list[tuple[str, str]]:
    """Label and text of each line of the proof; nothing for a world that has none."""
    lines: list[tuple[str, str]] = []
    if world.distinct_processes:
        hosts = f" on {len(world.hosts)} hosts" if len(world.hosts) > 1 else ""
        text = f"{world.distinct_processes} distinct processes for {world.size} ranks{hosts}"
        if world.values_checked:
            text += f"; {world.values_checked} results compared with their reference values, all equal"
        lines.append(("proof", text))
    lines += _connections(world)
    lines += _pairs(world)
    return lines


def started_lines(world: WorldReport, *, healthy: bool) -> list[tuple[str, str]]:
    """How the ranks were started. Of a failed world only what is out of the ordinary: a rank that was not forked has
    imported torch by itself, under its own settings, and so came later."""
    groups: dict[str, list[int]] = {}
    for p in world.placed:
        groups.setdefault(one_line(p.started_why or _STARTED.get(p.started, p.started)), []).append(p.rank)
    groups.pop("", None)
    if not groups or (not healthy and all(p.started == "warm" for p in world.placed)):
        return []
    if len(groups) == 1:
        how, ranks = next(iter(groups.items()))
        # A rank that joined may know of itself alone.
        who = "every rank" if len(ranks) >= world.size else ranks_text(ranks)
        return [("started", f"{who}: {how}")]
    rows = [f"{ranks_text(ranks)}: {how}" for how, ranks in groups.items()]
    return [("started" if number == 0 else "", row) for number, row in enumerate(rows[:4])]


def _connections(world: WorldReport) -> list[tuple[str, str]]:
    """Each connection once, though both of its ends may have been seen."""
    owner = {c.local: c.rank for c in world.proof}
    ends: dict[frozenset[str], list[Connection]] = {}
    for c in world.proof:
        ends.setdefault(frozenset((c.local, c.remote)), []).append(c)
    texts = []
    if len(ends) <= CONNECTIONS:
        for first, *others in ends.values():
            peer = f"rank {owner[first.remote]}, " if first.remote in owner else ""
            over = " and ".join(dict.fromkeys(c.interface for c in (first, *others) if c.interface)) or "?"
            texts.append(f"{first.purpose}: rank {first.rank}, {first.local} <-> {peer}{first.remote} over {over}")
    else:
        groups: dict[tuple[str, str], list[Connection]] = {}
        for c, *_ in ends.values():
            groups.setdefault((c.purpose, c.interface), []).append(c)
        for (purpose, interface), found in groups.items():
            ranks = {c.rank for c in found} | {owner[c.remote] for c in found if c.remote in owner}
            texts.append(f"{len(found)} {purpose} connections over {interface or '?'}, of ranks {spans(tuple(ranks))}")
    return [("sockets" if number == 0 else "", one_line(text)) for number, text in enumerate(texts)]


def _pairs(world: WorldReport) -> list[tuple[str, str]]:
    if not world.pairs:
        return []
    if len(world.pairs) <= PAIRS:
        texts = [f"rank {p.rank} -> {p.peer_rank}: {_seconds(p.latency)}, {_rate(p.bandwidth)}" for p in world.pairs]
        return [("links", f"{'; '.join(texts)} (coarse)")]
    slow = max(world.pairs, key=lambda p: p.latency)
    thin = min(world.pairs, key=lambda p: p.bandwidth)
    latencies = sorted(p.latency for p in world.pairs)
    rates = sorted(p.bandwidth for p in world.pairs)
    middle = len(world.pairs) // 2
    text = (
        f"{len(world.pairs)} pairs, median {_seconds(latencies[middle])} and {_rate(rates[middle])} (coarse); "
        f"slowest {slow.rank} -> {slow.peer_rank} {_seconds(slow.latency)}, "
        f"narrowest {thin.rank} -> {thin.peer_rank} {_rate(thin.bandwidth)}"
    )
    return [("links", text)]


def _seconds(value: float) -> str:
    if value < 1e-3:
        return f"{value * 1e6:.0f} us"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.1f} s"


def _rate(value: float) -> str:
    if value >= 1e9:
        return f"{value / 1e9:.1f} GB/s"
    return f"{value / 1e6:.1f} MB/s" if value >= 1e6 else f"{value / 1e3:.0f} kB/s"
