"""The fault table: worlds with one thing wrong in each, and what commcheck has to say about it. Data only.

A row names the hosts, what differs in the settings (`plan`, as `planner.local_plan` takes them), what is done to a host
(`spoil`), and the expected answer. `ranks` are the culprits, not those that notice. `mended`: some fix that only
changes settings has to be tried and to work. Rows whose world works by luck (gloo decides by how addresses sort which
side connects) come in two subnets, so that it passes in one and fails in the other.
"""

from dataclasses import replace

from rows import (
    EXTRA,
    FAILS,
    HANGS,
    HIGH,
    LOW,
    LUCK,
    PORT,
    PREPARATION,
    SETUP,
    TRAINING,
    Row,
    S,
    address,
    at,
    env,
    far,
    of,
    on,
    together,
    without,
)  # fmt: skip

from commcheck.lab.faults import addresses, firewall, links, mtu, names, routes, services, sysctls
from commcheck.model.phase import PHASES, STAGE_OF, Phase
from commcheck.model.taxonomy import Stage

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
        id="port-dropped-on-loopback-too", cause="port-dropped", symptoms=(HANGS,), ranks=(0,), mended=True,
        spoil=on(0, firewall.blocked, "drop", ports=str(PORT), loopback=True),
    ),
    Row(
        id="port-refused", bullet="master port refused", cause="port-refused", symptoms=SETUP, ranks=(0,), mended=True,
        spoil=on(0, firewall.blocked, "reject", ports=str(PORT)),
    ),
    Row(
        id="port-dropped-3", cause="port-dropped", symptoms=(HANGS,), ranks=(0,), mended=True, hosts=3, size=3,
        spoil=on(0, firewall.blocked, "drop", ports=str(PORT)),
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
        id="reverse-dns-hangs-despite-hosts-files", cause="reverse-dns-slow", symptoms=SETUP, ranks=(0, 1),
        spoil=lambda lab: names.silent_resolver(*lab, hosts_files=True),
    ),
    Row(
        id="store-timeout-too-short", cause="store-timeout-too-short", symptoms=SETUP, ranks=(1,), mended=True,
        plan={"store_seconds": 0.4, **at(1, "late", Phase.STORE, "1.6")},
    ),
    Row(
        id="init-method-mismatch", cause="init-method-mismatch", symptoms=SETUP, ranks=(1,), mended=True,
        plan={"init_method": {1: f"tcp://{address(0)}:29511"}},
    ),
    Row(
        id="wrong-service-on-port", cause="wrong-service-on-port", symptoms=SETUP, ranks=(1,), mended=True,
        spoil=together(
            on(1, services.listener, 2222, "SSH-2.0-OpenSSH_9.2\r\n"),
            on(1, firewall.redirected, address(0), PORT, address(1), 2222),
        ),
    ),
    Row(
        id="address-family-mismatch", cause="address-family-mismatch", symptoms=SETUP, ranks=(1,), mended=True,
        lab={"subnet6": "fd77::/64"}, plan=env(MASTER_ADDR="fd77::a"),
        spoil=on(1, sysctls.changed, "net.ipv6.conf.all.disable_ipv6", "1"),
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
        id="mtu-mismatch", cause="mtu-mismatch", symptoms=(*SETUP, *PREPARATION, *TRAINING), ranks=(0, 1),
        spoil=on(0, mtu.mismatch),  # with two hosts both ends look alike
    ),
    Row(
        id="mtu-mismatch-3", cause="mtu-mismatch", symptoms=(*SETUP, *PREPARATION, *TRAINING), ranks=(2,), hosts=3,
        size=3, spoil=on(2, mtu.mismatch),
    ),
    Row(
        id="duplicate-address", cause="duplicate-address", symptoms=SETUP, ranks=(0, 2), hosts=3, size=3,
        spoil=lambda lab: addresses.duplicated(lab[0], lab[2], [lab[1]]),
    ),
    Row(
        id="port-range-exhausted", cause="port-range-exhausted", symptoms=SETUP, ranks=(1,),
        spoil=on(1, sysctls.narrow_ports, 50000, 50000),
    ),
    Row(
        id="port-range-exhausted-interface-named", cause="port-range-exhausted", symptoms=SETUP, ranks=(1,),
        plan=env(GLOO_SOCKET_IFNAME="eth0"), spoil=on(1, sysctls.narrow_ports, 50000, 50000),
    ),
    Row(
        id="data-ports-dropped-at-one-of-3", cause="one-way-blocked", symptoms=LUCK, ranks=(2,), hosts=3, size=3,
        spoil=on(2, firewall.blocked, "drop", ports=f"!= {PORT}"),
    ),
    Row(
        id="partition", cause="partition", symptoms=SETUP, ranks=(0, 1, 2, 3), hosts=4, size=4,
        spoil=together(*(on(i, firewall.blocked, ports=f"!= {PORT}", source=far(i)) for i in range(4))),
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
        id="backend-mismatch-0", cause="backend-mismatch", symptoms=SETUP, ranks=(0,), mended=True,
        plan={"rank_backend": {0: "mpi"}},
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
    # From a sum alone nobody can tell whose contribution was wrong: all that got it are named.
    replace(collective("wrong-values", "wrong-values", Phase.FIRST_COLLECTIVE, 2, size=3), ranks=(0, 1, 2)),
)

FAULTS: tuple[Row, ...] = (*RENDEZVOUS, *INTERFACES, *BACKENDS, *RANKS, *COLLECTIVES)
