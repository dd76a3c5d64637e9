"""A network link goes down and up again.

**What you see**
The kernel's log: `Link is Down`, `Link is Up`, `carrier lost`; NCCL: `Got async event : port error`, `port
active`; resets on several connections of one host at the same time.

**Why it happens**
A cable, transceiver, switch port or card that fails now and then, or a bond that changes its path.

**How to fix**
Take the card or cable out of service; until then retries (NCCL_IB_TIMEOUT, NCCL_IB_RETRY_CNT) hide short
breaks.

**How to confirm**
`cat /sys/class/net/IFACE/carrier_changes` before and after: commcheck compares it with what it was when the world
began. `dmesg | grep -i 'link is'`, `ethtool -S IFACE`, the counters of the switch port.
"""

from __future__ import annotations

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.view import evidence, names, phase_of_end, started, symptom_in, world_failed
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Ended, Interface, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

UNDECIDED = 0.72
"""Confidence while the world may yet come through: it does not end the watch (match.DECIDED)."""


def match(case: Case) -> Match | None:
    """The kernel's count of carrier changes of an interface that the ranks use has grown while the world ran."""
    found: list[tuple[RankRecord, Interface, int]] = []
    for rank in started(case):
        for interface in _used(case, rank):
            now = rank.carrier_changes.get(interface.name, 0)
            if interface.carrier_changes is not None and now > interface.carrier_changes:
                found.append((rank, interface, now - interface.carrier_changes))
    if not found:
        return None
    ranks = names(r for r, _, _ in found)
    seen: list[Evidence] = []
    for rank, interface, times in found[:6]:
        text = f"{interface.name}: the carrier came or went {times} time(s) while the world ran"
        seen.append(evidence(EvidenceKind.FACT, text, rank, f"/sys/class/net/{interface.name}/carrier_changes"))
    shown = ", ".join(sorted({i.name for _, i, _ in found}))
    failed = world_failed(case)
    against = () if failed else (evidence(EvidenceKind.VALUE, "this world came through all the same"),)
    hang = case.ended is not Ended.FAILED
    # A link that has come back may let the world go on; one that has not will not.
    back = all(times % 2 == 0 for _, _, times in found) and case.ended not in (Ended.FINISHED, Ended.FAILED)
    return Match(
        symptom=symptom_in(phase_of_end(found[0][0]), hang=hang) if failed else Symptom.PERF_LOW_EFFICIENCY,
        title=f"The link of {ranks_text(ranks)} ({shown}) lost its carrier while the world ran",
        confidence=UNDECIDED if back else 0.93,
        ranks=ranks,
        hosts=tuple(dict.fromkeys(r.host for r, _, _ in found)),
        evidence=tuple(seen),
        against=against,
        fixes=(
            Fix(
                pattern=FixPattern.CHANGE_HARDWARE,
                text=f"replace the cable, transceiver or card behind {shown}; until then leave the host out of the job",
                commands=(
                    f"ethtool -S {found[0][1].name}; dmesg | grep -i 'link is'   # and the switch port's counters",
                ),
                applies_to_ranks=ranks,
            ),
        ),
    )


def _used(case: Case, rank: RankRecord) -> tuple[Interface, ...]:
    """The interfaces of a rank's host that hold an address which the rank offers or connects from."""
    facts = case.host(rank.host)
    mine = {p.address for p in rank.published} | {s.local_address for s in rank.sockets} | {p.via for p in rank.probes}
    return tuple(
        i
        for i in (facts.interfaces if facts else ())
        if not i.loopback and any(a.address.partition("%")[0] in mine for a in i.addresses)
    )


RULE = Rule(
    cause="link-flapping",
    code="CC218",
    title="A network link goes down and up again",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PERF_HANG,
        Symptom.PERF_LOW_EFFICIENCY,
        Symptom.SETUP_HANG_TIMEOUT,
        Symptom.PREP_HANG_TIMEOUT,
    ),
    fixes=(
        (FixPattern.CHANGE_HARDWARE, "Replace the cable, transceiver or card of the host that the lines name."),
        (FixPattern.NETWORK_SETTING, "Take the interface out of NCCL_SOCKET_IFNAME or NCCL_IB_HCA until then."),
    ),
    signatures=(
        Signature(
            pattern=r"(?:NIC |: )?Link is Down\b|link (?:down|became not ready|status definitely down)|carrier lost|Lost carrier",
            literal="link is down | link down | link became not | link status definitely | carrier lost | lost carrier",
            source="linux: network drivers, bonding",
            positive="mlx5_core 0000:1b:00.0 ens9np0: Link is Down",
            negative="Link is Up - 100Gbps",
            weight=0.8,
        ),
        Signature(
            pattern="Got (?:non-fatal )?async event ?: (?:port (?:error|active)|client reregistration)|IB_EVENT_PORT_ERR",
            literal="async event | port_err",
            source="nccl: src/transport/net_ib; linux: rdma",
            positive="NCCL WARN NET/IB : mlx5_1:1 Got async event : port error",
            negative="async event thread",
            weight=0.75,
        ),
    ),
    match=match,
    explains=(
        "nccl-address-unreachable",
        "address-order-dependent",
        *PEERS_SEE,
        "data-ports-dropped",
        "one-way-blocked",
        "partition",
        "route-missing",
        "port-dropped",
        "mtu-mismatch",
        "link-lossy",
        "link-slow",
    ),
    needs=("ranks", "hosts"),
)
