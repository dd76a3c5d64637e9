"""The fault table: worlds with one thing wrong in each, and what commcheck has to say about it. Data only.

A row names the hosts, what differs in the settings (`plan`, as `planner.local_plan` takes them), what is done to a host
(`spoil`), and the expected answer. `ranks` are the culprits, not those that notice. `mended`: some fix that only
changes settings has to be tried and to work. Rows whose world works by luck (gloo decides by how addresses sort which
side connects) come in two subnets, so that it passes in one and fails in the other.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from commcheck.lab import Lab
from commcheck.lab.faults import addresses, bandwidth, firewall, links, mtu, names, routes, services, sysctls
from commcheck.model.phase import PHASES, STAGE_OF, Phase
from commcheck.model.plan import FaultAt
from commcheck.model.taxonomy import Stage, Symptom

PORT = 29500  # every lab has networks of its own, so that all may use one port
LOW, HIGH = "10.77.0.0/24", "192.168.77.0/24"  # below and above 127.0.0.1 and Docker's 172.17.0.1
IFNAME = "GLOO_SOCKET_IFNAME"
MEMORY = 96 << 20

Spoil = Callable[[Lab], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One world. `hosts` 0: no lab, all ranks on this machine."""

    id: str
    cause: str = ""
    symptoms: tuple[Symptom, ...] = ()
    ranks: tuple[int, ...] = ()
    mended: bool = False
    hosts: int = 2
    size: int = 2
    lab: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    spoil: Spoil | None = None
    memory_of: int | None = None  # the slot that lives in a memory control group
    interface: str = ""  # healthy rows: what carries the data
    bullet: str = ""  # of the list of look-alikes that have to be told apart


S = Symptom
FAILS, HANGS = S.SETUP_FAILURE, S.SETUP_HANG_TIMEOUT
SETUP = (FAILS, HANGS)
LUCK = (FAILS, HANGS, S.SETUP_UNEXPECTED_PROTOCOL)
PREPARATION = (S.PREP_COMMUNICATION_ERROR, S.PREP_HANG_TIMEOUT)
TRAINING = (S.TRAIN_COMMUNICATION_ERROR, S.PERF_HANG)


def on(number: int, fault: Callable[..., AbstractContextManager[Any]], *rest: object, **more: object) -> Spoil:
    """`fault` on host `number`."""
    return lambda lab: fault(lab[number], *rest, **more)


def together(*spoils: Spoil) -> Spoil:
    """Several at once."""

    @contextmanager
    def all_of(lab: Lab):
        with ExitStack() as stack:
            for spoil in spoils:
                stack.enter_context(spoil(lab))
            yield

    return all_of


def env(**values: str) -> dict[str, Any]:
    """The same variables for all ranks."""
    return {"env": values}


def of(rank: int, **values: str) -> dict[str, Any]:
    """Variables of one rank."""
    return {"rank_env": {rank: values}}


def without(rank: int, *names_: str) -> dict[str, Any]:
    """Variables that one rank lacks."""
    return {"rank_unset": {rank: names_}}


def at(rank: int, name: str, phase: Phase | str = "", argument: str = "") -> dict[str, Any]:
    """A fault inside one rank."""
    return {"faults": {rank: (FaultAt(name=name, phase=str(phase), argument=argument),)}}


def address(number: int, subnet: str = LOW) -> str:
    """The address of host `number`."""
    return f"{subnet.rpartition('.')[0]}.{10 + number}"


EXTRA = {"docker0": True, "down": "eth2", "bare": "eth3"}

RENDEZVOUS = (
    Row(
        id="port-dropped", bullet="master port dropped", cause="port-dropped", symptoms=(HANGS,), ranks=(0,), mended=True,
        spoil=on(0, firewall.blocked, "drop", ports=str(PORT)),
    ),
    Row(
        id="port-dropped-every-port", cause="port-dropped", symptoms=(HANGS,), ranks=(0,),
        spoil=on(0, firewall.blocked, "drop"),
    ),
    Row(
        id="port-refused", bullet="master port refused", cause="port-refused", symptoms=SETUP, ranks=(0,), mended=True,
        spoil=on(0, firewall.blocked, "reject", ports=str(PORT)),
    ),
    Row(
        id="port-mismatch", bullet="other port", cause="port-mismatch", symptoms=(HANGS,), ranks=(1,), mended=True,
        plan=of(1, MASTER_PORT="29511"),
    ),
    Row(
        id="port-mismatch-3", cause="port-mismatch", symptoms=(HANGS,), ranks=(2,), mended=True, size=3, hosts=3,
        plan=of(2, MASTER_PORT="29511"),
    ),
    Row(
        id="rank-0-missing", bullet="no rank 0", cause="rank-missing", symptoms=(HANGS,), ranks=(0,),
        plan=at(0, "absent"),
    ),
    Row(
        id="rank-missing", bullet="rank missing", cause="rank-missing", symptoms=(HANGS,), ranks=(2,), size=3, hosts=3,
        plan=at(2, "absent"),
    ),
    Row(
        id="rank-out-of-range", bullet="rank out of range", cause="rank-out-of-range", symptoms=SETUP, ranks=(5,),
        mended=True, plan=of(1, RANK="5"),
    ),
    Row(
        id="rank-out-of-range-no-0", cause="rank-out-of-range", symptoms=SETUP, ranks=(2,), mended=True,
        plan=of(0, RANK="2"),
    ),
    Row(id="rank-negative", cause="rank-out-of-range", symptoms=SETUP, ranks=(-1,), mended=True, plan=of(1, RANK="-1")),
    Row(
        id="rank-twice", bullet="rank twice", cause="rank-duplicate", symptoms=SETUP, ranks=(0,), mended=True,
        plan=of(1, RANK="0"),
    ),
    Row(
        id="rank-twice-1", cause="rank-duplicate", symptoms=SETUP, ranks=(1,), mended=True, size=3, hosts=3,
        plan=of(2, RANK="1"),
    ),
    Row(
        id="rank-twice-one-host", cause="rank-duplicate", symptoms=SETUP, ranks=(0,), mended=True, hosts=0,
        plan=of(1, RANK="0"),
    ),
    Row(
        id="world-size-larger", bullet="world size mismatch", cause="world-size-mismatch", symptoms=SETUP, ranks=(1,),
        mended=True, plan=of(1, WORLD_SIZE="3"),
    ),
    Row(
        id="world-size-larger-0", cause="world-size-mismatch", symptoms=SETUP, ranks=(0,), mended=True, size=3, hosts=3,
        plan=of(0, WORLD_SIZE="4"),
    ),
    Row(
        id="world-size-smaller", cause="world-size-mismatch", symptoms=SETUP, ranks=(1,), mended=True, size=3, hosts=3,
        plan=of(1, WORLD_SIZE="2"),
    ),
    Row(
        id="host-unresolvable", bullet="host name unresolvable", cause="host-unresolvable", symptoms=SETUP, ranks=(1,),
        mended=True, plan=env(MASTER_ADDR="h0"), spoil=on(1, names.unresolvable, "h0"),
    ),
    Row(
        id="host-unresolvable-everywhere", cause="host-unresolvable", symptoms=SETUP, ranks=(0, 1), mended=True,
        plan=env(MASTER_ADDR="no-such-host.invalid"),
    ),
    Row(
        id="host-is-loopback-for-a-client", bullet="host name resolving to loopback", cause="host-resolves-to-loopback",
        symptoms=SETUP, ranks=(1,), mended=True, plan=env(MASTER_ADDR="h0"),
        spoil=on(1, names.resolves_to, "h0", "127.0.0.1"),
    ),
    *(
        Row(
            id=f"own-name-is-loopback-{host}-{subnet}", cause="host-resolves-to-loopback", symptoms=LUCK, ranks=(host,),
            mended=True, lab={"subnet": subnet}, spoil=on(host, names.loopback_as_debian),
        )
        for host in (0, 1)
        for subnet in (LOW, HIGH)
    ),
    Row(
        id="own-name-is-loopback-everywhere", cause="host-resolves-to-loopback", symptoms=SETUP, ranks=(0, 1),
        mended=True, spoil=together(on(0, names.loopback_as_debian), on(1, names.loopback_as_debian)),
    ),
    Row(
        id="host-resolves-differently", bullet="the wrong host", cause="host-resolves-differently", symptoms=SETUP,
        ranks=(1,), mended=True, hosts=3, plan=env(MASTER_ADDR="h0"),
        spoil=on(1, names.resolves_to, "h0", address(2)),
    ),
    Row(
        id="wrong-master-host", bullet="the wrong host", cause="wrong-master-host", symptoms=SETUP, ranks=(1,),
        mended=True, hosts=3, plan=of(1, MASTER_ADDR=address(2)),
    ),
    Row(
        id="wrong-master-host-everywhere", cause="wrong-master-host", symptoms=SETUP, ranks=(0, 1), mended=True,
        plan=env(MASTER_ADDR=address(1)),
    ),
    Row(
        id="port-in-use", bullet="port taken by another program", cause="port-in-use", symptoms=(FAILS,), ranks=(0,),
        mended=True, spoil=on(0, services.listener, PORT),
    ),
    Row(
        id="port-in-use-talker", cause="port-in-use", symptoms=(FAILS,), ranks=(0,), mended=True,
        spoil=on(0, services.listener, PORT, "SSH-2.0-OpenSSH_9.2\r\n"),
    ),
    Row(
        id="stale-store", bullet="port taken by an old store", cause="stale-store", symptoms=(FAILS,), ranks=(0,),
        mended=True, spoil=on(0, services.old_store, PORT),
    ),
    Row(
        id="port-out-of-range", cause="port-out-of-range", symptoms=(FAILS,), ranks=(0, 1), mended=True,
        plan=env(MASTER_PORT="70000"),
    ),
    Row(
        id="port-not-a-number", cause="env-malformed", symptoms=(FAILS,), ranks=(1,), mended=True,
        plan=of(1, MASTER_PORT="29500x"),
    ),
    Row(
        id="env-missing", cause="env-missing", symptoms=(FAILS,), ranks=(1,), mended=True,
        plan=without(1, "MASTER_ADDR"),
    ),
    Row(
        id="reverse-dns-hangs", bullet="reverse DNS that hangs", cause="reverse-dns-slow", symptoms=SETUP, ranks=(0, 1),
        plan=env(GLOO_SOCKET_IFNAME="eth0"), spoil=lambda lab: names.silent_resolver(*lab),
    ),
    Row(
        id="store-timeout-too-short", cause="store-timeout-too-short", symptoms=SETUP, ranks=(0,), mended=True,
        plan={"store_seconds": 0.4, **at(1, "late", Phase.STORE, "1.6")},
    ),
    Row(
        id="init-method-mismatch", cause="init-method-mismatch", symptoms=SETUP, ranks=(1,), mended=True,
        plan={"init_method": {1: f"tcp://{address(0)}:29511"}},
    ),
)  # fmt: skip

INTERFACES = (
    Row(
        id="interface-missing", bullet="interface missing", cause="interface-missing", symptoms=(FAILS,), ranks=(1,),
        mended=True, plan=of(1, GLOO_SOCKET_IFNAME="eht0"),
    ),
    Row(
        id="interface-missing-everywhere", cause="interface-missing", symptoms=(FAILS,), ranks=(0, 1), mended=True,
        plan=env(GLOO_SOCKET_IFNAME="ib0"),
    ),
    *(
        Row(
            id=f"interface-down-{rank}-{subnet}", bullet="interface down", cause="interface-down", symptoms=LUCK,
            ranks=(rank,), mended=True, lab={**EXTRA, "subnet": subnet}, plan=of(rank, GLOO_SOCKET_IFNAME="eth2"),
        )
        for rank in (0, 1)
        for subnet in (LOW, HIGH)
    ),
    Row(
        id="only-interface-down", cause="interface-down", symptoms=SETUP, ranks=(1,), spoil=on(1, links.down),
    ),
    Row(
        id="cable-pulled", cause="interface-down", symptoms=SETUP, ranks=(1,), spoil=on(1, links.unplugged),
    ),
    Row(
        id="interface-without-address", bullet="interface without address", cause="interface-without-address",
        symptoms=(FAILS,), ranks=(1,), mended=True, lab=EXTRA, plan=of(1, GLOO_SOCKET_IFNAME="eth3"),
    ),
    Row(
        id="only-interface-without-address", cause="interface-without-address", symptoms=SETUP, ranks=(1,),
        spoil=on(1, addresses.removed),
    ),
    *(
        Row(
            id=f"interface-loopback-{rank}-{subnet}", bullet="interface loopback", cause="interface-loopback",
            symptoms=LUCK, ranks=(rank,), mended=True, lab={"subnet": subnet}, plan=of(rank, GLOO_SOCKET_IFNAME="lo"),
        )
        for rank in (0, 1)
        for subnet in (LOW, HIGH)
    ),
    Row(
        id="interface-loopback-everywhere", cause="interface-loopback", symptoms=SETUP, ranks=(0, 1), mended=True,
        plan=env(GLOO_SOCKET_IFNAME="lo"),
    ),
    Row(
        id="interface-unroutable", bullet="interface on an unroutable network", cause="interface-unroutable",
        symptoms=SETUP, ranks=(0, 1), mended=True, lab=EXTRA, plan=env(GLOO_SOCKET_IFNAME="docker0"),
    ),
    *(
        Row(
            id=f"interface-unroutable-{rank}-{subnet}", cause="interface-unroutable", symptoms=LUCK, ranks=(rank,),
            mended=True, lab={**EXTRA, "subnet": subnet}, plan=of(rank, GLOO_SOCKET_IFNAME="docker0"),
        )
        for rank in (0, 1)
        for subnet in (LOW, HIGH)
    ),
    Row(
        id="route-missing", cause="route-missing", symptoms=SETUP, ranks=(1,), spoil=on(1, routes.removed, LOW),
    ),
    Row(
        id="data-ports-dropped", bullet="data ports blocked while the master port is open", cause="data-ports-dropped",
        symptoms=SETUP, ranks=(0, 1),
        spoil=together(*(on(i, firewall.blocked, "drop", ports=f"!= {PORT}") for i in (0, 1))),
    ),
    Row(
        id="data-ports-refused", cause="data-ports-refused", symptoms=SETUP, ranks=(0, 1),
        spoil=together(*(on(i, firewall.blocked, "reject", ports=f"!= {PORT}") for i in (0, 1))),
    ),
    *(
        Row(
            id=f"one-way-blocked-at-{host}", bullet="data ports blocked one direction only", cause="one-way-blocked",
            symptoms=LUCK, ranks=(host,), spoil=on(host, firewall.blocked, "drop", ports=f"!= {PORT}"),
        )
        for host in (0, 1)
    ),
    Row(
        id="mtu-mismatch", cause="mtu-mismatch", symptoms=(*SETUP, *PREPARATION, *TRAINING), ranks=(0,),
        spoil=on(0, mtu.mismatch),
    ),
    Row(
        id="duplicate-address", cause="duplicate-address", symptoms=SETUP, ranks=(0, 2), hosts=3, size=3,
        spoil=lambda lab: addresses.duplicated(lab[0], lab[2], [lab[1]]),
    ),
    Row(
        id="port-range-exhausted", cause="port-range-exhausted", symptoms=SETUP, ranks=(1,),
        spoil=on(1, sysctls.narrow_ports, 50000, 50000),
    ),
)  # fmt: skip

BACKENDS = (
    Row(
        id="backend-not-built", bullet="backend not built", cause="backend-not-built", symptoms=(FAILS,), ranks=(0, 1),
        mended=True, plan={"backend": "mpi"},
    ),
    Row(
        id="backend-unknown", cause="backend-unknown", symptoms=(FAILS,), ranks=(0, 1), mended=True,
        plan={"backend": "glo"},
    ),
    Row(
        id="backend-mismatch", bullet="backend mixed between ranks", cause="backend-mismatch", symptoms=SETUP, ranks=(1,),
        mended=True, plan={"rank_backend": {1: "mpi"}},
    ),
    Row(
        id="transport-unavailable", cause="transport-unavailable", symptoms=(FAILS,), ranks=(0, 1), mended=True,
        plan=env(GLOO_DEVICE_TRANSPORT="IBVERBS"),
    ),
    Row(
        id="fd-limit", cause="fd-limit", symptoms=SETUP, ranks=(1,), hosts=0,
        plan={"limits": {1: {"nofile": (10, 10)}}},
    ),
)  # fmt: skip


# --- ranks that die, in each phase ------------------------------------------------------------------------------

DEATHS = {"exit": "rank-exited", "kill": "rank-killed", "segv": "rank-crashed", "oom": "rank-oom-killed"}
OWN_SYMPTOM = {"segv": S.TRAIN_SEGMENTATION_FAULT, "oom": S.TRAIN_OUT_OF_MEMORY}
OF_STAGE = {
    Stage.SETUP: SETUP,
    Stage.PREPARATION: (*PREPARATION, S.PREP_OTHER),
    Stage.TRAINING: (*TRAINING, S.TRAIN_OTHER_FAILURE, S.PERF_OTHER),
}


def death(fault: str, phase: Phase, rank: int) -> Row:
    """One rank dies at the begin of one phase."""
    own = (OWN_SYMPTOM[fault],) if fault in OWN_SYMPTOM else ()
    return Row(
        id=f"{fault}-in-{phase}", bullet=f"a rank that dies: {fault}", cause=DEATHS[fault], hosts=0, ranks=(rank,),
        symptoms=(*own, *OF_STAGE[STAGE_OF[phase]]), plan=at(rank, fault, phase),
        memory_of=rank if fault == "oom" else None,
    )  # fmt: skip


RANKS = (
    # Rank 0 keeps the store, rank 1 only uses it: each fault meets both.
    *(death(f, p, (i + j) % 2) for i, f in enumerate(DEATHS) for j, p in enumerate(PHASES)),
    *(
        Row(
            id=f"stopped-in-{phase}", cause="rank-stopped", symptoms=symptoms, ranks=(1,), hosts=0,
            plan=at(1, "stop", phase),
        )
        for phase, symptoms in ((Phase.GROUP, SETUP), (Phase.FIRST_COLLECTIVE, PREPARATION), (Phase.VERIFY, TRAINING))
    ),
    *(
        Row(
            id=f"script-error-in-{phase}", cause="script-error", symptoms=OF_STAGE[STAGE_OF[phase]], ranks=(1,), hosts=0,
            plan=at(1, "exception", phase, "no such dataset"),
        )
        for phase in (Phase.STORE, Phase.FIRST_COLLECTIVE, Phase.VERIFY)
    ),
)  # fmt: skip


# --- ranks that issue something else ---------------------------------------------------------------------------

MISMATCH = (*TRAINING, *PREPARATION, S.TRAIN_TENSOR_MISMATCH, S.TRAIN_SEGMENTATION_FAULT, S.PERF_UNEXPECTED_RESULT)


def collective(fault: str, cause: str, phase: Phase, rank: int, argument: str = "", size: int = 2) -> Row:
    """One rank issues other calls than the rest."""
    mark = f"-{argument}" if argument else ""
    return Row(
        id=f"{fault}{mark}-in-{phase}-of-{rank}", bullet=f"ranks that issue {fault}", cause=cause, symptoms=MISMATCH,
        ranks=(rank,), hosts=0, size=size, plan=at(rank, fault, phase, argument),
    )  # fmt: skip


COLLECTIVES = (
    collective("other-collective", "collective-order-mismatch", Phase.VERIFY, 1),
    collective("other-collective", "collective-order-mismatch", Phase.FIRST_COLLECTIVE, 0, size=3),
    collective("swap-order", "collective-order-mismatch", Phase.VERIFY, 1),
    collective("other-shape", "collective-shape-mismatch", Phase.VERIFY, 0),
    collective("other-shape", "collective-shape-mismatch", Phase.VERIFY, 1),
    collective("other-shape", "collective-shape-mismatch", Phase.FIRST_COLLECTIVE, 1),
    collective("other-shape", "collective-shape-mismatch", Phase.STEADY, 1, size=3),
    collective("other-dtype", "collective-dtype-mismatch", Phase.VERIFY, 1),  # silent: equal sizes
    collective("other-dtype", "collective-dtype-mismatch", Phase.VERIFY, 1, "float64"),  # not silent
    collective("other-reduce-op", "collective-op-mismatch", Phase.VERIFY, 1),
    collective("other-reduce-op", "collective-op-mismatch", Phase.FIRST_COLLECTIVE, 0, size=3),
    collective("skip-collective", "collective-missing-rank", Phase.VERIFY, 1),
    collective("skip-collective", "collective-missing-rank", Phase.FIRST_COLLECTIVE, 1, size=3),
    collective("skip-collective", "collective-missing-rank", Phase.STEADY, 0),
    collective("wrong-values", "wrong-values", Phase.VERIFY, 1),
    collective("wrong-values", "wrong-values", Phase.FIRST_COLLECTIVE, 2, size=3),
)

FAULTS: tuple[Row, ...] = (*RENDEZVOUS, *INTERFACES, *BACKENDS, *RANKS, *COLLECTIVES)


# --- worlds in which nothing is wrong ---------------------------------------------------------------------------

V6 = {"subnet": None, "subnet6": "fd77::/64"}

HEALTHY: tuple[Row, ...] = (
    Row(id="one-machine", hosts=0, interface="lo"),
    Row(id="one-rank", hosts=0, size=1),
    Row(id="64-ranks", hosts=0, size=64, interface="lo"),
    Row(id="two-hosts", interface="eth0"),
    Row(id="four-hosts", hosts=4, size=4, interface="eth0"),
    Row(id="two-ranks-per-host", hosts=2, size=4, interface="eth0"),
    Row(id="high-subnet", lab={"subnet": HIGH}, interface="eth0"),
    Row(id="names", plan=env(MASTER_ADDR="h0"), interface="eth0"),
    Row(id="interface-named", plan=env(GLOO_SOCKET_IFNAME="eth0"), interface="eth0"),
    Row(id="ipv6-only", lab=V6, plan=env(MASTER_ADDR="fd77::a"), interface="eth0"),
    Row(id="ipv6-only-names", lab=V6, plan=env(MASTER_ADDR="h0", GLOO_SOCKET_IFNAME="eth0"), interface="eth0"),
    Row(id="dual-stack", lab={"subnet6": "fd77::/64"}, plan=env(MASTER_ADDR="h0"), interface="eth0"),
    Row(id="no-reverse-dns", lab={"names": False}, plan=env(GLOO_SOCKET_IFNAME="eth0"), interface="eth0"),
    Row(id="second-network", lab={"second": "10.78.0.0/24"}, interface="eth0"),
    Row(
        id="second-network-for-data", lab={"second": "10.78.0.0/24"}, plan=env(GLOO_SOCKET_IFNAME="eth1"),
        interface="eth1",
    ),
    Row(id="docker0-not-chosen", lab=EXTRA, interface="eth0"),
    Row(id="default-route", lab={"gateway": True}, interface="eth0"),
    Row(id="slow-link", spoil=on(0, bandwidth.limited, "10mbit"), interface="eth0"),
    Row(id="very-slow-link", spoil=on(0, bandwidth.limited, "2mbit"), interface="eth0"),
    Row(id="late-rank", plan=at(1, "late", Phase.RESOLVE, "2.0"), interface="eth0"),
    Row(id="late-rank-0", plan=at(0, "late", Phase.RESOLVE, "2.0"), interface="eth0"),
    Row(id="late-in-group", plan=at(1, "late", Phase.GROUP, "1.5"), interface="eth0"),
    Row(id="other-port-closed", spoil=on(0, firewall.blocked, "drop", ports="22"), interface="eth0"),
)  # fmt: skip
