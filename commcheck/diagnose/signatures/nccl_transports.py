"""NCCL (and RCCL): what its transports, its topology search and its argument checks say. Sockets and bootstrap: `nccl`."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

_IB = "nccl: src/transport/net_ib"
_TOPO = "nccl: src/graph"
_CHECK = "nccl: src/include/checks.h, CUDACHECK"
_AT = "trainer-a:41:77 [0] "

SIGNATURES = table(
    Wording(
        {"transport-unavailable": 0.68, "link-flapping": 0.3},
        r"(?<!NCCL INFO )NET/IB\w* ?: ?(?:\w+: )?Got (?:completion (?:with error|from peer .* with (?:error|status))|CQE with error)|: got completion with error:",
        "got completion with | got completion from peer | got cqe with",
        _IB + " (until 2.10 the peer was not named); libmlx5",
        _AT
        + "transport/net_ib.cc:839 NCCL WARN NET/IB : Got completion with error 12, opcode 1, len 0, vendor err 129",
        "Got completion",
        versions="nccl >= 2.10",
        symptoms=(
            Symptom.TRAIN_COMMUNICATION_ERROR,
            Symptom.SETUP_FAILURE,
            Symptom.PREP_COMMUNICATION_ERROR,
        ),
    ),
    Wording(
        {"transport-unavailable": 0.72},
        r"\bibv_modify_qp(?:\(\))? failed(?!.*retrying)|[Ff]ailed to modify QP\b|[Cc]ould ?n[o']t modify QP\b",
        "ibv_modify_qp | modify qp",
        "rdma-core's users: perftest, nvshmem, mscclpp, uccl",
        "Failed to modify QP to RTR: Connection timed out",
        "modified QP to RTR",
    ),
    Wording(
        {"transport-unavailable": 0.65},
        r"\bibv_post_(?:send|recv)\(\) failed with|Call to ibv_poll_cq\(\) returned -?\d|NET/IB ?: (?:[Uu]nable to (?:query|allocate)|"
        r"(?:open|read) failed in ncclIb|The error is fatal|Fatal error)",
        "ibv_post_send() | ibv_post_recv() | call to ibv_poll_cq | unable to query | unable to allocate | failed in nccl | error is fatal"
        " | : fatal error",
        _IB + ", src/misc/ibvwrap.cc",
        _AT + "NCCL WARN NET/IB : Unable to query port_num 1",
        "NET/IB : Using [0]mlx5_0:1/IB",
        versions="nccl >= 2.10",
        symptoms=(
            Symptom.TRAIN_COMMUNICATION_ERROR,
            Symptom.SETUP_FAILURE,
        ),
    ),
    Wording(
        {"transport-unavailable": 0.75, "env-malformed": 0.3},
        r"(?<!NCCL INFO )NET/IB ?: (?:Can't (?:merge|connect) net devices|Trying to (?:merge|use)|Local mergedDev|Attempted to merge|Remote \S+ device is incompatible)"
        r"|(?<!NCCL INFO )TOPO/NET : (?:Couldn't|Can't|Tried|Only matched|Could not)",
        "t merge net devices | t connect net devices | : trying to merge | : trying to use | local mergeddev | attempted to merge | device is incompatible | topo/net : ",
        _IB + " and " + _TOPO + ", merged network devices",
        _AT + "NCCL WARN NET/IB : Attempted to merge incompatible devices: [0]mlx5_0:1/IB and [1]mlx5_1:1/RoCE.",
        "NET/IB : Made virtual device [2] name=mlx5_0+mlx5_1",
        versions="nccl >= 2.20",
    ),
    Wording(
        {"transport-unavailable": 0.72, "peer-access-broken": 0.4},
        r"[Nn]o transport (?:found|for)\b|has no transport for|requires NIC \S+ but that NIC is not available|No path computed to go from"
        r"|Could not find (?:any local path from gpu|NIC for rank|intermediate GPU between|local GPU with rank)",
        "no transport | but that nic is not | no path computed to go | any local path from | could not find nic | intermediate gpu between"
        " | local gpu with rank",
        "nccl: src/transport.cc, " + _TOPO,
        _AT + "NCCL WARN No transport found for rank 0[1a000] -> rank 1[1b000]",
        "transport found",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"transport-unavailable": 0.6},
        r"NCCL WARN (?:Error : ring \d+ does not|Failed to find reverse path|XML (?:Parse|Mismatch|Import|Export)|KV Convert to|Add \w+ (?:\w+ )?error : could not find"
        r"|GetXmlFromCpu|ncclTopo\w+ ?:? (?:could not|too many|parent)|Error : too many XML (?:sub)?nodes"
        r"|Could not find (?:id|gpu rank|net id|NET with id|node of type|rev link))",
        "error : ring | reverse path | nccl warn xml | kv convert to | error : could not find | getxmlfromcpu | nccltopo"
        " | could not find id | could not find gpu rank | could not find net id | could not find net with id | too many xml | could not find node | could not find rev",
        _TOPO + " (the hardware is described in a way that NCCL does not understand)",
        _AT + "graph/topo.cc:120 NCCL WARN Could not find rev link for 0/1 -> 0/2",
        "topology found",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"env-malformed": 0.68, "transport-unavailable": 0.35},
        r"[Nn]o algorithm/protocol available|NCCL WARN Error: network \S+ not found|(?<!NCCL INFO )Could not open XML (?:topology|graph) file"
        r"|NCCL WARN (?:Unrecognized (?:element|prefix) token|All entries except the first must have a prefix)"
        r"|Net : (?:No valid (?:<IPv4_or_hostname>|\[IPv6\]):<?port>? pair found|string is null)|Invalid NCCL_\w+ value",
        "no algorithm/protocol | error: network | could not open xml | unrecognized element token | unrecognized prefix token | must have a prefix | net : no valid | net : string is null"
        " | invalid nccl_",
        "nccl: src/enqueue.cc, src/net.cc, src/graph/xml.cc, src/misc/socket.cc: what NCCL_ALGO, NCCL_PROTO, NCCL_NET, NCCL_TOPO_FILE,"
        " NCCL_COMM_ID say does not exist",
        _AT + "NCCL WARN Error: network IBX not found.",
        "NCCL INFO Using network IB",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"peer-access-broken": 0.8, "driver-mismatch": 0.3},
        r"(?<!NCCL INFO )Failed to bind NVLink SHARP|MNNVL \(cliqueSize \d+\) is available but not (?:working|supported)",
        "nvlink sharp | is available but not",
        "nccl: src/transport/nvls.cc, src/mnnvl.cc (fabric manager, IMEX)",
        _AT + "NCCL WARN Failed to bind NVLink SHARP (NVLS) Multicast memory of size 2097152 : CUDA error 401",
        "NVLS multicast support is available on dev 0",
        versions="nccl >= 2.25",
    ),
    Wording(
        {"peer-access-broken": 0.55, "device-fault": 0.4, "driver-mismatch": 0.35},
        r"transport/(?:nvls|p2p|shm)\.cc:\d+ (?:\(\w+\) )?NCCL WARN Cuda failure",
        "nccl warn cuda failure",
        _CHECK + ", while GPUs of one host are connected",
        _AT + "transport/nvls.cc:598 NCCL WARN Cuda failure 1 'invalid argument'",
        _AT + "enqueue.cc:98 NCCL WARN Cuda failure 1 'invalid argument'",
    ),
    Wording(
        {"device-fault": 0.42, "driver-mismatch": 0.35, "memory-exhausted": 0.2, "peer-access-broken": 0.2},
        r"NCCL WARN (?:Cuda failure|CUDA error|HIP failure|Failed to create CUDA context)",
        "nccl warn cuda | nccl warn hip failure | nccl warn failed to create",
        _CHECK,
        _AT + "init.cc:898 NCCL WARN Cuda failure 'an unknown call failed'",
        "NCCL INFO cudaDriverVersion 12040",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"driver-mismatch": 0.92},
        r"API call is not supported in the installed CUDA driver|CUDA driver is a stub library|invalid device function|named symbol not found",
        "in the installed cuda driver | is a stub library | invalid device function | named symbol not found",
        "CUDA: error strings (driver older than the binary, or a binary for other GPUs)",
        _AT + "enqueue.cc:802 NCCL WARN Cuda failure 'API call is not supported in the installed CUDA driver'",
        "the CUDA driver is installed",
    ),
    Wording(
        {"driver-mismatch": 0.5, "device-missing": 0.45, "device-fault": 0.3},
        r"(?<!NCCL INFO )nvml(?:Init|Device|Shutdown)\w*\(.{0,80}\) failed: |NVML failure '",
        "nvmlinit | nvmldevice | nvmlshutdown | nvml failure",
        "nccl: src/misc/nvmlwrap.cc",
        _AT + "misc/nvmlwrap.cc:46 NCCL WARN nvmlInit_v2() failed: Unknown Error",
        "nvmlInit succeeded",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"version-mismatch": 0.9},
        r"NCCL version mismatch with remote peer|NCCL library (?:version )?is (?:too old|not backwards compatible)\. This application was compiled",
        "nccl version mismatch with | this application was compiled",
        "nccl: src/ras, src/init.cc",
        _AT
        + "NCCL WARN NCCL library is too old. This application was compiled with NCCL version 2.30.7, but is running with 2.27.3.",
        "NCCL version 2.27.3",
        versions="nccl >= 2.24",
    ),
    Wording(
        {"interface-differs-between-ranks": 0.7, "transport-unavailable": 0.4},
        r"Detected mixed local (?:Net|CollNet) device counts across ranks(?!.*Ignoring)",
        "detected mixed local",
        "nccl: src/init.cc since 2.30",
        _AT
        + "NCCL WARN Detected mixed local Net device counts across ranks (min 1, max 8). Set NCCL_IGNORE_NET_MISMATCH=1 to continue.",
        "8 Net devices on all ranks",
        "nccl >= 2.30",
    ),
    Wording(
        {"collective-order-mismatch": 0.78, "collective-shape-mismatch": 0.7},
        r"collective mismatch error|posted incorrect receive info|Mismatched collective detected|caused by a collective mismatch around rank",
        "collective mismatch error | posted incorrect receive info | mismatched collective detected | collective mismatch around",
        _IB + "; src/enqueue.cc until 2.6",
        _AT
        + "NCCL WARN NET/IB : req 0/1 tag 1 peer 10.9.0.2<43210> collective mismatch error, local size 8 remote size 16",
        "the collectives match",
        versions="nccl 2.4 to 2.6, >= 2.10",
    ),
    Wording(
        {"process-group-misuse": 0.72},
        r"NCCL WARN (?:ncclGroupEnd: not in a group call|improper usage of ncclCommInitRank|Error: corrupted comm object|\w+ : \w+ argument is NULL"
        r"|\w+ : invalid root|Blocking and nonblocking communicators|Invalid config \w+|Trying to (?:send|recv) to self without"
        r"|Streams given to a communicator|Either none or all communicators|Error : mixing different streams|Too many (?:async|aggregated)"
        r"|Trying to launch too many|ncclConfig_t argument not)",
        "not in a group call | improper usage of nccl | corrupted comm object | argument is null | : invalid root"
        " | blocking and nonblocking | nccl warn invalid config | to self without | streams given to a | either none or all comm"
        " | mixing different streams | too many async | too many aggregated | launch too many | ncclconfig_t argument",
        "nccl: src/init.cc, src/group.cc, src/enqueue.cc, src/misc/argcheck.cc",
        _AT + "misc/argcheck.cc:39 NCCL WARN Broadcast : invalid root 9 (root should be in the 0..8 range)",
        "Broadcast : root 0",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"op-unsupported": 0.75},
        r"NCCL WARN (?:\w+ : (?:invalid (?:type|reduction operation)|reduction operation \d+ unknown)|Data type supplied to user-created|FP8 reduction support)",
        "invalid type | reduction operation | type supplied to user-created | fp8 reduction support",
        "nccl: src/misc/argcheck.cc, src/enqueue.cc",
        _AT + "NCCL WARN AllReduce : invalid type 12",
        "AllReduce : type 7",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"shm-too-small": 0.82},
        r"Call to (?:posix_fallocate|ftruncate|shm_open) failed|Error: failed to (?:create shared memory|extend \S+ to \d+ bytes)",
        "call to posix_fallocate | call to ftruncate | call to shm_open | failed to create shared memory | failed to extend ",
        "nccl: src/misc/shmutils.cc, until 2.11 src/include/shm.h",
        _AT + "include/shm.h:28 NCCL WARN Call to posix_fallocate failed : No space left on device",
        "Call to posix_fallocate succeeded",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"shm-too-small": 0.52, "transport-unavailable": 0.5, "rank-exited": 0.3},
        r"Error while attaching to shared memory segment|NCCL WARN Error: Could not map \S+ size|NCCL WARN Could not map ",
        "attaching to shared memory | could not map ",
        "nccl: src/misc/shmutils.cc (the segment is not there: two containers that look like one host)",
        _AT
        + "NCCL WARN Error while attaching to shared memory segment /dev/shm/nccl-Ab3dEf (size 5242880), error: No such file",
        "attached to the segment",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"memory-exhausted": 0.75},
        r"NCCL WARN Failed to malloc \d+ bytes|Unrecoverable error detected: malloc\(",
        "failed to malloc | malloc(",
        "nccl: src/include/alloc.h",
        _AT + "NCCL WARN Failed to malloc 1048576 bytes",
        "malloc of 1048576 bytes",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"rank-exited": 0.4, "transport-unavailable": 0.32, "rank-crashed": 0.3},
        r"Proxy Call to rank \d+ failed|Socket recv failed while polling for opId|call to tpRank \d+\S* (?:\S+ \S+ )?failed"
        r"|Could not receive type from localRank \d+|UDS: (?:Sending|Receiving) data over socket",
        "proxy call to rank | while polling for opid | call to tprank | receive type from localrank | data over socket",
        "nccl: src/proxy.cc, src/misc/ipcsocket.cc",
        _AT + "proxy.cc:1143 NCCL WARN Socket recv failed while polling for opId=0x7fa0",
        "polling for opId",
        versions="nccl >= 2.12",
        symptoms=(
            Symptom.TRAIN_COMMUNICATION_ERROR,
            Symptom.PREP_COMMUNICATION_ERROR,
            Symptom.SETUP_FAILURE,
        ),
    ),
    Wording(
        {"data-ports-refused": 0.5, "rank-exited": 0.42},
        r"connect returned Connection refused, exceeded error retry count",
        "exceeded error retry count",
        "nccl: src/misc/socket.cc, 2.24 to 2.26",
        _AT + "NCCL WARN socketPollConnect: connect returned Connection refused, exceeded error retry count (34)",
        "retry count 1",
        "nccl 2.24 to 2.26",
        symptoms=(
            Symptom.SETUP_FAILURE,
            Symptom.PREP_COMMUNICATION_ERROR,
            Symptom.TRAIN_COMMUNICATION_ERROR,
        ),
    ),
    Wording(
        {"data-ports-dropped": 0.6, "interface-unroutable": 0.4, "one-way-blocked": 0.3},
        r"connect returned Connection timed out, exceeded error retry count|socket(?:Start|Poll)Connect: exceeded timeouts",
        "exceeded error retry count | exceeded timeouts",
        "nccl: src/misc/socket.cc, 2.16 to 2.26",
        _AT + "NCCL WARN socketPollConnect: connect returned Connection timed out, exceeded error retry count (34)",
        "retry count 1",
        "nccl 2.16 to 2.26",
    ),
    Wording(
        {"route-missing": 0.7, "data-ports-refused": 0.4, "partition": 0.35},
        r"connect returned (?:No route to host|Network is unreachable), exceeded error retry count",
        "exceeded error retry count",
        "nccl: src/misc/socket.cc, 2.24 to 2.26",
        _AT + "NCCL WARN socketPollConnect: connect returned No route to host, exceeded error retry count (34)",
        "retry count 1",
        "nccl 2.24 to 2.26",
    ),
    Wording(
        {"data-ports-refused": 0.44, "data-ports-dropped": 0.4, "rank-exited": 0.35},
        r"socket(?:Start|Poll)Connect: exceeded retries",
        "exceeded retries",
        "nccl: src/misc/socket.cc, 2.16 to 2.23",
        _AT + "NCCL WARN socketStartConnect: exceeded retries (20000)",
        "retries 3",
        "nccl 2.16 to 2.23",
        symptoms=(
            Symptom.SETUP_FAILURE,
            Symptom.PREP_COMMUNICATION_ERROR,
            Symptom.TRAIN_COMMUNICATION_ERROR,
        ),
    ),
    Wording(
        {"peer-access-broken": 0.45, "transport-fallback": 0.3},
        r"Missing \"?(?:iommu=pt|amd_iommu=on)\"?",
        'missing "iommu | missing "amd_iommu | missing iommu | missing amd_iommu',
        "rccl: src/init.cc (printed on every such host, also where all is well)",
        'NCCL WARN Missing "iommu=pt" from kernel command line which can lead to system instablity or hang!',
        "iommu=pt found",
    ),
    Wording(
        {"transport-fallback": 0.47},
        r"Missing \"?HSA_FORCE_FINE_GRAIN_PCIE=1\"?",
        'missing "hsa_force | missing hsa_force',
        "rccl: src/init.cc",
        'NCCL WARN Missing "HSA_FORCE_FINE_GRAIN_PCIE=1" from environment which can lead to low RCCL performance',
        "HSA_FORCE_FINE_GRAIN_PCIE=1",
    ),
    Wording(
        {"interface-unroutable": 0.65},
        r"Net : No interface found in the same subnet as remote address",
        "found in the same subnet",
        "nccl: src/misc/socket.cc",
        _AT + "NCCL WARN Net : No interface found in the same subnet as remote address 10.9.0.2<43210>",
        "an interface in the same subnet",
        versions="nccl 2.10 to 2.26",
    ),
    Wording(
        {"wrong-service-on-port": 0.55, "world-size-mismatch": 0.3},
        r"socketFinalizeAccept\b.{0,60}: wrong (?:magic|type)",
        "wrong magic | wrong type",
        "nccl: src/misc/socket.cc (something else connected: a port scanner, a job that shares the address)",
        _AT + "NCCL WARN socketFinalizeAccept: wrong type 1234 != 3",
        "the right type",
        versions="nccl 2.16 to 2.29",
    ),
    Wording(
        {"address-family-mismatch": 0.65, "interface-missing": 0.5, "version-mismatch": 0.3},
        r"(?<!NCCL INFO )Net : [Uu]nsupported (?:address family type|IP family)|connecting to address \S* with family \d+ is neither AF_INET",
        "net : unsupported | is neither af_inet",
        "nccl: src/misc/socket.cc",
        _AT + "NCCL WARN Net : unsupported IP family",
        "the IP family is 4",
        versions="nccl >= 2.10",
    ),
    Wording(
        {"interface-loopback": 0.3},
        r"(?:Bootstrap ?: Using|NET/Socket ?: Using) (?:\[0\])?lo:",
        "using lo: | using [0]lo:",
        "nccl: src/bootstrap.cc, src/transport/net_socket.cc (right on one host, wrong on several)",
        _AT + "NCCL INFO NET/Socket : Using [0]lo:127.0.0.1<0>",
        _AT + "NCCL INFO NET/Socket : Using [0]eno9:10.9.0.1<0>",
        symptoms=(Symptom.SETUP_FAILURE,),
    ),
)
