"""The parameters that a host or a lab offers: its own interfaces, addresses and ports, good ones and bad ones.

`all_parameters` is everything, every variable of the catalogue too; `usual` names what is explored unless others are asked
for. A parameter `NAME@last` is the setting of the last rank alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from msgspec.structs import replace

from commcheck.catalog.env import known, read_at_import
from commcheck.errors import UsageError, did_you_mean
from commcheck.generate.config import INTERFACE_VARIABLE, Config
from commcheck.generate.parameter import Change, Choice, Parameter, Space, Validity
from commcheck.generate.variables import ABSENT_NAME, Sample, ports, samples
from commcheck.model.calls import COLLECTIVES, DTYPES, REDUCING, REDUCTIONS
from commcheck.model.case import HostFacts
from commcheck.model.scenario import World
from commcheck.model.topology import Topology

LAST = "@last"
VALID, INVALID, UNKNOWN = Validity.VALID, Validity.INVALID, Validity.UNKNOWN
UNSET = Choice(name="unset", validity=VALID)

USUAL = (
    "size", "start", "address", "port", "init", "timeout", "backend",
    INTERFACE_VARIABLE, INTERFACE_VARIABLE + LAST, "GLOO_DEVICE_TRANSPORT", "TORCH_GLOO_LAZY_INIT", "USE_LIBUV",
)  # fmt: skip
"""What is explored unless other parameters are named. No variable that is read at the import of torch: ranks that have
it cannot be forked, and a world of them takes seconds."""

PLACED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
"""Variables that other parameters set, or that every rank must have a value of its own of."""
UNSAFE_FAMILIES = ("LD_", "PYTHON", "MALLOC_", "DYLD_")
"""Variables that break the interpreter itself: what would be learnt is not about communication."""


def lab_space(topology: Topology) -> Space:
    """Everything that can be varied in a lab."""
    names = [n.interface for n in topology.networks]
    second = tuple(
        n.interface for n in topology.networks[1:] if len(n.hosts or range(topology.hosts)) == topology.hosts
    )
    further = [*names, "lo", *(["docker0"] if topology.docker0 else []), topology.down, topology.bare]
    base = Config(world=World(size=topology.hosts), lab=topology)
    own = [
        _size(topology.hosts),
        _start(topology.hosts),
        _lab_address(topology, second),
        *_common([n for n in further if n]),
    ]
    parameters = (*own, *_variables([n for n in further if n]))
    return Space(base=base, parameters=parameters, impossible=_meaningless(parameters))


def host_space(facts: HostFacts) -> Space:
    """Everything that can be varied on this host, all ranks on it."""
    names = [i.name for i in facts.interfaces if not i.loopback]
    names += [i.name for i in facts.interfaces if i.loopback]
    addresses = [a.address for i in facts.interfaces if not i.loopback for a in i.addresses][:3]
    base = Config(world=World(size=2))
    own = [_size(2), _host_address(facts, addresses), *_common(names)]
    parameters = (*own, *_variables(names))
    return Space(base=base, parameters=parameters, impossible=_meaningless(parameters))


def _meaningless(parameters: Sequence[Parameter]) -> tuple[dict[str, str], ...]:
    """Combinations of which one part undoes the other: a world with both would pass for a proof that the other works.

    Ranks that meet without MASTER_ADDR and MASTER_PORT show nothing about those, a call that reduces nothing nothing about
    how to reduce, and a barrier brings no elements."""
    of = {p.name: [c.name for c in p.choices[1:]] for p in parameters}
    idle: list[tuple[str, str, tuple[str, ...]]] = [("init", method, ("address", "port")) for method in of["init"]]
    idle += [("op", op, ("reduce",)) for op in of["op"] if op not in REDUCING]
    idle.append(("op", "barrier", ("dtype", "elements")))
    return tuple({name: why, other: choice} for name, why, others in idle for other in others for choice in of[other])


def chosen(space: Space, focus: Iterable[str] = ()) -> Space:
    """The parameters that `focus` names, by name or pattern (without any: the usual ones). Raises UsageError."""
    patterns = tuple(focus)
    names = [p.name for p in space.parameters]
    if not patterns:
        return space.narrowed(n for n in USUAL if n in names)
    wanted = []
    for pattern in patterns:
        found = [n for n in names if fnmatchcase(n, pattern)]
        if not found:
            raise UsageError(
                f"--focus {pattern}: {did_you_mean(pattern, names, 'there are ' + ', '.join(USUAL) + ', ...')}"
            )
        wanted += found
    return space.narrowed(wanted)


def slow(space: Space) -> tuple[str, ...]:
    """The parameters whose worlds cannot be forked: each takes seconds."""
    return tuple(p.name for p in space.parameters if read_at_import(p.name.removesuffix(LAST)))


def _size(hosts: int) -> Parameter:
    sizes = [hosts, *(n for n in (2, 3, 4, 2 * hosts) if n != hosts)]
    return Parameter(
        name="size",
        meaning="ranks of the world",
        choices=tuple(
            Choice(name=str(n), change=Change(world={"size": n}), validity=VALID) for n in dict.fromkeys(sizes)
        ),
    )


def _start(hosts: int) -> Parameter:
    """Which host rank 0 runs on; the others follow in order. It is the host that all ranks are told."""
    order = range(hosts)
    return Parameter(
        name="start",
        meaning="the host of rank 0, and of the store; the other ranks follow in the hosts' order",
        choices=tuple(
            Choice(
                name=f"h{n}",
                change=Change(world={"hosts": tuple((n + i) % hosts for i in order), "master": n}),
                validity=VALID,
            )
            for n in order
        ),
    )


def _address(choices: Sequence[tuple[str, str, Validity]]) -> Parameter:
    made = [Choice(name=name, change=Change(env={"MASTER_ADDR": text}), validity=v) for name, text, v in choices]
    return Parameter(name="address", meaning="the form of MASTER_ADDR", choices=tuple(made))


def _lab_address(topology: Topology, others: Sequence[str]) -> Parameter:
    several = INVALID if topology.hosts > 1 else VALID
    forms: list[tuple[str, str, Validity]] = [("ipv4", "{main}", VALID)]
    if topology.networks[0].subnet6:
        forms.append(("ipv6", "{main.ipv6}", VALID))
    if topology.names:
        forms.append(("name", "{main.name}", VALID))
    forms += [(interface, f"{{main.{interface}}}", VALID) for interface in others]
    forms += [("localhost", "localhost", several), ("any", "0.0.0.0", UNKNOWN), ("absent", ABSENT_NAME, INVALID)]
    return _address(forms)


def _host_address(facts: HostFacts, addresses: Sequence[str]) -> Parameter:
    v6 = any(a.address == "::1" for i in facts.interfaces for a in i.addresses)
    forms: list[tuple[str, str, Validity]] = [("127.0.0.1", "127.0.0.1", VALID), ("localhost", "localhost", VALID)]
    if v6:
        forms += [("::1", "::1", VALID), ("[::1]", "[::1]", UNKNOWN), ("::", "::", UNKNOWN)]
    forms += [("hostname", facts.hostname, VALID)] if facts.hostname else []
    forms += [(a, a, VALID) for a in addresses]
    forms += [("127.0.0.2", "127.0.0.2", VALID), ("127.1", "127.1", UNKNOWN), ("any", "0.0.0.0", UNKNOWN)]
    return _address([*forms, ("padded", " 127.0.0.1", UNKNOWN), ("absent", ABSENT_NAME, INVALID)])


def _common(interfaces: Sequence[str]) -> list[Parameter]:
    """What does not depend on where the world runs."""
    return [_port(), _init(), _timeout(), *_backends(), *_calls(), *_interfaces(interfaces)]


def _calls() -> list[Parameter]:
    """One call of the ranks: which, of how many elements, of which type, reduced how."""
    asked = {
        "op": ("COMMCHECK_CALL_OP", "which collective or point-to-point call", COLLECTIVES),
        "dtype": ("COMMCHECK_CALL_DTYPE", "the type of the call's elements", DTYPES),
        "reduce": ("COMMCHECK_CALL_REDUCE", "how the call reduces, where it does", REDUCTIONS),
        "elements": (
            "COMMCHECK_CALL_SIZE",
            "elements that each rank brings to the call",
            ("4", "0", "1", "257", "65536"),
        ),
    }
    made = []
    for name, (variable, meaning, words) in asked.items():
        choices = (Choice(name=w, change=Change(world={"workload": "call"}, env={variable: w})) for w in words)
        made.append(Parameter(name=name, meaning=meaning, choices=tuple(choices)))
    return made


def _port() -> Parameter:
    made = [Choice(name="usual", validity=VALID)]
    made += [Choice(name=s.value, change=Change(env={"MASTER_PORT": s.value}), validity=s.validity) for s in ports()]
    made.append(Choice(name="taken", change=Change(env={"MASTER_PORT": "{taken}"}), validity=INVALID))
    return Parameter(name="port", meaning="MASTER_PORT", choices=tuple(made))


def _init() -> Parameter:
    forms = (("env", "env://", VALID), ("tcp", "tcp://{main}:{port}", VALID), ("file", "file://{tmp}/store", VALID))
    made = [Choice(name=n, change=Change(own={"init_method": text}), validity=v) for n, text, v in forms]
    return Parameter(name="init", meaning="the init method of all ranks", choices=tuple(made))


def _timeout() -> Parameter:
    made = [Choice(name=f"{s:g}", change=Change(world={"timeout": s}), validity=VALID) for s in (30.0, 5.0, 1.0)]
    return Parameter(
        name="timeout",
        meaning="seconds, of store and collectives",
        choices=(Choice(name="default", validity=VALID), *made),
    )


def _backends() -> list[Parameter]:
    forms = (("cpu:gloo", VALID), ("GLOO", VALID), ("cpu:gloo,cuda:nccl", UNKNOWN), ("gloom", INVALID))
    made = [Choice(name=n, change=Change(own={"backend": n}), validity=v) for n, v in forms]
    base = Choice(name="gloo", validity=VALID)
    whole = Parameter(name="backend", meaning="of init_process_group", choices=(base, *made))
    return [whole, _at_last(whole)]


def _interfaces(interfaces: Sequence[str]) -> list[Parameter]:
    whole = _variable(INTERFACE_VARIABLE, samples(known()[INTERFACE_VARIABLE], interfaces))
    return [whole, _at_last(whole)]


def _variables(interfaces: Sequence[str]) -> list[Parameter]:
    """Every variable of the catalogue, for all ranks and for the last one."""
    made = []
    for name, row in known().items():
        if name in PLACED or name == INTERFACE_VARIABLE or row.secret or name.startswith(UNSAFE_FAMILIES):
            continue
        whole = _variable(name, samples(row, interfaces))
        made += [whole, _at_last(whole)]
    return made


def _variable(name: str, values: Iterable[Sample]) -> Parameter:
    made = [Choice(name=s.value, change=Change(env={name: s.value}), validity=s.validity) for s in values]
    return Parameter(name=name, meaning=known()[name].meaning, choices=(UNSET, *made))


def _at_last(whole: Parameter) -> Parameter:
    """The same, of the last rank alone."""
    made = [replace(c, change=replace(c.change, rank=-1)) if c.change != Change() else c for c in whole.choices]
    return Parameter(name=whole.name + LAST, meaning=f"{whole.meaning} (of the last rank alone)", choices=tuple(made))
