"""The documented variables of NCCL.

Sources: NVIDIA's NCCL user guide, page "Environment Variables" (version 2.29; `since` as it says there), and for
values the source of NCCL 2.30 (`src/debug.cc`, `src/misc/param.cc`, `src/graph/paths.cc`). NCCL reads numbers with
strtoll: text that is no number counts as 0, without a word unless NCCL_DEBUG=INFO. NCCL reads its variables, and those
of NCCL_CONF_FILE or ~/.nccl.conf and of /etc/nccl.conf, when it is first used, which is later than any import.
The names that are in NCCL's source alone are in `nccl_internal`.
"""

from commcheck.catalog.env.nccl_internal import INTERNAL, unlisted
from commcheck.catalog.env.row import EnvVar, Kind, Owner, ReadAt

_G = Owner("nccl", "NCCL user guide, Environment Variables")
_I = ReadAt.INIT
_FLAG, _INT, _ENUM, _TEXT, _PATH, _IF = Kind.FLAG, Kind.INTEGER, Kind.ENUM, Kind.TEXT, Kind.PATH, Kind.INTERFACES
_LEVELS = ("LOC", "NVL", "PIX", "PXB", "PHB", "SYS", "0", "1", "2", "3", "4", "5")
_SUBSYS = ("INIT", "COLL", "P2P", "SHM", "NET", "GRAPH", "TUNING", "ENV", "ALLOC", "ALLOC_HOST", "CALL", "PROXY", "NVLS",
           "BOOTSTRAP", "REG", "PROFILE", "RAS", "DESTROY", "ALL")  # fmt: skip

# fmt: off
_DOCUMENTED: tuple[EnvVar, ...] = (
    # --- system configuration
    _G.row("NCCL_SOCKET_IFNAME", _IF, "", "Which IP interfaces NCCL uses, also to form the communicator: a list of "
           "prefixes; = before it means exact names, ^ excludes. Not set: all but lo and docker, unless nothing else "
           "is there.", _I, strict=True),
    _G.row("NCCL_SOCKET_FAMILY", _ENUM, "", "Use IPv4 or IPv6 interfaces alone.", _I, choices=("AF_INET", "AF_INET6")),
    _G.row("NCCL_SOCKET_RETRY_CNT", _INT, "34", "How often a connection is tried again.", _I, low=0, since="2.24"),
    _G.row("NCCL_SOCKET_RETRY_SLEEP_MSEC", _INT, "100", "Pause in milliseconds before the first retry; it grows with "
           "each.", _I, low=0, since="2.24"),
    _G.row("NCCL_SOCKET_POLL_TIMEOUT_MSEC", _INT, "0", "How long a poll of a socket waits.", _I, low=0, since="2.27"),
    _G.row("NCCL_SOCKET_NTHREADS", _INT, "", "CPU threads per connection of the socket transport, 1 to 16.", _I,
           low=1, high=16, since="2.4.8"),
    _G.row("NCCL_NSOCKS_PERTHREAD", _INT, "", "Sockets per such thread; threads times sockets is at most 64.", _I,
           low=1, high=64, since="2.4.8"),
    _G.row("NCCL_CROSS_NIC", _INT, "2", "Whether rings may use different network cards on different hosts: 0 never, 1 "
           "yes, 2 if better.", _I, low=0, high=2),
    _G.row("NCCL_IB_HCA", _TEXT, "", "Which RDMA cards NCCL uses, with ports after a colon; = before it means exact "
           "names (mlx5_1 alone also means mlx5_10), ^ excludes.", _I),
    _G.row("NCCL_IB_TIMEOUT", _INT, "20", "InfiniBand's acknowledgement time-out, 4.096 us * 2^value; 0 and 32 and "
           "more mean for ever.", _I, low=1, high=31),
    _G.row("NCCL_IB_RETRY_CNT", _INT, "7", "InfiniBand's retry count.", _I, low=0, high=7, since="2.1.15"),
    _G.row("NCCL_IB_GID_INDEX", _INT, "-1", "The GID used on RoCE; see show_gids. -1: chosen by itself.", _I, low=-1,
           since="2.1.4"),
    _G.row("NCCL_IB_ADDR_FAMILY", _ENUM, "AF_INET", "Address family of the chosen GID.", _I,
           choices=("AF_INET", "AF_INET6"), since="2.21"),
    _G.row("NCCL_IB_ADDR_RANGE", _TEXT, "", "Network, in CIDR form, of the chosen GID.", _I, since="2.21"),
    _G.row("NCCL_IB_ROCE_VERSION_NUM", _INT, "2", "RoCE version of the chosen GID.", _I, low=1, high=2, since="2.21"),
    _G.row("NCCL_IB_SL", _INT, "0", "InfiniBand's service level.", _I, low=-1, high=15, since="2.1.4"),
    _G.row("NCCL_IB_TC", _INT, "0", "InfiniBand's traffic class.", _I, low=-1, high=255, since="2.1.15"),
    _G.row("NCCL_IB_FIFO_TC", _INT, "", "Traffic class of control messages.", _I, low=-1, high=255, since="2.22.3"),
    _G.row("NCCL_IB_RETURN_ASYNC_EVENTS", _FLAG, "1", "Stop on fatal events of the card.", _I, since="2.23"),
    _G.row("NCCL_OOB_NET_ENABLE", _FLAG, "0", "Form the communicator over NCCL's network rather than TCP.", _I,
           since="2.23"),
    _G.row("NCCL_OOB_NET_IFNAME", _TEXT, "", "The devices for that, written as for NCCL_IB_HCA.", _I, since="2.23"),
    _G.row("NCCL_UID_STAGGER_THRESHOLD", _INT, "256", "From how many ranks per unique id on connecting is staggered.",
           _I, low=1, since="2.23"),
    _G.row("NCCL_UID_STAGGER_RATE", _INT, "7000", "Messages per second when it is.", _I, low=1, since="2.23"),
    _G.row("NCCL_NET", _TEXT, "", "The network that must be used: IB, Socket or a plug-in's name. NCCL fails rather "
           "than use another.", _I, strict=True, since="2.10"),
    _G.row("NCCL_NET_PLUGIN", _TEXT, "", "The network plug-in's library or suffix, or none.", _I, since="2.11"),
    _G.row("NCCL_TUNER_PLUGIN", _TEXT, "", "The tuner plug-in's library or suffix, or none.", _I),
    _G.row("NCCL_PROFILER_PLUGIN", _TEXT, "", "The profiler plug-in's library or suffix, or none.", _I),
    _G.row("NCCL_ENV_PLUGIN", _TEXT, "", "The environment plug-in's library or suffix, or none.", _I, since="2.28"),
    _G.row("NCCL_IGNORE_CPU_AFFINITY", _FLAG, "0", "Use the GPU's CPU affinity in place of the job's.", _I,
           since="2.4.6"),
    _G.row("NCCL_CONF_FILE", _PATH, "", "A file of NCCL settings in place of ~/.nccl.conf; ~ is not expanded.", _I,
           since="2.23"),
    _G.row("NCCL_DEBUG", _ENUM, "", "How much NCCL writes; INFO shows the chosen interfaces and transports.", _I,
           choices=("VERSION", "WARN", "ATTN", "INFO", "ABORT", "TRACE")),
    _G.row("NCCL_DEBUG_FILE", _PATH, "", "Where NCCL writes; %h is the host, %p the process. ~ is not expanded.", _I,
           since="2.2.12"),
    _G.row("NCCL_DEBUG_SUBSYS", _ENUM, "INIT,BOOTSTRAP,ENV", "Which parts NCCL_DEBUG=INFO covers.", _I,
           choices=_SUBSYS, several=True, since="2.3.4"),
    _G.row("NCCL_DEBUG_TIMESTAMP_FORMAT", _TEXT, "[%F %T] ", "strftime format of the times in NCCL's output.", _I,
           since="2.26"),
    _G.row("NCCL_DEBUG_TIMESTAMP_LEVELS", _ENUM, "WARN", "Which lines get a time.", _I,
           choices=("VERSION", "WARN", "ATTN", "INFO", "ABORT", "TRACE", "ALL"), several=True, since="2.26"),
    _G.row("NCCL_COLLNET_ENABLE", _FLAG, "0", "Use the CollNet plug-in.", _I, since="2.6"),
    _G.row("NCCL_COLLNET_NODE_THRESHOLD", _INT, "2", "From how many hosts on CollNet is used.", _I, low=0,
           since="2.9.9"),
    _G.row("NCCL_CTA_POLICY", _TEXT, "DEFAULT", "How thread blocks are used: DEFAULT, EFFICIENCY, ZERO, joined by |.",
           _I, since="2.27"),
    _G.row("NCCL_NETDEVS_POLICY", _TEXT, "AUTO", "How network cards are shared out: AUTO, MAX:N, ALL.", _I,
           since="2.28"),
    _G.row("NCCL_TOPO_FILE", _PATH, "", "An XML file of the topology, read before it is detected.", _I, since="2.6"),
    _G.row("NCCL_TOPO_DUMP_FILE", _PATH, "", "Where the detected topology is written.", _I, since="2.6"),
    _G.row("NCCL_SET_THREAD_NAME", _FLAG, "0", "Name NCCL's threads.", _I, since="2.12"),
    # --- debugging: not to be left on
    _G.row("NCCL_P2P_DISABLE", _INT, "0", "1: GPUs of a host do not reach each other directly.", _I, low=0, high=1),
    _G.row("NCCL_P2P_LEVEL", _ENUM, "", "How far apart GPUs may be to reach each other directly.", _I,
           choices=_LEVELS, since="2.3.4"),
    _G.row("NCCL_P2P_DIRECT_DISABLE", _INT, "0", "1: no direct access to user buffers within a process.", _I,
           low=0, high=1),
    _G.row("NCCL_SHM_DISABLE", _INT, "0", "1: do not use shared memory; the network is used within a host.", _I,
           low=0, high=1),
    _G.row("NCCL_BUFFSIZE", _INT, "4194304", "Bytes of the buffer between two GPUs.", _I, low=1),
    _G.row("NCCL_NTHREADS", _ENUM, "", "CUDA threads per block.", _I, choices=("64", "128", "256", "512")),
    _G.row("NCCL_MAX_NCHANNELS", _INT, "", "The most channels.", _I, low=1, since="2.5"),
    _G.row("NCCL_MIN_NCHANNELS", _INT, "", "The fewest channels.", _I, low=0, since="2.5"),
    _G.row("NCCL_CHECK_POINTERS", _FLAG, "0", "Check the pointers of every call.", _I, since="2.2.12"),
    _G.row("NCCL_LAUNCH_MODE", _ENUM, "PARALLEL", "How kernels are launched.", _I, choices=("PARALLEL", "GROUP"),
           since="2.1"),
    _G.row("NCCL_IB_DISABLE", _INT, "0", "1: no InfiniBand or RoCE; TCP is used.", _I, low=0, high=1),
    _G.row("NCCL_IB_AR_THRESHOLD", _INT, "8192", "From how many bytes on data goes in a message of its own.", _I,
           low=-2, since="2.6"),
    _G.row("NCCL_IB_QPS_PER_CONNECTION", _INT, "1", "Queue pairs per connection.", _I, low=1, high=128, since="2.10"),
    _G.row("NCCL_IB_SPLIT_DATA_ON_QPS", _FLAG, "0", "Split each message over the queue pairs.", _I, since="2.18"),
    _G.row("NCCL_IB_PCI_RELAXED_ORDERING", _INT, "2", "Relaxed ordering: 0 off, 1 required, 2 if there.", _I,
           low=0, high=2, since="2.12"),
    _G.row("NCCL_IB_ADAPTIVE_ROUTING", _INT, "", "Adaptive routing: on by default on InfiniBand, off on RoCE.", _I,
           low=-2, high=1, since="2.16"),
    _G.row("NCCL_IB_ECE_ENABLE", _FLAG, "1", "Enhanced connection establishment.", _I, since="2.23"),
    _G.row("NCCL_IB_MERGE_NICS", _FLAG, "1", "Treat a card's two ports as one device.", _I, since="2.20"),
    _G.row("NCCL_MEM_SYNC_DOMAIN", _INT, "1", "Memory synchronisation domain of NCCL's kernels.", _I, low=0, high=1,
           since="2.16"),
    _G.row("NCCL_CUMEM_ENABLE", _INT, "-2", "Use cuMem functions for device memory.", _I, low=-2, high=1,
           since="2.18"),
    _G.row("NCCL_CUMEM_HOST_ENABLE", _INT, "-1", "Use cuMem functions for host memory.", _I, low=-1, high=1,
           since="2.23"),
    _G.row("NCCL_NET_GDR_LEVEL", _ENUM, "", "How far apart card and GPU may be for GPU-direct RDMA.", _I,
           choices=_LEVELS, since="2.4"),
    _G.row("NCCL_NET_GDR_C2C", _FLAG, "1", "GPU-direct RDMA over a C2C link.", _I, since="2.26"),
    _G.row("NCCL_NET_GDR_READ", _INT, "", "GPU-direct RDMA also when sending.", _I, low=-2, high=1),
    _G.row("NCCL_NET_SHARED_BUFFERS", _INT, "1", "One pool of buffers for all remote peers.", _I, low=-2, high=1,
           since="2.8"),
    _G.row("NCCL_NET_SHARED_COMMS", _FLAG, "1", "Use connections again with PXN.", _I, since="2.12"),
    _G.row("NCCL_ALGO", _TEXT, "", "Which algorithms may be used, also per function; an unknown word is an error "
           "since 2.24.", _I, since="2.5"),
    _G.row("NCCL_PROTO", _TEXT, "", "Which protocols may be used: LL, LL128, Simple. Enabling LL128 where it is not "
           "supported corrupts data.", _I, since="2.5"),
    _G.row("NCCL_NVB_DISABLE", _INT, "0", "1: no NVLink through an intermediate GPU.", _I, low=0, high=1,
           since="2.11"),
    _G.row("NCCL_PXN_DISABLE", _INT, "0", "1: no network card through an intermediate GPU.", _I, low=0, high=1,
           since="2.12"),
    _G.row("NCCL_P2P_PXN_LEVEL", _INT, "2", "When send and receive use PXN.", _I, low=0, high=2, since="2.12"),
    _G.row("NCCL_PXN_C2C", _FLAG, "1", "PXN over C2C links.", _I, since="2.27"),
    _G.row("NCCL_RUNTIME_CONNECT", _FLAG, "1", "Connect peers when they first talk.", _I, since="2.22"),
    _G.row("NCCL_GRAPH_REGISTER", _FLAG, "1", "Register user buffers in CUDA graphs.", _I, since="2.11"),
    _G.row("NCCL_LOCAL_REGISTER", _FLAG, "1", "Register user buffers when asked to.", _I, since="2.19"),
    _G.row("NCCL_LEGACY_CUDA_REGISTER", _FLAG, "0", "Register cudaMalloc's buffers too; may hang.", _I, since="2.24"),
    _G.row("NCCL_WIN_ENABLE", _FLAG, "1", "Window registration.", _I, since="2.27"),
    _G.row("NCCL_SET_STACK_SIZE", _FLAG, "0", "Set the kernels' stack size at once.", _I, since="2.9"),
    _G.row("NCCL_GRAPH_MIXING_SUPPORT", _FLAG, "1", "Several graphs or uncaptured calls at a time.", _I,
           since="2.13"),
    _G.row("NCCL_DMABUF_ENABLE", _FLAG, "1", "Register GPU memory through dma-buf.", _I, since="2.13"),
    _G.row("NCCL_P2P_NET_CHUNKSIZE", _INT, "131072", "Bytes per message of send and receive.", _I, low=1,
           since="2.14"),
    _G.row("NCCL_P2P_LL_THRESHOLD", _INT, "16384", "Up to how many bytes send and receive use LL.", _I, low=0,
           since="2.14"),
    _G.row("NCCL_ALLOC_P2P_NET_LL_BUFFERS", _FLAG, "0", "LL buffers for every connection.", _I, since="2.14"),
    _G.row("NCCL_COMM_BLOCKING", _FLAG, "", "Whether calls block.", _I, since="2.14"),
    _G.row("NCCL_CGA_CLUSTER_SIZE", _INT, "", "Size of thread block clusters.", _I, low=0, high=8, since="2.16"),
    _G.row("NCCL_MAX_CTAS", _INT, "", "The most thread blocks.", _I, low=1, high=64, since="2.17"),
    _G.row("NCCL_MIN_CTAS", _INT, "", "The fewest thread blocks.", _I, low=1, high=64, since="2.17"),
    _G.row("NCCL_NVLS_ENABLE", _INT, "2", "NVLink SHARP: 0 off, 1 on, 2 on if there.", _I, low=0, high=2,
           since="2.17"),
    _G.row("NCCL_MNNVL_ENABLE", _INT, "2", "NVLink across hosts: 0 off, 1 required, 2 if there.", _I, low=0, high=2,
           since="2.21"),
    _G.row("NCCL_MNNVL_UUID", _INT, "-1", "The NVLink domain's id.", _I, since="2.25"),
    _G.row("NCCL_MNNVL_CLIQUE_ID", _INT, "-1", "The NVLink clique's id.", _I, since="2.25"),
    _G.row("NCCL_RAS_ENABLE", _FLAG, "1", "NCCL's health service.", _I, since="2.24"),
    _G.row("NCCL_RAS_ADDR", _TEXT, "localhost:28028", "Where it listens.", _I, since="2.24"),
    _G.row("NCCL_RAS_TIMEOUT_FACTOR", _INT, "1", "Factor of its time-outs.", _I, low=1, since="2.24"),
    _G.row("NCCL_LAUNCH_ORDER_IMPLICIT", _FLAG, "0", "Order communicators by the host program.", _I, since="2.26"),
    _G.row("NCCL_LAUNCH_RACE_FATAL", _FLAG, "1", "Threads that race to launch are an error.", _I, since="2.26"),
    _G.row("NCCL_IPC_USE_ABSTRACT_SOCKET", _FLAG, "1", "Exchange GPU memory handles over abstract sockets; 0 for "
           "containers with network namespaces of their own.", _I, since="2.29"),
    # --- in the source and widely used, not in the guide
    _G.row("NCCL_COMM_ID", _TEXT, "", "HOST:PORT of the root that forms the communicator.", _I, strict=True),
    _G.row("NCCL_HOSTID", _TEXT, "", "What makes two processes count as one host.", _I),
    # --- gone or renamed
    _G.row("NCCL_MAX_NRINGS", _INT, "", "Old name of NCCL_MAX_NCHANNELS; still read.", _I, low=1,
           until="2.4", instead="NCCL_MAX_NCHANNELS"),
    _G.row("NCCL_MIN_NRINGS", _INT, "", "Old name of NCCL_MIN_NCHANNELS; still read.", _I, low=0,
           until="2.4", instead="NCCL_MIN_NCHANNELS"),
    _G.row("NCCL_IB_GDR_LEVEL", _TEXT, "", "Old name of NCCL_NET_GDR_LEVEL; not read any more.", _I,
           until="2.3", instead="NCCL_NET_GDR_LEVEL"),
    _G.row("NCCL_IB_CUDA_SUPPORT", _TEXT, "", "Removed in 2.4.", _I, until="2.3", instead="NCCL_NET_GDR_LEVEL"),
    _G.row("NCCL_CHECKS_DISABLE", _TEXT, "", "Argument checks are off by default since 2.2.12.", _I,
           until="2.2.12", instead="NCCL_CHECK_POINTERS"),
    _G.row("NCCL_SINGLE_RING_THRESHOLD", _TEXT, "", "Removed in 2.3.", _I, until="2.2"),
    _G.row("NCCL_LL_THRESHOLD", _TEXT, "", "Removed in 2.5.", _I, until="2.4", instead="NCCL_PROTO"),
    _G.row("NCCL_TREE_THRESHOLD", _TEXT, "", "Removed in 2.5.", _I, until="2.4", instead="NCCL_ALGO"),
    _G.row("NCCL_RINGS", _TEXT, "", "Rings by hand; removed in 2.5.", _I, until="2.4", instead="NCCL_GRAPH_FILE"),
)
# fmt: on

ROWS: tuple[EnvVar, ...] = _DOCUMENTED + INTERNAL + unlisted({row.name for row in _DOCUMENTED + INTERNAL})
"""The documented variables, then the internal ones."""
