"""NCCL_SOCKET_IFNAME, or that it need not be set, where no world with NCCL can be tried: its library says on each host which
address it takes, and the ranks of a world of gloo's try these of each other. Neither needs a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from commcheck.model.base import Value
from commcheck.model.case import Case, Ended
from commcheck.model.nccl import NcclFacts
from commcheck.model.plan import Place
from commcheck.probe.agent import Request
from commcheck.probe.nccl_targets import targets
from commcheck.suggest.advice import NO_GPU, for_nccl, named, way_of
from commcheck.suggest.model import Candidate, Cluster, Leftover, Setting
from commcheck.suggest.networks import Network, networks
from commcheck.suggest.survey import Ask
from commcheck.suggest.trials import Driver

ASKED = (
    "no GPU is here: what was tried is a world of gloo's, and of NCCL which address it takes on each host and whether the "
    "others reach it; its transports and its collectives were not"
)
SPENT = "the budget was used up before NCCL's addresses were tried"
CHOOSING = frozenset({"NCCL_SOCKET_IFNAME", "NCCL_SOCKET_FAMILY", "NCCL_COMM_ID", "NCCL_CONF_FILE"})
"""Variables that bear on which address NCCL takes; of others nothing can be told without a GPU."""
MOST_WAYS = 3
"""Networks that are tried beside NCCL's own choice."""
SHOWN = 4
"""Hosts that one sentence names."""


class OfNccl(Value, frozen=True):
    """What is to be set for NCCL. `said`: what was asked and met; `failed`: nothing that was tried will do."""

    advice: Candidate = ()
    said: str = ""
    failed: bool = False
    not_tried: str = NO_GPU
    leftovers: tuple[Leftover, ...] = ()


class _Try(Value, frozen=True):
    """What NCCL's libraries chose with some settings, and why that will not do."""

    chosen: dict[str, NcclFacts]
    problem: str = ""


def of_nccl(driver: Driver, cluster: Cluster, settings: Candidate, ask: Ask, given: Mapping[str, str]) -> OfNccl:
    """Try NCCL's own choice, then the networks that lead to all hosts. `settings`: with which gloo's world formed; `given`: NCCL's
    variables that the shell has."""
    return _Asking(driver, cluster, settings, ask).answer(given)


class _Asking:
    def __init__(self, driver: Driver, cluster: Cluster, settings: Candidate, ask: Ask) -> None:
        self._driver = driver
        self._cluster = cluster
        self._settings = settings
        self._ask = ask

    def answer(self, given: Mapping[str, str]) -> OfNccl:
        """The whole."""
        alone = self._tried(())
        if not any(facts.library for facts in alone.chosen.values()):
            looked = next((f.looked for f in alone.chosen.values()), ())
            return OfNccl(
                advice=for_nccl(self._cluster, self._settings),
                not_tried=f"{NO_GPU}: no libnccl was found ({', '.join(looked)})",
                leftovers=tuple(Leftover(name=k, value=v, harmless=None) for k, v in given.items()),
            )
        if not alone.problem:
            said = f"nothing needs to be set for it: {self._met(alone)}"
            return OfNccl(said=said, not_tried=ASKED, leftovers=tuple(self._leftovers((), given)))
        for setting in self._choices(alone.problem):
            done = self._tried((setting,))
            if not done.problem:
                left = tuple(self._leftovers((setting,), given))
                return OfNccl(advice=(setting,), said=self._met(done), not_tried=ASKED, leftovers=left)
        left = tuple(Leftover(name=k, value=v, harmless=None) for k, v in given.items())
        said = f"with none of the settings that were tried do the hosts meet: {alone.problem}"
        return OfNccl(said=said, failed=alone.problem != SPENT, not_tried=ASKED, leftovers=left)

    def _choices(self, problem: str) -> Iterator[Setting]:
        first = way_of(self._cluster, self._settings)
        ways: dict[tuple[tuple[str, str], ...], Network] = {}
        for way in (*([first] if first else ()), *networks(self._cluster.hosts)):
            ways.setdefault(tuple(sorted(way.interfaces.items())), way)
        for way in tuple(ways.values())[:MOST_WAYS]:
            yield named(way, f"by itself {problem}; {way.what}")

    def _tried(self, own: Candidate, extra: Mapping[str, str] | None = None) -> _Try:
        """Ask on every host, and have the hosts try what was said."""
        chosen = self._asked(own, extra or {})
        for host, facts in chosen.items():
            answer = facts.answer
            if answer is not None and not answer.works:
                why = answer.failed or next(iter(answer.said), f"ncclGetUniqueId returned {answer.result}")
                return _Try(chosen=chosen, problem=f"NCCL takes no address on {host}: {why}")
        addresses = {h: f.answer.address for h, f in chosen.items() if f.answer is not None}
        if len(addresses) < 2:
            return _Try(chosen=chosen)
        case = self._driver.meet(self._settings, addresses)
        return _Try(chosen=chosen, problem=SPENT if case is None else _problem(case, chosen, addresses))

    def _asked(self, own: Candidate, extra: Mapping[str, str]) -> dict[str, NcclFacts]:
        main = self._cluster.names[0]
        requests: dict[Place, Request] = {}
        for place in self._cluster.places:
            told = {s.name: s.value(place.host, main) for s in (*self._settings, *own)}
            environment = self._cluster.base | dict(extra) | {k: v for k, v in told.items() if v is not None}
            requests[place] = Request(parent=0, facts=True, nccl=environment)
        answers = self._ask(requests)
        found = {p.host: a.facts.nccl for p, a in answers.items() if a.facts is not None}
        return {host: facts for host, facts in found.items() if facts is not None}

    def _met(self, done: _Try) -> str:
        """What the libraries chose, and that it was tried."""
        versions = sorted({f.library.text for f in done.chosen.values() if f.library is not None})
        there = {h: f.answer for h, f in done.chosen.items() if f.answer is not None}
        takes = [f"{a.interface} {a.address}" + (f" on {h}" if len(there) > 1 else "") for h, a in there.items()]
        more = f" and so on, {len(takes)} in all" if len(takes) > SHOWN else ""
        tried = ", and the hosts reach each other there" if len(there) > 1 else ""
        none = [h for h in self._cluster.names if h not in there]
        lacks = f"; {', '.join(none[:SHOWN])} had no libnccl to ask" if none else ""
        return f"NCCL {' and '.join(versions)} takes {', '.join(takes[:SHOWN])}{more}{tried}{lacks}"

    def _leftovers(self, own: Candidate, given: Mapping[str, str]) -> Iterator[Leftover]:
        """Of NCCL's variables that the shell has: whether the hosts still meet, where that can be told."""
        strange = {k: v for k, v in given.items() if k not in {s.name for s in own}}
        together = {k: v for k, v in strange.items() if k in CHOOSING}
        problem = self._tried(own, together).problem if together else ""
        for name, value in strange.items():
            if name not in CHOOSING or problem == SPENT:
                yield Leftover(name=name, value=value, harmless=None)
                continue
            alone = problem if not problem or len(together) == 1 else self._tried(own, {name: value}).problem
            yield Leftover(name=name, value=value, harmless=None if alone == SPENT else not alone, why=alone)


def _problem(case: Case, chosen: Mapping[str, NcclFacts], addresses: Mapping[str, str]) -> str:
    """Why the hosts do not reach each other at these addresses, as their ranks met it."""
    hosts = {r.name: r.host for r in case.ranks}
    met = [
        (r.host, hosts.get(p.peer_rank, ""), p)
        for r in case.ranks
        for p in r.probes
        if p.kind == "nccl" and p.peer_rank is not None
    ]
    for _, target, probe in met:
        sources = [s for s, t, p in met if t == target and p.outcome != "ok"]
        if probe.outcome != "ok":
            answer = chosen[target].answer if target in chosen else None
            by = f" ({answer.interface})" if answer is not None and answer.interface else ""
            return f"NCCL takes {probe.target}{by} on {target}, which {', '.join(sources[:SHOWN])} cannot reach"
    if case.ended is not Ended.FINISHED:
        return "the world in which NCCL's addresses were to be tried did not come through"
    expected = {(h, t) for h in addresses for t in targets(tuple(addresses), h)}
    untried = sorted(expected - {(s, t) for s, t, _ in met})
    return f"whether {untried[0][0]} reaches NCCL's address on {untried[0][1]} was not tried" if untried else ""
