"""Hypothesis strategies for everything that a world is configured by. Public: use them in your own property-based tests.

    from hypothesis import given
    from commcheck.generate import strategies as cc

    @given(cc.configs(max_size=4))
    def test_what_forms_is_predicted_to_form(config): ...

Each draws valid and invalid values alike, unless `valid=True`. `facts` (commcheck.probe.facts.host_facts) or a `lab`
(commcheck.model.topology.Topology) gives the interfaces and addresses that there really are. The simplest value is the one
that is most likely to work, so that what Hypothesis shrinks to is what matters.

What a value means is said where its type is: `Config`, `World`, `RankSettings`; text in braces is filled in where the world
is run (see commcheck.generate.config)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hypothesis import strategies as st

from commcheck.catalog.env import EnvVar, known, read_at_import
from commcheck.generate.config import Config
from commcheck.generate.parameter import Space, Validity
from commcheck.generate.space import PLACED, UNSAFE_FAMILIES, chosen, host_space, lab_space
from commcheck.generate.variables import ABSENT_INTERFACE, ABSENT_NAME, LARGEST_PORT, exact, prefixes, samples
from commcheck.model.base import Value
from commcheck.model.calls import COLLECTIVES, DTYPES, REDUCING, REDUCTIONS
from commcheck.model.case import HostFacts
from commcheck.model.scenario import RankSettings, World
from commcheck.model.topology import Topology

PRIVILEGED = 1024
EPHEMERAL = (32768, 60999)
"""Linux's own range for outgoing connections (net.ipv4.ip_local_port_range)."""


class Call(Value, frozen=True):
    """A collective or point-to-point call. `size` in elements; `reduce_op` only where something is reduced."""

    op: str
    size: int = 4
    dtype: str = "float32"
    reduce_op: str = ""
    root: int = 0


# --- the shape of a world --------------------------------------------------------------------------------------------


def world_sizes(max_size: int = 4) -> st.SearchStrategy[int]:
    """How many ranks: 2 is the simplest world that communicates."""
    return st.sampled_from([*range(2, max_size + 1), 1])


@st.composite
def placements(draw: st.DrawFn, size: int, hosts: int) -> tuple[int, ...]:
    """The host of each of `size` ranks: in turn, in blocks, or anyhow."""
    in_turn = tuple(rank % hosts for rank in range(size))
    anyhow = st.tuples(*[st.integers(0, hosts - 1)] * size)
    return draw(st.one_of(st.just(in_turn), st.just(tuple(sorted(in_turn))), anyhow))


def backends(*, valid: bool = False) -> st.SearchStrategy[str]:
    """Backends as init_process_group takes them: one for all devices, or one per device."""
    good = ["gloo", "cpu:gloo", "GLOO"]
    return st.sampled_from(good if valid else [*good, "cpu:gloo,cuda:nccl", "nccl", "gloom", ""])


def timeouts(*, valid: bool = False) -> st.SearchStrategy[float | None]:
    """Seconds, of store and collectives; None is torch's own default."""
    lengths = st.floats(5.0, 1800.0) if valid else st.one_of(st.floats(5.0, 1800.0), st.floats(0.001, 5.0))
    return st.none() | lengths


# --- addresses, names, ports -----------------------------------------------------------------------------------------


def addresses(facts: HostFacts | None = None, *, valid: bool = False) -> st.SearchStrategy[str]:
    """Forms of an address: name, IPv4, IPv6, loopback, the wildcard, with a zone; the host's own where facts are given."""
    good = ["127.0.0.1", "localhost"]
    if facts is not None:
        good += [a.address for i in facts.interfaces if i.up for a in i.addresses if a.address not in good]
        good += [facts.hostname] if facts.hostname else []
    odd = ["0.0.0.0", "::", "[::1]", "127.1", "fe80::1%lo", ABSENT_NAME, "192.0.2.1", "2001:db8::1", "a b", ""]
    return st.sampled_from(good if valid else good + odd)


def ports(*, taken: Sequence[int] = (), valid: bool = False) -> st.SearchStrategy[str]:
    """Ports as MASTER_PORT may have them: usual, privileged, ephemeral, taken, out of range, no number."""
    good = st.integers(PRIVILEGED, LARGEST_PORT).map(str)
    if valid:
        return good
    odd = st.integers(1, PRIVILEGED - 1) | st.integers(*EPHEMERAL) | st.integers(LARGEST_PORT + 1, 2**32)
    words = st.sampled_from(["0", "-1", "", "port", "29500.0", " 29500 ", "0x733c", *map(str, taken)])
    return st.one_of(good, odd.map(str), words)


def init_methods(*, valid: bool = False) -> st.SearchStrategy[str]:
    """Init methods as a URL: by variables, by TCP, by a file."""
    good = ["env://", "tcp://{main}:{port}", "file://{tmp}/store"]
    odd = ["tcp://{main}", "tcp://:29500", "file:///nowhere/at/all/store", "http://{main}:{port}", "env", ""]
    return st.sampled_from(good if valid else good + odd)


# --- interfaces and variables ----------------------------------------------------------------------------------------


def gloo_interfaces(interfaces: Sequence[str] = ("eth0",), *, valid: bool = False) -> st.SearchStrategy[str]:
    """Values of GLOO_SOCKET_IFNAME: exact names between commas; also what only NCCL would understand."""
    return _lists([s.value for s in exact(interfaces) if s.validity is not Validity.INVALID or not valid], interfaces)


def nccl_interfaces(interfaces: Sequence[str] = ("eth0",), *, valid: bool = False) -> st.SearchStrategy[str]:
    """Values of NCCL_SOCKET_IFNAME: prefixes, = for exact names, ^ for all but these."""
    return _lists(
        [s.value for s in prefixes(interfaces) if s.validity is not Validity.INVALID or not valid], interfaces
    )


def _lists(values: Sequence[str], interfaces: Sequence[str]) -> st.SearchStrategy[str]:
    several = st.lists(st.sampled_from([*interfaces]), min_size=1, max_size=3, unique=True).map(",".join)
    return st.sampled_from(values) | several if interfaces else st.sampled_from(values or [ABSENT_INTERFACE])


def values_of(variable: str | EnvVar, facts: HostFacts | None = None, *, valid: bool = False) -> st.SearchStrategy[str]:
    """Values of a variable of the catalogue, by its kind: each word of an enum, a range and beyond, lists of interfaces.

    Raises KeyError for a variable that the catalogue does not have."""
    row = known()[variable] if isinstance(variable, str) else variable
    interfaces = tuple(i.name for i in facts.interfaces) if facts is not None else ("lo",)
    hosts = tuple(a.address for i in facts.interfaces for a in i.addresses) if facts is not None else ("127.0.0.1",)
    found = [s for s in samples(row, interfaces, hosts) if not valid or s.validity is not Validity.INVALID]
    return st.sampled_from([s.value for s in found])


@st.composite
def environments(
    draw: st.DrawFn,
    names: Iterable[str] | None = None,
    facts: HostFacts | None = None,
    *,
    valid: bool = False,
    at_most: int = 4,
) -> Mapping[str, str]:
    """Some variables of the catalogue with values. Without `names`: those that every rank may have, of torch and gloo, and
    that need no fresh interpreter."""
    pool = sorted(names) if names is not None else list(safe_variables())
    if not pool:
        return {}
    wanted = draw(st.lists(st.sampled_from(pool), max_size=min(at_most, len(pool)), unique=True))
    return {name: draw(values_of(name, facts, valid=valid)) for name in wanted}


def safe_variables() -> tuple[str, ...]:
    """Variables of torch, gloo and NCCL that bear on any rank and are read late."""
    return tuple(
        name
        for name, row in known().items()
        if name not in PLACED
        and row.owner in {"torch", "gloo", "nccl"}
        and not name.startswith(UNSAFE_FAMILIES)
        and not read_at_import(name)
    )


# --- calls and groups ------------------------------------------------------------------------------------------------


def shapes(max_elements: int = 4096) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of tensors, empty ones too."""
    sides = st.lists(st.integers(0, 16), min_size=1, max_size=3).map(tuple)
    return st.just((4,)) | sides.filter(lambda s: _elements(s) <= max_elements)


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


@st.composite
def calls(draw: st.DrawFn, size: int = 2, ops: Sequence[str] = COLLECTIVES, max_elements: int = 4096) -> Call:
    """A call of a world of `size` ranks: what, how many elements, of which dtype, reduced how, from which root."""
    op = draw(st.sampled_from([*ops]))
    return Call(
        op=op,
        size=1 if op == "barrier" else draw(st.integers(1, max_elements)),
        dtype="float32" if op == "barrier" else draw(st.sampled_from(DTYPES)),
        reduce_op=draw(st.sampled_from(REDUCTIONS)) if op in REDUCING else "",
        root=draw(st.integers(0, size - 1)) if op == "broadcast" else 0,
    )


def groups(size: int) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    """Some sub-groups of a world: each a set of ranks, in order."""
    one = st.sets(st.integers(0, size - 1), min_size=1).map(lambda ranks: tuple(sorted(ranks)))
    return st.lists(one, max_size=3).map(tuple)


# --- whole configurations --------------------------------------------------------------------------------------------


@st.composite
def configs(
    draw: st.DrawFn,
    facts: HostFacts | None = None,
    lab: Topology | None = None,
    *,
    max_size: int = 4,
    valid: bool = False,
) -> Config:
    """A whole configuration: size, placement, backend, timeout, address, port, init method, variables of all ranks and of
    one. The ranks run on this machine, or in `lab`."""
    size = draw(world_sizes(max_size))
    variables = dict(draw(environments(facts=facts, valid=valid)))
    if draw(st.booleans()):
        variables["MASTER_ADDR"] = draw(addresses(facts, valid=valid)) if lab is None else "{main.name}"
    if lab is None and not valid and draw(st.booleans()):
        variables["MASTER_PORT"] = draw(ports())
    hosts = draw(placements(size, lab.hosts)) if lab is not None else ()
    method = draw(init_methods(valid=valid))
    settings = {str(r): RankSettings(init_method=method) for r in range(size)} if method != "env://" else {}
    if draw(st.booleans()):
        one = str(draw(st.integers(0, size - 1)))
        own = dict(draw(environments(facts=facts, valid=valid, at_most=2)))
        settings[one] = RankSettings(env=own, init_method=None if method == "env://" else method)
    world = World(
        size=size,
        backend=draw(backends(valid=valid)),
        hosts=hosts,
        master=hosts[0] if hosts else 0,
        timeout=draw(timeouts(valid=valid)),
        env=variables,
    )
    return Config(world=world, ranks=settings, lab=lab)


def rows(
    space: Space | None = None,
    *,
    facts: HostFacts | None = None,
    lab: Topology | None = None,
    focus: Iterable[str] = (),
) -> st.SearchStrategy[Config]:
    """Configurations of the space that `commcheck explore` searches: one choice per parameter, the base being simplest."""
    if space is None:
        space = lab_space(lab) if lab is not None else host_space(facts or HostFacts(host=""))
    narrowed = chosen(space, focus)
    return st.tuples(*[st.integers(0, size - 1) for size in narrowed.sizes]).map(narrowed.config)
