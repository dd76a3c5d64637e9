"""NCCL: warnings of its sockets, proxies, shared memory and network cards. The wordings seen most often: `nccl`, `nccl_transports`.

Read in the sources of the releases 2.10.3 to 2.30.7; `versions` are those that have one of the wordings."""

from commcheck.diagnose.signatures.table import table, warned
from commcheck.model.taxonomy import Symptom

_AT = "trainer-a:41:77 [0] "
_SOCKET = "nccl: src/misc/socket.cc, before 2.15 src/include/socket.h, since 2.29 src/os/linux.cc"
_PROXY = "nccl: src/proxy.cc"
_IB = "nccl: src/transport/net_ib"
_RUNNING = (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR)
_STARTING = (Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR, Symptom.TRAIN_COMMUNICATION_ERROR)

SIGNATURES = table(
    warned(
        {"data-ports-dropped": 0.45, "link-flapping": 0.35, "rank-exited": 0.25},
        ("*Call to recv* failed : Connection timed out", "*Call to send* failed : Connection timed out"),
        _SOCKET,
        _AT + "misc/socket.cc:60 NCCL WARN Net : Call to recv from 10.9.0.2<43210> failed : Connection timed out",
        "nccl >= 2.10",
        _RUNNING,
    ),
    warned(
        {"rank-exited": 0.36, "data-ports-dropped": 0.32, "fd-limit": 0.2},
        ("socketPollConnect poll() *", "*ocketTryAccept: *", "[Service thread] Accept failed", "[Proxy Service*Poll failed",
         "[Rem Allocator] Poll failed", "[Proxy Service*Get listenSock fd fails", "[Service thread] Initialize peers[#].sock fails",
         "[Service thread] Get peers[#].sock fd fails", "NET/Socket : socket progress error", "Unexpected connections are not empty",
         "ncclProxyClient* call to *rank # *failed", "Call to poll failed", "Call to setsockopt failed", "Call to getsockname failed",
         "Call to listen failed", "Call to fcntl failed", "GIN Error", "RMA: trying to send to non-connected peer"),
        f"{_SOCKET}; src/include/checks.h, src/proxy.cc, src/bootstrap.cc, src/transport/net_socket.cc",
        _AT + "proxy.cc:1590 NCCL WARN [Proxy Service] Poll failed: Interrupted system call",
        "nccl >= 2.10",
        _RUNNING,
    ),
    warned(
        {"fd-limit": 0.4, "address-family-mismatch": 0.36},
        ("ncclSocketInit: Socket creation failed", "Net : Socket creation failed"),
        f"{_SOCKET} (the error behind it tells)",
        _AT + "misc/socket.cc:733 NCCL WARN ncclSocketInit: Socket creation failed : Permission denied",
        "nccl 2.10 to 2.23",
        _STARTING,
    ),
    warned(
        {"wrong-service-on-port": 0.42, "version-mismatch": 0.35},
        ("[Service thread] Unknown command # from localRank", "[Proxy service] Too many connections",
         "RAS received unknown message type", "RAS received unknown notification type"),
        "nccl: src/proxy.cc, src/ras/ras.cc (what came is not of this job: a port scanner, another release)",
        _AT + "proxy.cc:1640 NCCL WARN [Service thread] Unknown command 71 from localRank 1",
        "nccl >= 2.12",
    ),
    warned(
        {"rank-exited": 0.3, "transport-unavailable": 0.28, "device-fault": 0.25, "teardown-noise": 0.2},
        ("ncclCommSetAsyncError: error comm", "commReclaim: *error #", "ncclProxyStop: comm", "commDestroySync: comm",
         "ncclAsyncJobComplete: job * failed", "communicator encountered a fatal error (detected in", "Comm * is in abort state",
         "Legacy IPC cleanup callback failed", "* : communicator was revoked", "*: communicator was revoked"),
        "nccl: src/init.cc, src/group.cc, src/transport/net_ib (what follows from a failure that was printed elsewhere)",
        _AT + "init.cc:2101 NCCL WARN commReclaim: comm 0x7f11 (rank = 1) in abort, error 6",
        "nccl >= 2.14",
        (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.TRAIN_OTHER_FAILURE),
    ),
    warned(
        {"rank-out-of-range": 0.75},
        ("Bootstrap Root : localId # is out of range",),
        "nccl: src/bootstrap.cc",
        _AT + "bootstrap.cc:340 NCCL WARN Bootstrap Root : localId 9 is out of range",
        "nccl >= 2.29",
    ),
    warned(
        {"shm-too-small": 0.5, "rank-exited": 0.3},
        ("Error while * shared memory segment", "[Service thread] shm close failed", "[Service thread] shm unlink failed",
         "[Service thread] proxy ops shm unlink failed", "munmap of shared memory failed"),
        "nccl: src/misc/shmutils.cc, src/proxy.cc",
        _AT + "misc/shmutils.cc:113 NCCL WARN Error while creating shared memory segment /dev/shm/nccl-Ab3dEf (size 9637888)",
        "nccl >= 2.10",
        _STARTING,
    ),
    warned(
        {"transport-unavailable": 0.42, "rank-exited": 0.35},
        ("UDS: Socket creation error", "UDS: Binding to socket * failed", "UDS: Cannot bind provided name",
         "UDS: Cannot connect to provided name"),
        "nccl: src/misc/ipcsocket.cc (the file descriptors of GPU memory go from rank to rank over such a socket)",
        _AT + "misc/ipcsocket.cc:58 NCCL WARN UDS: Binding to socket /tmp/nccl-socket-0-7f failed : Address already in use (98)",
        "nccl >= 2.17",
    ),
    warned(
        {"transport-unavailable": 0.66, "link-flapping": 0.4},
        ("NET/IB*Device # marked as failed", "NET/IB*Could not find a replacement QP", "NET/IB*Cannot replace QP with",
         "NET/IB*Could not find a functional device to post the probe", "NET/IB*Maximum number of probing attempts",
         "NET/IB*Unsupported completion status", "NET/IB*stale CQE with error", "NET/IB*outstanding recovery operations",
         "NET/IB/GIN: Got completion from peer", "NET/IB*The error is fatal", "NET/IB*Failed to initialize a resiliency send request"),
        f"{_IB}/p2p_resiliency.cc, gin.cc (a card or its port failed while it was in use)",
        _AT + "transport/net_ib/p2p_resiliency.cc:420 NCCL WARN NET/IB: Device 1 marked as failed. (send comm=0x7f11)",
        "nccl >= 2.28",
        _RUNNING,
    ),
    warned(
        {"transport-unavailable": 0.45, "link-flapping": 0.4},
        ("NET/IB : *Got async error event", "NET/IB : *Got non-fatal async event", "NET/IB : * GID table changed",
         "NET/IB : * unknown event type", "Warning: remote FLID configured as zero"),
        f"{_IB} (a port or its addresses changed; not each such change is a fault)",
        _AT + "transport/net_ib.cc:130 NCCL WARN NET/IB : mlx5_0:1 Got non-fatal async event: client reregistration(17)",
        "nccl >= 2.22",
        _RUNNING,
    ),
    warned(
        {"transport-unavailable": 0.62, "library-missing": 0.3},
        ("NET/IB*mlx5dv_create_qp failed", "NET/IB: Error in mlx5dv_get_data_direct_sysfs_path",
         "*NET/MLX5: Call to * failed", "Call to mlx5dv_* failed", "DOCA failure", "DOCA Error", "IB device * not found",
         "No network devices that support GDAKI", "NET/IB : Can't make virtual NIC", "NET/IB : Cannot allocate any more virtual devices",
         "NET/IB : Cannot use physical device", "NET/IB : Requested properties for"),
        f"{_IB}, src/transport/gdaki, src/misc/mlx5dvwrap.cc",
        _AT + "transport/net_ib.cc:900 NCCL WARN NET/IB : Can't make virtual NIC with 0 devices",
        "nccl >= 2.24",
        _STARTING,
    ),
    warned(
        {"transport-unavailable": 0.42},
        ("Could not find real path of",),
        "nccl: src/transport/net_ib, src/graph/xml.cc (a container whose /sys lacks the device; NCCL goes on)",
        _AT + "transport/net_ib.cc:310 NCCL WARN Could not find real path of mlx5_0 (/sys/class/infiniband/mlx5_0/device)",
        "nccl >= 2.10",
        _STARTING,
    ),
    warned(
        {"transport-unavailable": 0.52, "library-missing": 0.5, "version-mismatch": 0.4},
        ("dlvsym failed on * version", "*lib wrapper not initialized", "dlsym failed on", "ncclOsDlsym failed on", "Failed to open libgdrapi", "Failed to open libnvidia-ml",
         "GDRCOPY failure", "gdr_* failed:", "gdr_pin_buffer_v2 not available"),
        "nccl: src/misc/ibvwrap.cc, src/misc/gdrwrap.cc, src/misc/nvmlwrap.cc (a library is not there, or is an older one)",
        _AT + "misc/gdrwrap.cc:36 NCCL WARN Failed to open libgdrapi.so",
        "nccl >= 2.10",
        (Symptom.SETUP_FAILURE, Symptom.SETUP_UNEXPECTED_PROTOCOL),
    ),
    warned(
        {"memlock-limit": 0.4, "transport-unavailable": 0.38, "peer-access-broken": 0.3},
        ("rank # failed to NET register", "rank # - COLLNET failed to register", "rank # failed to IPC register",
         "rank # failed to NVLS register", "rank # deregister *failed", "rank # - * Symmetric register failed", "register fails, buffer",
         "NET/IB: could not find mr", "Deregister: Could not find handle"),
        "nccl: src/transport, src/register",
        _AT + "transport/net.cc:1710 NCCL WARN rank 1 failed to NET register userbuff 0x7f11 buffSize 4194304 GDR flag 1",
        "nccl >= 2.12",
        (Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.TRAIN_MEMORY_ISSUE),
    ),
    warned(
        {"transport-fallback": 0.45},
        ("Cannot initialize CollNet, using point-to-point", "Could not find a path for pattern #, falling back to simple order",
         "NET: GDR Flush only supported on", "PXN should not use host buffers"),
        "nccl: src/transport.cc, src/graph/search.cc, src/transport/net.cc",
        _AT + "transport.cc:360 NCCL WARN Cannot initialize CollNet, using point-to-point network instead",
        "nccl >= 2.10",
        (Symptom.SETUP_UNEXPECTED_PROTOCOL, Symptom.PERF_LOW_EFFICIENCY),
    ),
    warned(
        {"transport-fallback": 0.3, "library-missing": 0.28},
        ("Failed to open ",),
        "nccl: src/misc/gdrwrap.cc, until 2.10 src/misc/ibvwrap.cc (normal on hosts without RDMA cards)",
        _AT + "misc/ibvwrap.cc:63 NCCL WARN Failed to open libibverbs.so[.1]",
        "nccl >= 2.10",
        (Symptom.SETUP_UNEXPECTED_PROTOCOL,),
    ),
)  # fmt: skip
