"""The whole: search, prove, try what the shell has set, and say what could not be tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from commcheck.model.diagnosis import Verdict
from commcheck.suggest.advice import NO_GPU, for_nccl
from commcheck.suggest.model import Cluster, Found, Suggestion
from commcheck.suggest.trials import Budget, Driver, Run


def answer(
    cluster: Cluster,
    run: Run,
    *,
    budget: Budget | None = None,
    given: Mapping[str, str] | None = None,
    gpus: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Suggestion:
    """Find the smallest environment that forms the world, and prove it. `given`: variables about communication that the
    shell has, and that the worlds are tried without. `gpus`: those that a world with NCCL could use here."""
    untried = cluster.backend == "nccl" and not gpus
    tried = replace(cluster, backend="gloo") if untried else cluster
    driver = Driver(tried, run, budget or Budget(), progress)
    found = driver.search()
    made = _suggestion(tried, found)
    return replace(
        made,
        leftovers=driver.leftovers(found, given or {}),
        advice=for_nccl(tried, made.settings) if untried and found.settings is not None else (),
        not_tried=NO_GPU if untried else "",
        worlds=driver.worlds,
        seconds=round(driver.seconds, 3),
    )


def _suggestion(cluster: Cluster, found: Found) -> Suggestion:
    trial = found.trial or found.failed
    formed = found.settings is not None
    # What a search that was cut short has not found may be there.
    known = trial is not None and (formed or not found.not_proven)
    return Suggestion(
        verdict=trial.verdict if trial is not None and known else Verdict.INCONCLUSIVE,
        size=cluster.size,
        backend=cluster.backend,
        hosts=cluster.names,
        hostnames={h.host: h.hostname or h.host for h in cluster.hosts},
        ranks={name: cluster.ranks_on(name) for name in cluster.names},
        settings=found.settings or (),
        removals=found.removals,
        fixed_order=found.fixed_order,
        not_proven=found.not_proven,
        values_checked=trial.values_checked if trial is not None and formed else 0,
        world_seconds=trial.seconds if trial is not None else 0.0,
        orders=1 if found.fixed_order else len(cluster.orders),
        diagnosis=trial.diagnosis if trial is not None and not formed else None,
        tried_with=found.failed_with,
    )
