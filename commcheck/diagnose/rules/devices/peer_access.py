"""GPUs of one host cannot reach each other directly.

**What you see**
`peer access is not supported between these two devices`, `failed to peer with device`, `failed to open CUDA IPC
handle`; or a hang that disappears with NCCL_P2P_DISABLE=1.

**Why it happens**
PCI access control (ACS) or an IOMMU redirects traffic between the cards, the cards sit under different root
ports, or containers do not share the namespaces that CUDA IPC needs.

**How to fix**
Switch ACS off on the PCI bridges or the IOMMU to pass-through; to go on at once, NCCL_P2P_DISABLE=1.

**How to confirm**
`nvidia-smi topo -p2p r`, the CUDA sample p2pBandwidthLatencyTest, and a run with NCCL_P2P_DISABLE=1 as the
control.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="peer-access-broken",
    code="CC305",
    title="GPUs of one host cannot reach each other directly",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.TRAIN_DEVICE_ERROR,
        Symptom.PERF_HANG,
        Symptom.SETUP_FAILURE,
    ),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "NCCL_P2P_DISABLE=1 (slower, but right) until the host is repaired."),
        (FixPattern.NETWORK_SETTING, "Disable ACS on the PCI bridges, or set iommu=pt."),
        (FixPattern.MEMORY_OR_CORE_SETTING, "Start the containers of one host with --ipc=host."),
    ),
    signatures=(
        Signature(
            pattern="peer access is not supported between these two devices",
            literal="peer access is not supported",
            source="CUDA: cudaErrorPeerAccessUnsupported",
            positive="NCCL WARN failed to open CUDA IPC handle : 217 peer access is not supported between these two devices",
            negative="peer access is enabled",
            weight=0.9,
        ),
        Signature(
            pattern="failed to (?:open CUDA IPC handle|peer with device)|(?:cuda|hip)Ipc(?:Open|Get)MemHandle failed",
            literal="cuda ipc handle | failed to peer with | memhandle failed",
            source="nccl: src/transport/p2p.cc",
            positive="NCCL WARN failed to peer with device 2(=1b000): 711 peer mapping resources exhausted",
            negative="opened CUDA IPC handle",
            weight=0.82,
        ),
        Signature(
            pattern="peer mapping resources exhausted|P2P is disabled between NVLINK connected GPUs",
            literal="peer mapping resources | p2p is disabled between",
            source="CUDA: cudaErrorTooManyPeers; nccl: src/graph/paths.cc",
            positive="NCCL WARN P2P is disabled between NVLINK connected GPUs 1 and 0. This should not be the case",
            negative="P2P is enabled",
            weight=0.8,
        ),
        Signature(
            pattern=r"ACSCtl:\s+SrcValid\+",
            literal="acsctl:",
            source="pciutils: lspci -vvv (access control is on for this bridge)",
            positive="ACSCtl: SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+",
            negative="ACSCtl: SrcValid- TransBlk- ReqRedir-",
            weight=0.6,
        ),
    ),
    explains=PEERS_SEE,
)
