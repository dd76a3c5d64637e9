"""The report's phase rows, folded over ranks: what every renderer shows of them."""

from commcheck.model.base import Value, ranks_text, spans
from commcheck.model.diagnosis import RankPhase
from commcheck.model.phase import PhaseStatus


class PhaseSummary(Value, frozen=True):
    """One phase over all ranks; `bad` lists the ranks that did not come through, by status."""

    phase: str
    ranks: int
    ok: int
    seconds: float
    slowest: int
    bad: tuple[tuple[str, tuple[int, ...]], ...] = ()
    shared: bool = False
    """Two processes claim one rank: `bad` then counts processes, as a rank could be on both sides."""

    @property
    def failed(self) -> bool:
        """A rank failed in this phase, or was still in it at the end."""
        return any(status != PhaseStatus.NOT_REACHED for status, _ in self.bad)


def status_words(status: str) -> str:
    """A status for reading: a rank that died or stands still in a phase is hardly "running" in it."""
    return "not finished" if status == PhaseStatus.RUNNING else status.replace("-", " ")


def bad_text(phase: PhaseSummary) -> str:
    """Who did not come through, and in which way."""
    return "; ".join(
        f"{status_words(status)} on {f'process {spans(found)}' if phase.shared else ranks_text(found)}"
        for status, found in phase.bad
    )


def summarize(rows: tuple[RankPhase, ...]) -> tuple[PhaseSummary, ...]:
    """Fold the rows phase by phase, in their order of first appearance."""
    order = list(dict.fromkeys(row.phase for row in rows))
    return tuple(_fold(phase, [row for row in rows if row.phase == phase]) for phase in order)


def _fold(phase: str, rows: list[RankPhase]) -> PhaseSummary:
    bad: dict[str, list[int]] = {}
    shared = len({row.rank for row in rows}) < len(rows)
    for row in rows:
        if row.status != PhaseStatus.OK:
            bad.setdefault(row.status, []).append(row.slot if shared else row.rank)
    slowest = max(rows, key=lambda row: row.seconds)
    return PhaseSummary(
        phase=phase,
        ranks=len(rows),
        ok=sum(row.status == PhaseStatus.OK for row in rows),
        seconds=slowest.seconds,
        slowest=slowest.rank,
        bad=tuple((status, tuple(ranks)) for status, ranks in bad.items()),
        shared=shared,
    )
