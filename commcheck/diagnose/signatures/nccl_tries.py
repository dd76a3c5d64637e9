"""NCCL: what its sockets and those of aws-ofi-nccl say while they try, or once and for all in the oldest releases.

The final warnings of newer releases: `nccl`, `nccl_transports`. Read in the sources of NCCL 2.3.5 to 2.30.7 and of
aws-ofi-nccl 1.3 to 1.21."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_AT = "trainer-a:41:77 [0] "
_OLD = "nccl: src/include/core.h (SYSCHECKNTIMES, SYSCHECK) and socket.h, until 2.4.1; 2.2 is said to have it too"
_TRIES = "nccl: src/misc/socket.cc, socketConnectCheck; it goes on trying, so that this alone is no failure yet"
_RUNNING = (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR)
_FORMING = (Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT, Symptom.PREP_COMMUNICATION_ERROR)
_REQUEST = (
    r"NET/OFI (?:Request |Remote write )(?:(?:0x)?[0-9a-f]{1,16} |\(nil\) )?(?:\(.{1,200}\) )?completed with error"
)

SIGNATURES = table(
    Wording(
        {"data-ports-refused": 0.5, "rank-exited": 0.4, "rank-missing": 0.3},
        r"NCCL WARN Call to connect (?:timeout|failed) : Connection refused",
        "call to connect timeout | call to connect failed",
        f"{_OLD}: connect was refused as often as it tries",
        _AT + "include/socket.h:361 NCCL WARN Call to connect timeout : Connection refused",
        _AT + "include/socket.h:361 NCCL WARN Call to connect timeout : Connection timed out",
        "nccl < 2.4.2",
        _FORMING,
    ),
    Wording(
        {"data-ports-dropped": 0.62, "interface-unroutable": 0.4, "one-way-blocked": 0.35},
        r"NCCL WARN Call to connect (?:timeout|failed) : Connection timed out",
        "call to connect timeout | call to connect failed",
        _OLD,
        _AT + "include/socket.h:361 NCCL WARN Call to connect failed : Connection timed out",
        _AT + "include/socket.h:361 NCCL WARN Call to connect failed : Connection refused",
        "nccl < 2.4.2",
        _FORMING,
    ),
    Wording(
        {"route-missing": 0.72, "data-ports-refused": 0.4, "partition": 0.35},
        r"NCCL WARN Call to connect (?:timeout|failed) : (?:No route to host|Network is unreachable)",
        "call to connect timeout | call to connect failed",
        _OLD + " (a rejecting firewall says so too)",
        _AT + "include/socket.h:361 NCCL WARN Call to connect failed : No route to host",
        _AT + "include/socket.h:361 NCCL WARN Call to connect failed : Connection refused",
        "nccl < 2.4.2",
        _FORMING,
    ),
    Wording(
        {"route-missing": 0.6, "data-ports-refused": 0.38, "partition": 0.35},
        r"NCCL INFO \w+Connect: connect returned (?:No route to host|Network is unreachable), retrying \(",
        ": connect returned ",
        _TRIES,
        _AT
        + "NCCL INFO socketPollConnect: connect returned No route to host, retrying (3/34) after sleep for 300 msec",
        _AT
        + "NCCL INFO socketPollConnect: connect returned Connection refused, retrying (3/34) after sleep for 300 msec",
        "nccl 2.24 to 2.26",
        _FORMING,
    ),
    Wording(
        {"data-ports-dropped": 0.55, "interface-unroutable": 0.38, "one-way-blocked": 0.3},
        r"NCCL INFO \w+Connect: connect returned Connection timed out, retrying \(",
        ": connect returned ",
        _TRIES,
        _AT
        + "NCCL INFO socketPollConnect: connect returned Connection timed out, retrying (1/34) after sleep for 100 msec",
        _AT
        + "NCCL INFO socketPollConnect: connect returned Connection refused, retrying (1/34) after sleep for 100 msec",
        "nccl 2.24 to 2.26",
        _FORMING,
    ),
    Wording(
        {"data-ports-refused": 0.42, "rank-exited": 0.36, "rank-missing": 0.3},
        r"NCCL INFO \w+Connect: connect returned Connection refused, retrying \(",
        ": connect returned ",
        _TRIES + " (a rank that is late refuses at first too)",
        _AT
        + "NCCL INFO socketPollConnect: connect returned Connection refused, retrying (3/34) after sleep for 300 msec",
        _AT
        + "NCCL INFO socketPollConnect: connect returned No route to host, retrying (3/34) after sleep for 300 msec",
        "nccl 2.24 to 2.26",
        _FORMING,
    ),
    Wording(
        {"transport-unavailable": 0.66, "link-flapping": 0.36, "rank-exited": 0.34, "rank-crashed": 0.3},
        _REQUEST + r"(?!.{0,120}\berr: 113\b)",
        "completed with error",
        "aws-ofi-nccl: src/nccl_ofi_net.c, since 1.7 nccl_ofi_rdma and nccl_ofi_sendrecv, since 1.21 platform-aws.cpp: an operation of a "
        "call that was under way failed on the card, on the way, or at the peer",
        _AT
        + "ofi_process_cq:123 NCCL WARN NET/OFI Request 0x7f1104d8 completed with error. RC: 5. Error: 4103 (Connection reset). "
        "Completed length: 0, Request: { dev: 0 }",
        _AT + "NCCL INFO NET/OFI Request 0x7f1104d8 completed",
        "aws-ofi-nccl 1.3 to 1.21",
        _RUNNING,
    ),
    Wording(
        {"data-ports-dropped": 0.72, "one-way-blocked": 0.4},
        _REQUEST + r": err: 113\b|\* This error indicates that the security group on either this instance or the peer",
        "completed with error | that the security group on either",
        "aws-ofi-nccl: src/platform-aws.cpp, log_cq_error (FI_EHOSTUNREACH: EFA drops what a security group does not let through)",
        "* This error indicates that the security group on either this instance or the peer instance",
        _AT
        + "NCCL WARN NET/OFI Request 0x7f11 (send) completed with error: err: 5, flags: 0, prov_errno: 9, strerror: x, len: 0",
        "aws-ofi-nccl >= 1.21",
        _FORMING,
    ),
    Wording(
        {"env-conflict": 0.7},
        r"NCCL was built without TLS support but a pre-shared key was configured",
        "built without tls support but a pre-shared key",
        "libnccl 2.32.3 itself (its texts; the sources of 2.31 and later were not read)",
        _AT + "NCCL WARN NCCL was built without TLS support but a pre-shared key was configured",
        "NCCL was built with TLS support",
        "nccl >= 2.32",
        _FORMING,
    ),
)
