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
`dmesg | grep -i 'link is'`, `ethtool -S IFACE`, the counters of the switch port.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="link-flapping",
    code="CC218",
    title="A network link goes down and up again",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PERF_HANG,
        Symptom.PERF_LOW_EFFICIENCY,
    ),
    fixes=(
        (FixPattern.CHANGE_HARDWARE, "Replace the cable, transceiver or card of the host that the lines name."),
        (FixPattern.NETWORK_SETTING, "Take the interface out of NCCL_SOCKET_IFNAME or NCCL_IB_HCA until then."),
    ),
    signatures=(
        Signature(
            pattern=r"(?:NIC |: )?Link is Down\b|link (?:down|became not ready|status definitely down)|carrier lost|Lost carrier",
            literal="link | carrier",
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
    explains=PEERS_SEE,
)
