"""NCCL since 2.30: its own hints at causes, and what its diagnostics find wrong. Calls of the system that failed, of all releases.

Of releases after 2.30 there was no source to read: the wordings stand in the library itself, and at which level they are
printed it does not show, so that they are known at any."""

from commcheck.diagnose.signatures.table import Wording, table, warned
from commcheck.model.taxonomy import Symptom

_AT = "trainer-a:41:77 [0] "
_LIBRARY = "libnccl 2.32.3: its strings"
_AFTER = "nccl >= 2.31"
_HINTS = "nccl >= 2.30"
_SAYS = r"NCCL (?:WARN|INFO|DIAG)\b.{0,40}"
_HINT = r"HINT: In many cases this (?:error|issue) (?:indicates that|occurs when) (?:an |the )?"
_STARTING = (Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR, Symptom.TRAIN_COMMUNICATION_ERROR)
_RUNNING = (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR)

SIGNATURES = table(
    Wording(
        {"transport-unavailable": 0.66, "env-malformed": 0.4},
        _HINT + "incorrect GID index is forced by NCCL_IB_GID_INDEX",
        "gid index is forced by nccl_ib_gid_index",
        _LIBRARY,
        _AT + "NCCL WARN HINT: In many cases this error indicates that an incorrect GID index is forced by NCCL_IB_GID_INDEX, or that a NIC's GID"
        " changed mid-run.",
        "NCCL_IB_GID_INDEX set by environment to 3",
        _HINTS,
        _STARTING,
    ),
    Wording(
        {"transport-unavailable": 0.66},
        _HINT + "(?:NICs? on the same (?:node|instance) cannot talk|NICs are not cross-rail|NCCL could not obtain complete PCI topology)",
        "on the same node cannot | on the same instance cannot | nics are not cross-rail | obtain complete pci topology",
        _LIBRARY,
        _AT + "NCCL WARN HINT: In many cases this error indicates that the NICs are not cross-rail connected.",
        "NCCL_CROSS_NIC set by environment to 1.",
        _HINTS,
        _STARTING,
    ),
    Wording(
        {"transport-unavailable": 0.52, "peer-access-broken": 0.5},
        _HINT + "ACS is enabled",
        "acs is enabled",
        _LIBRARY + "; nccl: src/misc/ibvwrap.cc",
        _AT + "NCCL WARN HINT: In many cases this error indicates that ACS is enabled, which breaks the GPU Direct RDMA protocol.",
        "ACS is off",
        _HINTS,
        _RUNNING,
    ),
    Wording(
        {"transport-unavailable": 0.5, "timeout-too-short": 0.48, "link-flapping": 0.4},
        _HINT + "NCCL_IB_TIMEOUT is set too short",
        "nccl_ib_timeout is set too short",
        _LIBRARY,
        _AT + "NCCL WARN HINT: In many cases this error indicates that NCCL_IB_TIMEOUT is set too short (the default value is 20)",
        "NCCL_IB_TIMEOUT set by environment to 22",
        _HINTS,
        _RUNNING,
    ),
    Wording(
        {"peer-access-broken": 0.72},
        _HINT + r"(?:GPU peer-mapping \(BAR1 P2P\) resources are exhausted|IMEX \(NVLink fabric\) service is not running)",
        "resources are exhausted | service is not running",
        _LIBRARY,
        _AT + "NCCL WARN HINT: In many cases this error indicates that the IMEX (NVLink fabric) service is not running or is misconfigured on MNNVL systems.",
        "the IMEX service is running",
        _HINTS,
        _STARTING,
    ),
    Wording(
        {"env-malformed": 0.6, "transport-unavailable": 0.4},
        r"HINT: In many cases this (?:error|issue) indicates missing or faulty information in the provided topology file",
        "in the provided topology file",
        _LIBRARY,
        _AT + "NCCL WARN HINT: In many cases this error indicates missing or faulty information in the provided topology file.",
        "NCCL_TOPO_FILE set by environment to /etc/topo.xml",
        _HINTS,
        (Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"env-differs-between-ranks": 0.7},
        _SAYS + r"(?:NCCL environment: mismatch across \d+ ranks|Communicator ranks have mismatched \w+ configuration)",
        "nccl environment: mismatch | ranks have mismatched",
        _LIBRARY,
        _AT + "NCCL WARN NCCL environment: mismatch across 16 ranks in comm 0x7f11 for NCCL_ALGO",
        "NCCL environment: same on 16 ranks",
        _AFTER,
        (Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    ),
    Wording(
        {"version-mismatch": 0.9},
        _SAYS + r"Mismatched NCCL git versions detected",
        "nccl git versions detected",
        _LIBRARY,
        _AT + "NCCL WARN Mismatched NCCL git versions detected: rank 0 fingerprint 0x0000abcd, rank 3 fingerprint 0x0000abce",
        "NCCL git version master 5067397c",
        _AFTER,
        (Symptom.SETUP_FAILURE,),
    ),
    Wording(
        {"device-missing": 0.55, "device-fault": 0.4},
        _SAYS + r"GPU inventory: (?:count|model) mismatch across \d+ ranks",
        "gpu inventory: count mismatch | gpu inventory: model mismatch",
        _LIBRARY,
        _AT + "NCCL DIAG [WARN] GPU inventory: count mismatch across 16 ranks in comm 0x7f11, rank(s) 8 differ from rank 0 (8)",
        "GPU inventory: 8 on all ranks",
        _AFTER,
    ),
    Wording(
        {"peer-access-broken": 0.7},
        _SAYS + r"(?:NVLink: link-count mismatch across|p2p: (?:read|write) mismatch|p2p: peer-memory import failed)",
        "nvlink: link-count mismatch | p2p: read mismatch | p2p: write mismatch | p2p: peer-memory import",
        _LIBRARY,
        _AT + "NCCL DIAG [WARN] p2p: read mismatch srcRank=1 dstRank=2 expected=0x00000000000000ff got=0x0000000000000000",
        "p2p: all pairs read and write",
        _AFTER,
        _RUNNING,
    ),
    Wording(
        {"device-fault": 0.85},
        _SAYS + r"ECC: uncorrected volatile errors on rank",
        "ecc: uncorrected volatile",
        _LIBRARY,
        _AT + "NCCL DIAG [WARN] ECC: uncorrected volatile errors on rank(s) 3 (worst=12) across 16 ranks in comm 0x7f11",
        "ECC: no uncorrected volatile errors across 16 ranks in comm 0x7f11",
        _AFTER,
        (Symptom.TRAIN_DEVICE_ERROR, Symptom.PREP_DEVICE_ERROR),
    ),
    Wording(
        {"transport-unavailable": 0.62, "link-flapping": 0.5},
        _SAYS + r"NET/IB ?: .{0,120}(?:during GID change|after GID-change event handler failed|port still down or GID not yet registered|failing port recovery)",
        "during gid change | after gid-change event | gid not yet registered | failing port recovery",
        _LIBRARY,
        _AT + "NCCL WARN NET/IB : mlx5_0:1 marking device with fatal error after GID-change event handler failed",
        "NET/IB : mlx5_0:1 GID table unchanged",
        _AFTER,
        _RUNNING,
    ),
    warned(
        {"transport-unavailable": 0.62, "memlock-limit": 0.35},
        ("Call to ibv_reg_#* failed with error Bad address", "Call to ibv_reg_#* failed with error Invalid argument",
         "Call to ibv_reg_#* failed with error Operation not supported", "Call to ibv_reg_#* failed with error Connection timed out"),
        "nccl: src/misc/ibvwrap.cc (a card cannot reach a GPU's memory: nvidia_peermem is not loaded, or not for this driver)",
        _AT + "misc/ibvwrap.cc:160 NCCL WARN Call to ibv_reg_mr_iova2 failed with error Bad address errno 14",
        "nccl >= 2.10",
        _RUNNING,
    ),
    warned(
        {"rank-exited": 0.3, "fd-limit": 0.28, "data-ports-dropped": 0.2},
        ("Call to accept failed", "Call to bind failed", "Call to socket failed", "Call to pipe failed", "Call to read failed", "Call to write failed",
         "Call to shutdown failed", "Call to getsockopt failed", "Call to getifaddrs failed", "Call to open failed", "Call to dup2 failed"),
        "nccl: src/include/checks.h, SYSCHECK (the error behind it tells)",
        _AT + "misc/socket.cc:420 NCCL WARN Call to accept failed: Invalid argument",
        "nccl >= 2.10",
        _STARTING,
    ),
    warned(
        {"process-limit": 0.42, "memory-exhausted": 0.36},
        ("Call to pthread_", "Call to setrlimit failed", "Call to getrlimit failed"),
        "nccl: src/include/checks.h, PTHREADCHECK and SYSCHECK",
        _AT + "init.cc:1500 NCCL WARN Call to pthread_attr_setstacksize failed: Resource temporarily unavailable",
        "nccl >= 2.10",
        _STARTING,
    ),
)  # fmt: skip
