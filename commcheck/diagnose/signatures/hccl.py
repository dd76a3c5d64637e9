"""HCCL, the collectives of Ascend NPUs: CANN's error codes, as `EI0006: …` or `Communication_Error_…(EI0006): …`.

Codes are found together with the sentence that CANN writes behind them, older or newer; a code by itself counts too.
"""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_CANN = "CANN hcomm: base/err_msg, error codes EI*, EJ*; torch_npu: csrc/core/npu/NPUException.h"
_MALFORMED = (Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR)
_WAITS = (Symptom.PERF_HANG, Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PREP_HANG_TIMEOUT)
_CONNECTS = (Symptom.SETUP_HANG_TIMEOUT, Symptom.PREP_HANG_TIMEOUT, Symptom.PERF_HANG, Symptom.PREP_COMMUNICATION_ERROR)
_SETS_UP = (Symptom.PREP_COMMUNICATION_ERROR, Symptom.SETUP_FAILURE, Symptom.TRAIN_COMMUNICATION_ERROR)
_DEVICE = (Symptom.PREP_DEVICE_ERROR, Symptom.SETUP_FAILURE, Symptom.TRAIN_DEVICE_ERROR)


def _code(*codes: str) -> str:
    """A code where it opens a message, not where documentation lists it."""
    return r"\b(?:" + "|".join(codes) + r")\)?: "


def _found(*codes: str, texts: str = "") -> str:
    return " | ".join([f"{code.lower()}{end}" for code in codes for end in (": ", "): ")] + ([texts] if texts else []))


SIGNATURES = table(
    Wording(
        {"env-malformed": 0.85, "env-unknown": 0.2},
        _code("EI0001") + r"|Environment variable \[[^\]]*\] is invalid",
        _found("EI0001", texts="environment variable ["),
        _CANN,
        "EI0001: Environment variable [HCCL_CONNECT_TIMEOUT] is invalid. Reason: Value [abc] is not a number.",
        "Environment variable HCCL_CONNECT_TIMEOUT is set to 600",
        symptoms=_MALFORMED,
    ),
    Wording(
        {
            "env-malformed": 0.8,
            "world-size-mismatch": 0.5,
            "rank-out-of-range": 0.45,
            "device-ordinal-out-of-range": 0.3,
        },
        _code("EI0004", "EI0014", "EI0017")
        + r"|The ranktable or rank is invalid|Failed to parse the ranktable file|ranktable information check failed",
        _found(
            "EI0004",
            "EI0014",
            "EI0017",
            texts="ranktable or rank is invalid | parse the ranktable | ranktable information check",
        ),
        _CANN + " (RANK_TABLE_FILE, RANK_ID, RANK_SIZE)",
        "EI0004: The ranktable or rank is invalid,Reason:[The ranktable config is invalid]. Please check the configured ranktable.",
        "the ranktable was read",
        symptoms=_MALFORMED,
    ),
    Wording(
        {
            "collective-missing-rank": 0.47,
            "rank-exited": 0.45,
            "rank-straggling": 0.44,
            "uneven-inputs": 0.3,
            "timeout-too-short": 0.3,
        },
        _code("EI0002")
        + r"|The wait execution of the Notify register times out|A timeout occurs when the Notify register waits"
        + r"|NPU (?:function )?error.{0,40} error code is 107020|[Hh][Cc][Cc][Ll] fftsplus task timeout",
        _found(
            "EI0002",
            texts="execution of the notify register | when the notify register waits | error code is 107020 | fftsplus task timeout",
        ),
        _CANN + " (HCCL_EXEC_TIMEOUT; 107020: ACL_ERROR_RT_STREAM_SYNC_TIMEOUT)",
        "EI0002: The wait execution of the Notify register times out. Reason: The Notify register has not received the Notify record from remote rank [1].",
        "the Notify register was recorded",
        symptoms=_WAITS,
    ),
    Wording(
        {"collective-missing-rank": 0.44, "rank-straggling": 0.42, "timeout-too-short": 0.35, "rank-exited": 0.3},
        r"error code is (?:507046|507013)\b|reason=\[stream sync timeout\]|all tasks in the specified stream are not completed",
        "error code is 507 | [stream sync timeout] | in the specified stream are not completed",
        _CANN + " (507046: ACL_ERROR_RT_STREAM_SYNC_TIMEOUT)",
        "EE1002: Stream synchronize timeout. rtDeviceSynchronize execute failed, reason=[stream sync timeout]",
        "all tasks of the stream are completed",
        symptoms=_WAITS,
    ),
    Wording(
        {"process-group-misuse": 0.45, "script-error": 0.44, "op-unsupported": 0.42},
        _code("EI0003", "EI0016"),
        _found("EI0003", "EI0016"),
        _CANN + " (an operator's argument)",
        "EI0003: In [HcclAllReduce], value [bool] for parameter [dataType] is invalid. Reason: not supported.",
        "EI0003 is an error code",
        symptoms=(Symptom.TRAIN_OTHER_FAILURE, Symptom.TRAIN_NOT_IMPLEMENTED),
    ),
    Wording(
        {"collective-shape-mismatch": 0.8, "collective-order-mismatch": 0.6, "collective-op-mismatch": 0.5},
        _code("EI0005")
        + r"|arguments for collective communication are inconsistent between ranks|arameters of operator \S+ are inconsistent between ranks",
        _found("EI0005", texts="are inconsistent between ranks"),
        _CANN,
        "EI0005: The arguments for collective communication are inconsistent between ranks: tag [AllReduce_1], parameter [count], local [4], remote [8]",
        "the arguments are the same on all ranks",
        symptoms=(Symptom.TRAIN_TENSOR_MISMATCH, Symptom.PREP_COMMUNICATION_ERROR),
    ),
    Wording(
        {
            "rank-missing": 0.46,
            "rank-exited": 0.44,
            "rank-straggling": 0.42,
            "data-ports-dropped": 0.35,
            "device-shared-by-ranks": 0.25,
            "timeout-too-short": 0.25,
        },
        _code("EI0006") + r"|Getting socket times out",
        _found("EI0006", texts="getting socket times out"),
        _CANN + " (HCCL_CONNECT_TIMEOUT, 120 s)",
        "EI0006: Getting socket times out. Reason: Remote Rank did not send the data in time.",
        "the socket was got in time",
        symptoms=_CONNECTS,
    ),
    Wording(
        {
            "rank-missing": 0.47,
            "wrong-master-host": 0.4,
            "data-ports-dropped": 0.35,
            "interface-differs-between-ranks": 0.3,
        },
        _code("EI0015") + r"|Failed to collect cluster information of the communicator",
        _found("EI0015", texts="collect cluster information of the communicator"),
        _CANN + " (the root rank's socket, HCCL_IF_IP, HCCL_SOCKET_IFNAME)",
        "EI0015: Failed to collect cluster information of the communicator based on the root node information. Reason: timeout.",
        "cluster information of the communicator was collected",
        symptoms=_CONNECTS,
    ),
    Wording(
        {"memory-exhausted": 0.8},
        _code("EI0007", "EI0011") + r"|Failed to allocate \[[^\]]*\] bytes of NPU memory",
        _found("EI0007", "EI0011", texts="bytes of npu memory"),
        _CANN,
        "EI0007: Failed to allocate resource[DeviceMemory] with info [size:209715200]. Reason: Memory resources are exhausted.",
        "allocated 64 bytes of device memory",
        symptoms=(Symptom.TRAIN_OUT_OF_MEMORY,),
    ),
    Wording(
        {"version-mismatch": 0.9},
        _code("EI0008") + r"|HCCL versions are inconsistent",
        _found("EI0008", texts="hccl versions are inconsistent"),
        _CANN,
        "EI0008: The HCCL versions are inconsistent: tag [HcomAllReduce], local_version [1.76], remote_version [1.84]",
        "the HCCL versions are the same",
        symptoms=_SETS_UP,
    ),
    Wording(
        {"interface-down": 0.6, "transport-unavailable": 0.58, "link-flapping": 0.3, "data-ports-dropped": 0.3},
        _code("EI0009", "EJ0002", "EJ0004") + r"|transport init error|The network port is down",
        _found("EI0009", "EJ0002", "EJ0004", texts="transport init error | network port is down"),
        _CANN + " (hccn_tool: an NPU's own network port and address)",
        "EI0009: transport init error. Reason: Failed to create the communication link between the local and the remote rank. EJ0002: The network port is down.",
        "the network port is up",
        symptoms=_SETS_UP,
    ),
    Wording(
        {"peer-access-broken": 0.75, "transport-unavailable": 0.3},
        _code("EI0010") + r"|P2P communication (?:between \S+ )?failed",
        _found("EI0010", texts="p2p communication "),
        _CANN,
        "EI0010: P2P communication failed. Reason: timed out waiting for the P2P enablement of the NPUs.",
        "P2P communication is enabled",
        symptoms=_SETS_UP,
    ),
    Wording(
        {"rank-exited": 0.45, "link-flapping": 0.44, "device-fault": 0.4, "rank-crashed": 0.4, "link-lossy": 0.3},
        _code("EI0012", "EI0013", "EI0018") + r"|SDMA memory copy task exception|[Aa]n error CQE occurr",
        _found("EI0012", "EI0013", "EI0018", texts="sdma memory copy task exception | an error cqe occur"),
        _CANN,
        "EI0013: An error CQE occurred. Local information: server 192.0.2.4, device ID 3. Reason: the peer has left or the network was interrupted.",
        "a CQE was polled",
        symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.TRAIN_DEVICE_ERROR),
    ),
    Wording(
        {"port-in-use": 0.8, "stale-store": 0.5, "interface-missing": 0.3},
        _code("EI0019", "EI0020", "EJ0003")
        + r"|Failed to bind the IP port|Failed to enable listening for the (?:host|NPU) network adapter",
        _found("EI0019", "EI0020", "EJ0003", texts="failed to bind the ip port | failed to enable listening for"),
        _CANN + " (HCCL_IF_BASE_PORT, HCCL_HOST_SOCKET_PORT_RANGE)",
        "EJ0003: Failed to bind the IP port. Reason: The IP address and port have been bound already.",
        "the IP port is bound",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR),
    ),
    Wording(
        {"stale-store": 0.5, "port-in-use": 0.48, "device-shared-by-ranks": 0.45},
        _code("EJ0001") + r"|Failed to initialize the HCCP process",
        _found("EJ0001", texts="failed to initialize the hccp process"),
        _CANN + " (most often a process of the job before still has the NPU)",
        "EJ0001: Failed to initialize the HCCP process. Reason: Maybe the last training process is running.",
        "the HCCP process is up",
        symptoms=(Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR, Symptom.PREP_DEVICE_ERROR),
    ),
    Wording(
        {"rank-exited": 0.46, "rank-crashed": 0.42, "rank-killed": 0.4, "partition": 0.3},
        r"\[HeartBeat\].{0,120}(?i:lost)|(?:remote rank|peer|HCCL).{0,60}(?:lost heartbeat|heartbeat (?:is )?lost)",
        "[heartbeat] | heartbeat lost | lost heartbeat | heartbeat is lost",
        "CANN hcomm: framework/common/src/heartbeat",
        "[ERROR] HCCL(12,python3):[HeartBeat][SetStatus]local rank [192.0.2.4/3]: crimer rank [192.0.2.5/1] status[LOST] lost",
        "[HeartBeat] started",
        symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PERF_HANG),
    ),
    Wording(
        {"rank-exited": 0.4, "rank-missing": 0.38, "collective-missing-rank": 0.35, "transport-unavailable": 0.3},
        r"error(?: in|:)? ?:? ?Hccl\w+,? error code is \d+",
        "error code is ",
        "torch_npu: csrc/distributed/ProcessGroupHCCL.cpp, framework/OpParamMaker.cpp",
        "RuntimeError: InnerRunOpApi: OPS function error: HcclAllreduce, error code is 6",
        "the error code is 0",
        symptoms=(Symptom.PREP_COMMUNICATION_ERROR, Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PERF_HANG),
    ),
    Wording(
        {"device-ordinal-out-of-range": 0.7, "device-missing": 0.65, "env-malformed": 0.3},
        r"\bEL0001\)?: |GetVisibleDevices.{0,60}input data rang|aclrtSetDevice.{0,60}error code is 107001",
        "el0001: | el0001): | getvisibledevices | error code is 107001",
        "CANN runtime; torch_npu (ASCEND_RT_VISIBLE_DEVICES; 107001: ACL_ERROR_RT_INVALID_DEVICEID)",
        "[Error]: Invalid device ID. aclrtSetDevice: NPU function error, error code is 107001",
        "GetVisibleDevices: 8",
        symptoms=_DEVICE,
    ),
)
