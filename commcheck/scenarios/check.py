"""What a scenario's types cannot say: numbers that must fit each other, and ids that must be known. Pure."""

from __future__ import annotations

from functools import cache

from commcheck.diagnose.match import rules
from commcheck.errors import did_you_mean
from commcheck.lab import validity
from commcheck.lab.faults.each import BY_HOST
from commcheck.model.base import Value
from commcheck.model.diagnosis import Verdict
from commcheck.model.fault import HostFault, RankFault, When
from commcheck.model.phase import PHASES
from commcheck.model.scenario import Scenario
from commcheck.scenarios.lines import Key
from commcheck.scenarios.needs import NEEDS


class Problem(Value, frozen=True):
    """One thing that is wrong, and where in the file."""

    path: tuple[Key, ...]
    text: str


@cache
def causes() -> frozenset[str]:
    """The causes that some rule names."""
    return frozenset(r.cause for r in rules())


def problems(scenario: Scenario) -> list[Problem]:
    """All that is wrong with a scenario, the first first."""
    return [
        *_expect(scenario),
        *_lab(scenario),
        *_world(scenario),
        *_ranks(scenario),
        *_faults(scenario),
        *_needs(scenario),
    ]


def _expect(scenario: Scenario) -> list[Problem]:
    expect, found = scenario.expect, []
    if expect.verdict is Verdict.UNHEALTHY and not (expect.cause and expect.symptoms):
        found.append(Problem(path=("expect",), text='an unhealthy world needs a cause and symptoms = ["..."]'))
    if expect.verdict is Verdict.HEALTHY and (expect.cause or expect.symptoms or expect.mended):
        found.append(Problem(path=("expect",), text="a healthy world has no cause, no symptoms and nothing to mend"))
    for field, given in (("cause", (expect.cause,)), ("also", expect.also)):
        for cause in given:
            if cause and cause not in causes():
                hint = did_you_mean(cause, causes(), "`commcheck explain` lists the causes")
                found.append(Problem(path=("expect", field), text=f"no rule names the cause {cause!r}; {hint}"))
    return found


def _lab(scenario: Scenario) -> list[Problem]:
    if scenario.lab is None:
        return []
    return [Problem(path=("lab", *path), text=text) for path, text in validity.problems(scenario.lab)]


def _hosts(scenario: Scenario) -> int:
    return scenario.lab.hosts if scenario.lab is not None else 0


def _world(scenario: Scenario) -> list[Problem]:
    found: list[Problem] = []
    hosts = _hosts(scenario)
    named = {"hosts": scenario.world.hosts, "master": (scenario.world.master,) if hosts else ()}
    for field, numbers in named.items():
        found += [
            Problem(path=("world", field), text=_no_host(n, hosts)) for n in numbers if not 0 <= n < max(hosts, 0)
        ]
    for name, value in scenario.world.env.items():
        found += _placeholders(("world", "env", name), value, scenario)
    return found


def _no_host(number: int, hosts: int) -> str:
    if not hosts:
        return f"there is no host {number}: the scenario has no [lab]"
    return f"there is no host {number}: the lab has {hosts}, numbered from 0"


def _placeholders(path: tuple[Key, ...], value: str, scenario: Scenario) -> list[Problem]:
    found = []
    for number, interface in BY_HOST.findall(value):
        if int(number) >= _hosts(scenario):
            found.append(Problem(path=path, text=_no_host(int(number), _hosts(scenario))))
        elif scenario.lab is not None and interface:
            known = [n.interface for n in scenario.lab.networks]
            if interface not in known:
                found.append(Problem(path=path, text=f"no network has the interface {interface!r}: {', '.join(known)}"))
    return found


def _ranks(scenario: Scenario) -> list[Problem]:
    found = []
    for key, settings in scenario.ranks.items():
        if not key.isdecimal() or int(key) >= scenario.world.size:
            text = f"there is no rank {key!r}: the world has {scenario.world.size}, numbered from 0"
            found.append(Problem(path=("ranks", key), text=text))
        for name, value in settings.env.items():
            found += _placeholders(("ranks", key, "env", name), value, scenario)
    return found


def _faults(scenario: Scenario) -> list[Problem]:
    found = []
    for number, fault in enumerate(scenario.fault):
        path: tuple[Key, ...] = ("fault", number)
        if isinstance(fault, RankFault):
            if not 0 <= fault.rank < scenario.world.size:
                text = f"there is no rank {fault.rank}: the world has {scenario.world.size}, numbered from 0"
                found.append(Problem(path=(*path, "rank"), text=text))
            if fault.phase not in PHASES:
                found.append(Problem(path=(*path, "phase"), text=f"a phase is one of {', '.join(PHASES)}"))
            if fault.when is not None:
                found.append(Problem(path=(*path, "when"), text="a fault of a rank strikes at the begin of its phase"))
            continue
        if scenario.lab is None:
            found.append(Problem(path=path, text="a fault of hosts needs virtual hosts: add [lab]"))
            continue
        if isinstance(fault, HostFault):
            wrong = [n for n in fault.hosts if not 0 <= n < scenario.lab.hosts]
            found += [Problem(path=(*path, "hosts"), text=_no_host(n, scenario.lab.hosts)) for n in wrong]
        found += _when((*path, "when"), fault.when, scenario)
    return found


def _when(path: tuple[Key, ...], when: When | None, scenario: Scenario) -> list[Problem]:
    found: list[Problem] = []
    if when is None:
        return found
    if when.phase and when.phase not in PHASES:
        found.append(Problem(path=(*path, "phase"), text=f"a phase is one of {', '.join(PHASES)}"))
    if when.rank is not None and not 0 <= when.rank < scenario.world.size:
        found.append(Problem(path=(*path, "rank"), text=f"there is no rank {when.rank}"))
    if when.rank is not None and not when.phase:
        found.append(Problem(path=(*path, "rank"), text="a rank alone is no time: name a phase too"))
    return found


def _needs(scenario: Scenario) -> list[Problem]:
    known = ", ".join(sorted(NEEDS))
    wrong = [n for n in scenario.requires if n not in NEEDS]
    return [Problem(path=("requires",), text=f"nothing is known as {n!r}: {known}") for n in wrong]
