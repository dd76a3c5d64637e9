"""The facts of all hosts, and which ports a store could use: looks from every host, all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from commcheck.model.case import HostFacts, Listener, Outcome
from commcheck.model.plan import Place
from commcheck.probe.agent import Answer, Request, Target, look
from commcheck.runtime.agents import Asking
from commcheck.suggest.choices import port_candidates
from commcheck.suggest.model import Cluster
from commcheck.suggest.networks import networks

ASKING_HOSTS = 4
"""Hosts from which the ports of rank 0's host are tried: a firewall treats others of a network alike, and the worlds that
follow try all."""


SILENT = 3
"""Ports that are tried although nothing came back from them: a firewall that swallows refusals lets a store through."""

Ask = Callable[[Mapping[Place, Request]], dict[Place, Answer]]
"""How hosts are looked at."""


def from_here(requests: Mapping[Place, Request]) -> dict[Place, Answer]:
    """Look at places of this machine. Raises LaunchError for one that cannot be entered."""
    with Asking({p: r for p, r in requests.items() if not p.here}) as asking:
        here = {p: look(replace(r, place=p)) for p, r in requests.items() if p.here}
        return here | asking.answers()


def survey(
    places: Sequence[Place],
    *,
    size: int,
    backend: str,
    base: Mapping[str, str],
    timeout: float | None = None,
    ask: Ask = from_here,
) -> Cluster:
    """Look at every place. `timeout`: the job's own."""
    first = _facts(ask, {p: Request(parent=0, facts=True, names=(p.host,)) for p in places})
    names = tuple(dict.fromkeys(f.hostname for f in first.values() if f.hostname))
    ports = port_candidates(tuple(first.values()))
    requests = {p: Request(parent=0, facts=True, names=names, listening_on=ports) for p in places}
    ways = networks(tuple(first.values()))
    # Each end of the order is rank 0's host in one of the trials.
    for main in dict.fromkeys((places[0], places[-1])) if len(places) > 1 and ways else ():
        address = ways[0].addresses[main.host]
        targets = tuple(Target(rank=places.index(main), address=address, port=p, kind="port") for p in ports)
        for asker in [p for p in places if p is not main][:ASKING_HOSTS]:
            requests[asker] = replace(requests[asker], targets=(*requests[asker].targets, *targets))
    answers = ask(requests)
    return Cluster(
        hosts=tuple(_with_listeners(first[p], answers[p]) for p in places),
        places=tuple(places),
        size=size,
        backend=backend,
        base=dict(base),
        ports=_in_order(ports, answers),
        timeout=timeout,
    )


def _facts(ask: Ask, requests: Mapping[Place, Request]) -> dict[Place, HostFacts]:
    answers = ask(requests)
    return {
        p: answers[p].facts or HostFacts(host=p.host, not_read=(answers[p].failed or "no facts were given",))
        for p in requests
    }


def _with_listeners(first: HostFacts, answer: Answer) -> HostFacts:
    facts = answer.facts or first
    listeners: tuple[Listener, ...] = tuple(dict.fromkeys((*facts.listeners, *answer.listeners)))
    return replace(facts, listeners=listeners)


def _in_order(ports: Sequence[int], answers: Mapping[Place, Answer]) -> tuple[int, ...]:
    """Without those that somebody listens on; a few of those from which no answer came, not even a refusal, at the end."""
    taken = {x.port for a in answers.values() for x in a.listeners}
    silent = {probe.port for a in answers.values() for _, probe in a.probes if probe.outcome is not Outcome.REFUSED}
    free = [p for p in ports if p not in taken]
    return (*(p for p in free if p not in silent), *[p for p in free if p in silent][:SILENT])
