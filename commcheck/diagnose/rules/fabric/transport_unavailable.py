"""The transport that was chosen cannot be set up (RDMA, plugin, topology).

**What you see**
`Call to ibv_modify_qp failed`, `NET/IB : Got completion from peer ... with error`, a plugin that does not load,
NCCL not understanding the PCI topology.

**Why it happens**
The RDMA cards of two hosts cannot reach each other: another subnet, the wrong GID index, a port that is down,
PFC or a firewall on the fabric; or the plugin does not fit this NCCL, or a virtual machine hides its topology.

**How to fix**
Name the right cards and GID (NCCL_IB_HCA, NCCL_IB_GID_INDEX), bring the port up; to go on at once,
NCCL_IB_DISABLE=1 uses sockets.

**How to confirm**
`ib_write_bw` between the two hosts with the same card and GID; then a run with NCCL_IB_DISABLE=1 as the
control.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.view import evidence, names, said, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

GLOO_TRANSPORTS = ("TCP", "TCP_TLS", "IBVERBS", "UV")
"""Those that gloo has sources for; a build has some of them (torch/csrc/distributed/c10d/GlooDeviceFactory.cpp)."""


def match(case: Case) -> Match | None:
    """A transport that this build of torch has not, or that the cards of the hosts cannot give under these settings."""
    return _unknown_to_gloo(case) or _beyond_the_cards(case)


def _beyond_the_cards(case: Case) -> Match | None:
    if not any(host.fabric for host in case.hosts):
        return None
    # Late: of most hosts no cards are known, and lint is held to its start.
    from commcheck.diagnose.fabric_unreachable import findings
    from commcheck.diagnose.rules.environment.settings import match_of

    return match_of(findings(case))


def _unknown_to_gloo(case: Case) -> Match | None:
    """A transport that gloo knows and that this build of torch says it has not."""
    wrong = [
        r
        for r in started(case)
        if r.environment.get("GLOO_DEVICE_TRANSPORT", "").upper() in GLOO_TRANSPORTS
        and said(r, "unsupported gloo device")
    ]
    if not wrong:
        return None
    asked = wrong[0].environment["GLOO_DEVICE_TRANSPORT"]
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text="use TCP, which every build has: unset GLOO_DEVICE_TRANSPORT",
        unset=("GLOO_DEVICE_TRANSPORT",),
        applies_to_ranks=names(wrong),
    )
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"This build of torch has no gloo transport {asked} ({ranks_text(names(wrong))})",
        confidence=0.96,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(
            evidence(EvidenceKind.LOG, said(r, "unsupported gloo device").strip()[:300], r, "stderr") for r in wrong[:4]
        ),
        fixes=(fix,),
    )


RULE = Rule(
    cause="transport-unavailable",
    code="CC914",
    title="The transport that was chosen cannot be set up (RDMA, plugin, topology)",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_FAILURE,
        Symptom.SETUP_HANG_TIMEOUT,
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.SETUP_UNEXPECTED_PROTOCOL,
    ),
    fixes=(
        (
            FixPattern.COMMUNICATION_CONFIGURATION,
            "Set NCCL_IB_HCA and NCCL_IB_GID_INDEX to a card and GID that reach the other hosts; NCCL_IB_DISABLE=1 as the control.",
        ),
        (
            FixPattern.NETWORK_SETTING,
            "Bring the RDMA port up and check the fabric between the two hosts (ib_write_bw).",
        ),
        (FixPattern.DEPENDENCY_VERSION, "Install a network plugin that fits this NCCL version, or remove it."),
    ),
    signatures=(
        Signature(
            pattern="Call to ibv_modify_qp failed with(?!.*retrying)",
            literal="call to ibv_modify_qp failed",
            source="nccl: src/misc/ibvwrap.cc",
            positive="trainer-a:41:77 [0] misc/ibvwrap.cc:187 NCCL WARN Call to ibv_modify_qp failed with error Connection timed out",
            negative="ibv_modify_qp done",
            weight=0.78,
        ),
        Signature(
            pattern=r"Call to ibv_(?!reg_|modify_qp)\w+ failed(?! with error Cannot allocate memory)",
            literal="call to ibv_",
            source="nccl: src/misc/ibvwrap.cc",
            positive="NCCL WARN Call to ibv_open_device failed",
            negative="Call to ibv_reg_mr failed with error Cannot allocate memory",
            weight=0.7,
        ),
        Signature(
            pattern=r"NET/IB ?: \S+ (?:Got )?async (?:fatal )?event",
            literal="async event | async fatal event",
            source="nccl: src/transport/net_ib",
            positive="NCCL WARN NET/IB : mlx5_0:1 Got async event : port error",
            negative="async events on",
            weight=0.72,
            symptoms=(
                Symptom.TRAIN_COMMUNICATION_ERROR,
                Symptom.SETUP_FAILURE,
            ),
        ),
        Signature(
            pattern=r"Error : could not find CPU close to (?:GPU|NIC)|(?<!NCCL INFO )Attribute \w+ of node \w+ not found|XML Parse error",
            literal="could not find cpu close to | of node | xml parse error",
            source="nccl: src/graph (the topology that the machine shows cannot be used)",
            positive="trainer-a:41:77 [0] graph/paths.cc:155 NCCL WARN Error : could not find CPU close to GPU 3",
            negative="found CPU close to GPU 3",
            weight=0.75,
        ),
        Signature(
            pattern="(?<!NCCL INFO )Failed to initialize (?:any )?NET plugin|NET/Plugin: .*(?:incompatible|failed to (?:load|init))",
            literal="initialize any net plugin | initialize net plugin | incompatible | failed to load | failed to init",
            source="nccl: src/plugin/net.cc",
            positive="NCCL WARN Failed to initialize any NET plugin",
            negative="NET/Plugin: Using internal network plugin.",
            weight=0.7,
        ),
        Signature(
            pattern="NET/IB ?: (?:Unable to open device|Attempted to connect incompatible devices)",
            literal="unable to open device | attempted to connect inc",
            source="nccl: src/transport/net_ib",
            positive="NCCL WARN NET/IB : Unable to open device mlx5_1",
            negative="NET/IB : Using [0]mlx5_0:1/IB",
            weight=0.7,
        ),
        Signature(
            pattern="NET/OFI (?!.*completed with error).*(?:failed|error|Couldn't)",
            literal="net/ofi",
            source="aws-ofi-nccl plugin",
            positive="NCCL WARN NET/OFI Couldn't find any optimal provider",
            negative="NET/OFI Selected Provider is efa",
            weight=0.65,
        ),
        Signature(
            pattern="UCX {1,4}ERROR .*(?:transport|no active|not available|ibv_)|transport retry counter exceeded",
            literal="ucx error | ucx  error | ucx   error | ucx    error | transport retry counter",
            source="openucx",
            positive="UCX ERROR   no active messages transport to trainer-b: Unsupported operation",
            negative="UCX INFO transport ready",
            weight=0.6,
        ),
    ),
    match=match,
    explains=("env-malformed", *PEERS_SEE),
    needs=(),
)
