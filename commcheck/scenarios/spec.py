"""The world that a test asks for, as the arguments of a call: what a scenario file says, in the same words -> a `Spec`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from commcheck.errors import UsageError, did_you_mean
from commcheck.model.base import Value
from commcheck.model.diagnosis import Verdict
from commcheck.model.scenario import Expect, RankSettings, Scenario, World
from commcheck.model.topology import Topology

FROM_PARAMETERS = ("world_size", "backend")
"""What may come from @pytest.mark.parametrize where the mark does not say it."""
WORLD_SIZE = 2


class Spec(Value, frozen=True):
    """The world of one test. `scenario`: what the fields of a scenario file say in the same words. `deadline`: seconds
    after which the world is given up even if it moves; None: the watch's own. `shared`: fixtures that are evaluated once,
    in the pytest process."""

    scenario: Scenario
    deadline: float | None = None
    shared: tuple[str, ...] = ()

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return self.scenario.world.size


FIELDS = (
    "world_size",
    "backend",
    "env",
    "unset",
    "per_rank",
    "ranks_per_host",
    "lab",
    "fault",
    "timeout",
    "group_timeout",
    "shared",
)
"""The arguments of the mark, in the order of the documentation."""


def joined(marks: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """One set of arguments from a test's marks (positional and keyword arguments of each, closest first), and from the
    parameters of its parametrization. What is closest to the test wins. Raises UsageError."""
    found: dict[str, Any] = {}
    for args, kwargs in marks:
        if len(args) > 1:
            raise UsageError(f"only the world size may stand without a name, and here are {len(args)} such arguments")
        if args and "world_size" in kwargs:
            raise UsageError("the world size is given twice")
        for name, value in {**({"world_size": args[0]} if args else {}), **kwargs}.items():
            found.setdefault(name, value)
    for name in FROM_PARAMETERS:
        if name in parameters:
            found.setdefault(name, parameters[name])
    return found


def spec(arguments: Mapping[str, Any]) -> Spec:
    """The world that these arguments describe. Raises UsageError, which names the argument and what it may be."""
    from commcheck.scenarios.check import problems

    for name in arguments:
        if name not in FIELDS:
            raise UsageError(
                f"there is no argument {name!r}; {did_you_mean(name, FIELDS, 'there are ' + ', '.join(FIELDS))}"
            )
    size = _whole(arguments, "world_size", WORLD_SIZE)
    lab = _lab(arguments.get("lab"))
    per_host = _whole(arguments, "ranks_per_host", 0)
    if per_host and lab is None:
        raise UsageError("ranks_per_host needs lab=..., since without one there is one host")
    hosts: tuple[int, ...] = ()
    if lab is not None and per_host:
        hosts = tuple(rank // per_host for rank in range(size))
        if hosts[-1] >= lab.hosts:
            raise UsageError(
                f"{size} ranks, {per_host} on each host, need {hosts[-1] + 1} hosts, and the lab has {lab.hosts}"
            )
    scenario = Scenario(
        title="a test",
        expect=Expect(verdict=Verdict.HEALTHY),
        world=_typed(
            World,
            {
                "size": size,
                "backend": arguments.get("backend", "gloo"),
                "env": _texts(arguments.get("env", {}), "env"),
                "unset": tuple(arguments.get("unset", ())),
                "timeout": arguments.get("group_timeout"),
                "hosts": hosts,
            },
            "",
            {"size": "world_size", "timeout": "group_timeout"},
        ),
        lab=lab,
        ranks=_per_rank(arguments.get("per_rank", {}), size),
        fault=_faults(arguments.get("fault", ())),
    )
    for problem in problems(scenario):
        where = ".".join(map(str, problem.path))
        raise UsageError(f"{where}: {problem.text}" if where else problem.text)
    deadline = arguments.get("timeout")
    if deadline is not None and (not isinstance(deadline, int | float) or isinstance(deadline, bool) or deadline <= 0):
        raise UsageError(f"timeout must be a number of seconds above 0, not {deadline!r}")
    shared = arguments.get("shared", ())
    if isinstance(shared, str) or not all(isinstance(s, str) for s in shared):
        raise UsageError(f"shared must be a list of names of fixtures, not {shared!r}")
    return Spec(scenario=scenario, deadline=deadline, shared=tuple(shared))


def _whole(arguments: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = arguments.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{name} must be a whole number, 1 or more, not {value!r}")
    return value


def _texts(value: Any, name: str) -> dict[str, str]:
    """Variables; numbers are taken as their text, since environments have nothing else."""
    if not isinstance(value, Mapping):
        raise UsageError(
            f'{name} must be a dictionary of variables, as in {{"GLOO_SOCKET_IFNAME": "lo"}}, not {value!r}'
        )
    for key, content in value.items():
        if not isinstance(key, str) or isinstance(content, bool) or not isinstance(content, str | int | float):
            raise UsageError(f"{name}: the variable {key!r} must have a text as its value, not {content!r}")
    return {k: str(v) for k, v in value.items()}


def _typed(kind: Any, fields: dict[str, Any], where: str, names: Mapping[str, str] | None = None) -> Any:
    """The value, checked as one from a file is."""
    import msgspec

    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`")
        shown = ".".join(filter(None, (where, (names or {}).get(field, field))))
        raise UsageError(f"{shown}: {said}" if shown else said) from error


def _lab(value: Any) -> Topology | None:
    """A number of hosts, or a table as in the [lab] of a scenario file."""
    if value is None or isinstance(value, Topology):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"hosts": value}
    if not isinstance(value, Mapping):
        raise UsageError(f"lab must be a number of hosts or a table as in scenario files, not {value!r}")
    found: Topology = _typed(Topology, dict(value), "lab")
    return found


def _per_rank(value: Any, size: int) -> dict[str, RankSettings]:
    if not isinstance(value, Mapping):
        raise UsageError(f'per_rank must be a dictionary by rank, as in {{1: {{"env": {{...}}}}}}, not {value!r}')
    found = {}
    for rank, settings in value.items():
        if not isinstance(rank, int) or isinstance(rank, bool) or not 0 <= rank < size:
            raise UsageError(f"per_rank: there is no rank {rank!r} in a world of {size}")
        if not isinstance(settings, Mapping):
            raise UsageError(f'per_rank: rank {rank}: write {{"env": {{...}}}}, not {settings!r}')
        fields = dict(settings)
        unknown = fields.keys() - set(RankSettings.__struct_fields__)
        for name in sorted(unknown):
            known = RankSettings.__struct_fields__
            hint = 'variables belong into "env"' if name.isupper() else did_you_mean(name, known, ", ".join(known))
            raise UsageError(f"per_rank: rank {rank}: there is no setting {name!r}; {hint}")
        if "env" in fields:
            fields["env"] = _texts(fields["env"], f"per_rank: rank {rank}: env")
        found[str(rank)] = _typed(RankSettings, fields, f"per_rank: rank {rank}")
    return found


def _faults(value: Any) -> tuple[Any, ...]:
    from commcheck.scenarios.kinds import specs

    if isinstance(value, Mapping | str):
        value = (value,)
    found = []
    for number, fault in enumerate(value):
        if not isinstance(fault, Mapping) or not isinstance(fault.get("kind"), str):
            raise UsageError(f'fault must be a list of tables, as in [{{"kind": "kill", "rank": 1}}], not {fault!r}')
        kind = specs().get(fault["kind"])
        if kind is None:
            known = tuple(specs())
            raise UsageError(
                f"no fault is called {fault['kind']!r}; {did_you_mean(fault['kind'], known, ', '.join(known))}"
            )
        found.append(_typed(kind, dict(fault), f"fault[{number}]"))
    return tuple(found)
