"""What should be the same on all hosts and is not: versions, kernels, drivers, variables, MTUs, names, clocks, limits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_interface
from statistics import median

from commcheck.catalog.env import known
from commcheck.cluster.reach import Finding
from commcheck.cluster.saying import diagnosis, listed, network_fix, seen, some
from commcheck.cluster.values import DRIVER, LIBRARY, Card, Collected
from commcheck.diagnose.rules.environment.env_differs_between_ranks import MUST_AGREE
from commcheck.diagnose.rules.software.version_mismatch import LIBRARIES
from commcheck.model.case import HostFacts
from commcheck.model.cluster import Drift
from commcheck.model.diagnosis import Diagnosis, EvidenceKind, Fix
from commcheck.model.nccl import NcclFacts
from commcheck.model.taxonomy import FixPattern

NOT_SET, NOT_THERE = "not set", "not there"
CLOCK_SECONDS = 0.5
"""By which a clock may be off: logs of hosts are then still in order for a reader; munge, Kerberos and certificates allow
minutes."""
OWN = ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "HOSTNAME")
"""Variables that rightly differ between processes, beside those of launchers (`_LAUNCHERS`)."""
_LAUNCHERS = ("SLURM", "PMI", "OMPI_", "PALS_", "FLUX_", "HYDI_", "MPI_LOCAL", "I_MPI_")
NCCL_WHEELS = ("nvidia-nccl-cu11", "nvidia-nccl-cu12", "nvidia-nccl-cu13")


def drift(collected: Collected) -> tuple[Drift, ...]:
    """All that differs."""
    return tuple(d for d in _all(collected) if len(d.values) > 1)


def _all(c: Collected) -> Iterator[Drift]:
    facts = {c.names[r]: card.facts for r, card in c.cards.items()}
    with_library = any(LIBRARY in f.versions for f in facts.values())
    for name in sorted({v for f in facts.values() for v in f.versions}):
        if with_library and name in NCCL_WHEELS:
            continue  # of these a job may load none
        kind = {"kernel": "kernel", DRIVER: "driver"}.get(name, "version")
        yield _drift(kind, name, {h: f.versions.get(name, NOT_THERE) for h, f in facts.items()})
    environments = {c.names[r]: _settings(card) for r, card in c.cards.items()}
    for name in sorted({v for e in environments.values() for v in e}):
        if name in known() and name not in OWN and not name.startswith(_LAUNCHERS):
            yield _drift("variable", name, {h: e.get(name, NOT_SET) for h, e in environments.items()})
    of_nccl = {h: f.nccl for h, f in facts.items() if f.nccl is not None}
    yield _drift("nccl", "configuration files", {h: _files(n) for h, n in of_nccl.items()})
    yield _drift("nccl", "interface that it takes", {h: _taken(n) for h, n in of_nccl.items()})
    yield _drift("nccl", "network of its address", _nccl_networks(facts))
    yield _drift("mtu", "the interfaces' MTU", {h: str(mtu) for h, mtu in _mtus(c).items()})
    yield _drift("name", "what the own name resolves to", {h: _own_name(f) for h, f in facts.items()})
    yield _drift("name", "name servers", {h: ", ".join(f.nameservers) or "none" for h, f in facts.items()})
    yield _drift("clock", "clocks", _clocks(c))
    for name in sorted({x.name for f in facts.values() for x in f.limits}):
        yield _drift("limit", name, {h: _limit(f, name) for h, f in facts.items()})
    yield _drift("limit", "ip_local_port_range", {h: _range(f) for h, f in facts.items()})
    yield _drift("limit", "shared memory", {h: _size(f.shm_bytes) for h, f in facts.items()})
    yield _drift("limit", "memory", {h: _size(f.memory_bytes) for h, f in facts.items()})


def _drift(kind: str, name: str, by_host: Mapping[str, str]) -> Drift:
    """By value, the most common first."""
    groups: dict[str, list[str]] = {}
    for host, value in by_host.items():
        groups.setdefault(value, []).append(host)
    ordered = sorted(groups.items(), key=lambda g: -len(g[1]))
    return Drift(kind=kind, name=name, values={value: tuple(hosts) for value, hosts in ordered})


def _mtus(c: Collected) -> dict[str, int]:
    found = {}
    for rank, card in c.cards.items():
        for one in card.facts.interfaces:
            if one.name == c.interfaces.get(rank):
                found[c.names[rank]] = one.mtu
    return found


def _settings(card: Card) -> dict[str, str]:
    """The variables of a host, those included that files set for NCCL."""
    return (card.facts.nccl.environment if card.facts.nccl is not None else {}) | card.environment


def _files(nccl: NcclFacts) -> str:
    shown = [
        f"{file.path}: " + (file.error or ", ".join(f"{s.name}={s.value}" for s in file.settings) or "sets nothing")
        for file in nccl.files
    ]
    return "; ".join(shown) or "none"


def _taken(nccl: NcclFacts) -> str:
    if nccl.answer is None:
        return "not known"
    return nccl.answer.interface if nccl.answer.works else "none fits its settings"


def _nccl_networks(facts: Mapping[str, HostFacts]) -> dict[str, str]:
    """The network of the address that NCCL takes on each host; nothing where most hosts have one of their own, as where
    every rack or host is routed to."""
    found = {}
    for host, own in facts.items():
        taken = (
            own.nccl.answer.address.partition("%")[0] if own.nccl is not None and own.nccl.answer is not None else ""
        )
        for a in (a for i in own.interfaces for a in i.addresses if a.address.partition("%")[0] == taken):
            found[host] = str(ip_interface(f"{taken}/{a.prefix}").network)
    largest = max(Counter(found.values()).values(), default=0)
    return found if largest > len(found) / 2 else {}


def _own_name(facts: HostFacts) -> str:
    one = next((x for x in facts.lookups if x.kind == "forward" and x.name == facts.hostname), None)
    if one is None or one.error or not one.addresses:
        return "nothing"
    loopback = one.addresses[0].startswith("127.") or one.addresses[0] == "::1"
    return "a loopback address" if loopback else "an address"


def _limit(facts: HostFacts, name: str) -> str:
    one = next((x for x in facts.limits if x.name == name), None)
    return "not read" if one is None else "unlimited" if one.soft < 0 else str(one.soft)


def _range(facts: HostFacts) -> str:
    return "not read" if facts.port_range is None else "{}-{}".format(*facts.port_range)


def _size(count: int | None) -> str:
    """In sixteenths of a GiB where small: machines of one kind differ by what their firmware keeps."""
    if count is None:
        return "not read"
    gib = count / 2**30
    return f"{round(gib)} GiB" if gib >= 8 else f"{round(gib * 16) / 16:g} GiB"


def _clocks(c: Collected) -> dict[str, str]:
    """By how much each host's clock is ahead of the others', as far as round trips tell."""
    ahead: dict[int, list[float]] = {}
    for m in (*c.quiet, *c.again):
        if m.ahead is not None and m.ahead_error < CLOCK_SECONDS / 2:
            ahead.setdefault(m.target, []).append(m.ahead)
            ahead.setdefault(m.source, []).append(-m.ahead)
    found = {}
    for rank, values in sorted(ahead.items()):
        by = median(values)
        word = "ahead" if by > 0 else "behind"
        found[c.names[rank]] = "in step" if abs(by) < CLOCK_SECONDS else f"{abs(by):.1f} s {word}"
    return found


# --- what of it breaks jobs -------------------------------------------------------------------------------


def findings(collected: Collected, found: tuple[Drift, ...]) -> list[Finding]:
    """The differences that are known to break jobs. The others are shown, and nobody is accused."""
    made: list[Finding] = []
    for one in found:
        say = _say(one)
        if say is None:
            continue
        usual, others = _sides(one)
        names = tuple(h for value in others for h in one.values[value])
        clear = len(one.values[usual]) > len(collected.names) / 2
        bad = tuple(collected.names.index(h) for h in names) if one.kind == "mtu" and clear else ()
        everyone = names if clear else tuple(h for hosts in one.values.values() for h in hosts)
        made.append(Finding(diagnosis=say(one, usual, everyone), bad=bad))
    return made


def _sides(one: Drift) -> tuple[str, list[str]]:
    usual, *others = one.values
    return usual, others


def _say(one: Drift) -> Callable[[Drift, str, tuple[str, ...]], Diagnosis] | None:
    if one.kind == "mtu":
        return _mtu
    if one.kind == "driver":
        return _driver
    if one.kind == "version" and one.name in (*LIBRARIES, *NCCL_WHEELS, LIBRARY):
        # A host without a libnccl may be none that is to use one.
        releases = {v.partition("+")[0] for v in one.values if one.name != LIBRARY or v != NOT_THERE}
        return _version if len(releases) > 1 else None
    if one.kind == "variable" and one.name in MUST_AGREE and one.name != "GLOO_SOCKET_IFNAME":
        return _variable
    return None


def _shown(one: Drift) -> list[str]:
    return [f"{value}: {listed(hosts)}" for value, hosts in one.values.items()]


def _mtu(one: Drift, usual: str, hosts: tuple[str, ...]) -> Diagnosis:
    theirs = " or ".join(v for v in one.values if v != usual)
    return diagnosis(
        "mtu-mismatch",
        f"The MTU is {theirs} on {listed(hosts)}, and {usual} on the others"
        if len(hosts) < sum(map(len, one.values.values()))
        else f"The hosts have different MTUs: {', '.join(one.values)}",
        0.8,
        hosts=hosts,
        evidence=some([seen(text, "interfaces", EvidenceKind.FACT) for text in _shown(one)]),
        against=(
            seen(
                "TCP agrees on the smaller size by itself; other transports, and tunnels, do not", "", EvidenceKind.FACT
            ),
        ),
        fixes=(
            network_fix(
                "give all interfaces of the network one MTU",
                f"sudo ip link set dev IFACE mtu {usual}   # on {hosts[0]}",
            ),
        ),
    )


def _version(one: Drift, usual: str, hosts: tuple[str, ...]) -> Diagnosis:
    package = usual[:1].isdigit() and one.name != LIBRARY
    source = "the library's file" if one.name == LIBRARY else "installed packages"
    return diagnosis(
        "version-mismatch",
        f"{one.name} differs: {'; '.join(_shown(one))}",
        0.6,
        hosts=hosts,
        evidence=some([seen(text, source, EvidenceKind.FACT) for text in _shown(one)]),
        fixes=(
            Fix(
                pattern=FixPattern.DEPENDENCY_VERSION,
                text=f"install one version on every host, such as {one.name} {usual}",
                commands=(f"pip install {one.name}=={usual.partition('+')[0]}",) if package else (),
            ),
        ),
    )


def _driver(one: Drift, usual: str, hosts: tuple[str, ...]) -> Diagnosis:
    return diagnosis(
        "driver-mismatch",
        f"The GPU driver differs: {'; '.join(_shown(one))}",
        0.55,
        hosts=hosts,
        evidence=some([seen(text, "/proc/driver/nvidia/version", EvidenceKind.FACT) for text in _shown(one)]),
        fixes=(Fix(pattern=FixPattern.DEVICE_CONSISTENCY, text=f"install one driver on every host, such as {usual}"),),
    )


def _variable(one: Drift, usual: str, hosts: tuple[str, ...]) -> Diagnosis:
    source = "environment, or NCCL's files" if one.name.startswith("NCCL_") else "environment"
    return diagnosis(
        "env-differs-between-ranks",
        f"{one.name} differs between the hosts: {'; '.join(_shown(one))}",
        0.65,
        hosts=hosts,
        symptom=MUST_AGREE[one.name],
        evidence=some([seen(text, source, EvidenceKind.FACT) for text in _shown(one)]),
        fixes=(
            Fix(
                pattern=FixPattern.DEVICE_CONSISTENCY,
                text=f"unset {one.name} everywhere" if usual == NOT_SET else f"set {one.name}={usual} everywhere",
                set={} if usual == NOT_SET else {one.name: usual},
                unset=(one.name,) if usual == NOT_SET else (),
            ),
        ),
    )
