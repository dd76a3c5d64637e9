"""The whole: search, prove, try what the shell has set, and say what could not be tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from commcheck.model.diagnosis import Verdict
from commcheck.suggest.advice import NO_GPU, for_nccl
from commcheck.suggest.model import Cluster, Found, Suggestion
from commcheck.suggest.nccl import OfNccl, of_nccl
from commcheck.suggest.survey import Ask
from commcheck.suggest.trials import Budget, Driver, Run


def answer(
    cluster: Cluster,
    run: Run,
    *,
    budget: Budget | None = None,
    given: Mapping[str, str] | None = None,
    gpus: int = 0,
    ask: Ask | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Suggestion:
    """Find the smallest environment that forms the world, and prove it. `given`: variables about communication that the
    shell has, and that the worlds are tried without. `gpus`: those that a world with NCCL could use here. `ask`: how hosts
    are looked at, where NCCL's library is to be asked because no world with it can be tried."""
    untried = cluster.backend == "nccl" and not gpus
    tried = replace(cluster, backend="gloo") if untried else cluster
    driver = Driver(tried, run, budget or Budget(), progress)
    found = driver.search()
    made, formed = _suggestion(tried, found), found.settings is not None
    of_others, of_its = dict(given or {}), {}
    if ask is not None:
        of_its = {k: of_others.pop(k) for k in tuple(of_others) if k.startswith("NCCL_")}
    nccl = OfNccl(
        not_tried=NO_GPU if untried else "", advice=for_nccl(tried, made.settings) if untried and formed else ()
    )
    if ask is not None and formed:
        nccl = of_nccl(driver, tried, made.settings, ask, of_its)
    no_answer = nccl.failed and untried
    return replace(
        made,
        verdict=Verdict.INCONCLUSIVE if no_answer else made.verdict,
        not_proven=nccl.said if no_answer else made.not_proven,
        leftovers=(*driver.leftovers(found, of_others), *nccl.leftovers),
        advice=nccl.advice,
        nccl=nccl.said,
        not_tried=nccl.not_tried,
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
