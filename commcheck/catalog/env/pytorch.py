"""The variables of torch.distributed and of the parts of PyTorch that a communicating process depends on.

Sources: PyTorch's `torch/distributed/rendezvous.py`, `torch/csrc/distributed/c10d/{Utils,ProcessGroupNCCL,
FlightRecorder}.hpp`, `debug.cpp`, the page "ProcessGroupNCCL Environment Variables" of its documentation, and the
names in the library of torch 2.13. Flags and numbers of the TORCH_NCCL_, TORCH_FR_ and TORCH_GLOO_ families are read
by `getCvarBool` and `getCvarInt`, which refuse a bad value ("Invalid value for environment variable"); flags take
y, yes, 1, t, true, n, no, 0, f, false.

When a variable is read: TORCH_DISTRIBUTED_DEBUG and TORCH_CPP_LOG_LEVEL were measured to lose their effect when set
after `import torch`; MASTER_*, RANK, WORLD_SIZE, LOCAL_* and TORCH_GLOO_LAZY_INIT to keep theirs.
"""

from commcheck.catalog.env.row import EnvVar, Kind, Owner, ReadAt

_RDZV = Owner("torch", "pytorch torch/distributed/rendezvous.py")
_NCCL = Owner("torch", "pytorch torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp")
_FR = Owner("torch", "pytorch torch/csrc/distributed/c10d/FlightRecorder.hpp")
_LIB = Owner("torch", "named in the library of torch 2.13")
_PY = Owner("torch", "read by the Python code of torch 2.13")

_I = ReadAt.INIT
_FLAG, _INT, _ENUM, _TEXT, _PATH = Kind.FLAG, Kind.INTEGER, Kind.ENUM, Kind.TEXT, Kind.PATH
_MAX = 2**31 - 1  # std::stoi

# fmt: off
ROWS: tuple[EnvVar, ...] = (
    _RDZV.row("MASTER_ADDR", Kind.HOST, "", "Where the store listens: a name or an address of the host that runs "
              "rank 0. Every rank must be able to reach it, and all must have the same.", _I, strict=True),
    _RDZV.row("MASTER_PORT", Kind.PORT, "", "The TCP port of the store on MASTER_ADDR, 1 to 65535, the same on all "
              "ranks and free on that host.", _I, low=0, high=65535, strict=True),
    _RDZV.row("RANK", _INT, "", "The number of this process, 0 to WORLD_SIZE - 1, different on every process.",
              _I, low=0, high=_MAX, strict=True),
    _RDZV.row("WORLD_SIZE", _INT, "", "How many processes make up the world, the same on all ranks.",
              _I, low=1, high=_MAX, strict=True),
    _RDZV.row("LOCAL_RANK", _INT, "", "The number of this process on its host; programs choose their device by it.",
              _I, low=0, high=_MAX),
    _RDZV.row("LOCAL_WORLD_SIZE", _INT, "", "How many processes of the world run on this host.", _I, low=1, high=_MAX),
    _RDZV.row("USE_LIBUV", _FLAG, "1", "1: the store uses its libuv server; any other value: the older one.",
              _I, since="2.4"),
    _RDZV.row("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", _FLAG, "0", "1: torchrun's agent does not share its store with "
              "the workers.", _I),

    _NCCL.row("TORCH_NCCL_ASYNC_ERROR_HANDLING", _INT, "3", "What the watchdog does on an error: 0 nothing, 1 abort "
              "and end the process, 2 only abort, 3 end the process without aborting.", low=0, high=3, strict=True,
              since="2.2"),
    _NCCL.row("TORCH_NCCL_AVOID_RECORD_STREAMS", _FLAG, "1", "Keep references to tensors in place of recording "
              "streams.", strict=True),
    _NCCL.row("TORCH_NCCL_BCAST_UNIQUEID", _FLAG, "1", "Whether the unique id of a communicator goes through the "
              "store.", strict=True),
    _NCCL.row("TORCH_NCCL_BLOCKING_WAIT", _FLAG, "0", "wait() blocks until the collective is done or its time is up; "
              "no watchdog runs then.", strict=True, since="2.2"),
    _NCCL.row("TORCH_NCCL_COORD_CHECK_MILSEC", _INT, "1000", "How often, in milliseconds, a rank looks for the "
              "others' signal to dump.", low=1, high=_MAX, strict=True),
    _NCCL.row("TORCH_NCCL_CUDA_EVENT_CACHE", _FLAG, "1", "Keep CUDA events for use again.", strict=True),
    _NCCL.row("TORCH_NCCL_DEBUG_INFO_PIPE_FILE", _PATH, "", "A pipe; writing to it makes the flight recorder dump."),
    _NCCL.row("TORCH_NCCL_DEBUG_INFO_TEMP_FILE", _PATH, "", "Where the flight recorder dumps; "
              "the rank is appended."),
    _NCCL.row("TORCH_NCCL_DESYNC_DEBUG", _FLAG, "0", "On a time-out say which rank is in another collective. Needs "
              "TORCH_NCCL_ASYNC_ERROR_HANDLING.", strict=True),
    _NCCL.row("TORCH_NCCL_DUMP_ON_TIMEOUT", _FLAG, "1", "Dump the flight recorder when a collective times out. Needs "
              "a buffer larger than 0.", strict=True),
    _NCCL.row("TORCH_NCCL_ENABLE_MONITORING", _FLAG, "1", "A second thread ends the process when the watchdog itself "
              "hangs.", strict=True),
    _NCCL.row("TORCH_NCCL_ENABLE_TIMING", _FLAG, "0", "Record the start of every collective.", strict=True),
    _NCCL.row("TORCH_NCCL_EXTRA_DUMP_ON_EXEC", _FLAG, "0", "Dump also when an exception is seen.", strict=True),
    _NCCL.row("TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", Kind.SECONDS, "480", "After how many seconds without a heartbeat of "
              "the watchdog the process is ended. It is no limit for collectives.", low=1, high=_MAX, strict=True),
    _NCCL.row("TORCH_NCCL_HIGH_PRIORITY", _FLAG, "0", "Use streams of high priority.", strict=True),
    _NCCL.row("TORCH_NCCL_LOG_CPP_STACK_ON_UNCLEAN_SHUTDOWN", _FLAG, "1", "Write C++ stacks when the process ends "
              "badly.", strict=True),
    _NCCL.row("TORCH_NCCL_NAN_CHECK", _FLAG, "0", "Refuse inputs that hold NaN.", strict=True),
    _NCCL.row("TORCH_NCCL_PROPAGATE_ERROR", _FLAG, "0", "Tell errors to all ranks through the store.", strict=True),
    _NCCL.row("TORCH_NCCL_RANKS_PER_ROOT", _INT, "128", "How many ranks one root serves while a communicator is "
              "formed.", low=1, high=_MAX, strict=True),
    _NCCL.row("TORCH_NCCL_RETHROW_CUDA_ERRORS", _FLAG, "1", "Whether the watchdog raises CUDA errors again.",
              strict=True),
    _NCCL.row("TORCH_NCCL_SHOW_EAGER_INIT_P2P_SERIALIZATION_WARNING", _FLAG, "0", "Warn of serialised point-to-point "
              "calls.", strict=True),
    _NCCL.row("TORCH_NCCL_TRACE_BUFFER_SIZE", _INT, "2000", "Entries of the flight recorder's ring; 0 turns it off. "
              "Later name: TORCH_FR_BUFFER_SIZE.", low=0, high=_MAX, strict=True, instead="TORCH_FR_BUFFER_SIZE"),
    _NCCL.row("TORCH_NCCL_TRACE_CPP_STACK", _FLAG, "0", "C++ stacks in the flight recorder. Later name: "
              "TORCH_FR_CPP_STACK.", strict=True, instead="TORCH_FR_CPP_STACK"),
    _NCCL.row("TORCH_NCCL_USE_COMM_NONBLOCKING", _FLAG, "0", "Form communicators without blocking.", strict=True),
    _NCCL.row("TORCH_NCCL_USE_TENSOR_REGISTER_ALLOCATOR_HOOK", _FLAG, "0", "Register memory of the allocator with "
              "NCCL.", strict=True),
    _NCCL.row("TORCH_NCCL_WAIT_TIMEOUT_DUMP_MILSEC", _INT, "15000", "How long, in milliseconds, an ending process "
              "waits for the dump.", low=0, high=_MAX, strict=True),
    # The names of before 2.2; torch still reads them with a warning.
    _NCCL.row("NCCL_ASYNC_ERROR_HANDLING", _INT, "", "Old name of TORCH_NCCL_ASYNC_ERROR_HANDLING.", low=0, high=3,
              strict=True, until="2.1", instead="TORCH_NCCL_ASYNC_ERROR_HANDLING"),
    _NCCL.row("NCCL_BLOCKING_WAIT", _FLAG, "", "Old name of TORCH_NCCL_BLOCKING_WAIT.", strict=True, until="2.1",
              instead="TORCH_NCCL_BLOCKING_WAIT"),
    _NCCL.row("NCCL_DESYNC_DEBUG", _FLAG, "", "Old name of TORCH_NCCL_DESYNC_DEBUG.", strict=True, until="2.1",
              instead="TORCH_NCCL_DESYNC_DEBUG"),
    _NCCL.row("NCCL_ENABLE_TIMING", _FLAG, "", "Old name of TORCH_NCCL_ENABLE_TIMING.", strict=True, until="2.1",
              instead="TORCH_NCCL_ENABLE_TIMING"),
    _NCCL.row("NCCL_USE_TENSOR_REGISTER_ALLOCATOR_HOOK", _FLAG, "", "Old name of "
              "TORCH_NCCL_USE_TENSOR_REGISTER_ALLOCATOR_HOOK.", strict=True, until="2.1",
              instead="TORCH_NCCL_USE_TENSOR_REGISTER_ALLOCATOR_HOOK"),

    _FR.row("TORCH_FR_BUFFER_SIZE", _INT, "2000", "Entries of the flight recorder's ring; 0 turns it off.",
            low=0, high=_MAX, strict=True),
    _FR.row("TORCH_FR_CPP_STACK", _FLAG, "0", "C++ stacks in the flight recorder.", strict=True),
    _FR.row("TORCH_FR_DUMP_DYNAMIC_FILE_NAME", _FLAG, "0", "Read the dump's file name anew for every dump.",
            strict=True),
    _FR.row("TORCH_FR_DUMP_TEMP_FILE", _PATH, "", "Where the flight recorder dumps; the rank is appended."),
    _FR.row("TORCH_INCLUDE_ONLY_ACTIVE", _FLAG, "0", "Dump unfinished collectives alone.", strict=True),
    _FR.row("TORCH_INCLUDE_STACK_TRACE", _FLAG, "1", "Stacks in the dump.", strict=True),

    _LIB.row("TORCH_GLOO_LAZY_INIT", _FLAG, "0", "Gloo connects two ranks when they first talk, in place of all with "
             "all at the start. The same on all ranks: otherwise one of them crashes.", _I, strict=True, since="2.8"),
    _LIB.row("TORCH_DISTRIBUTED_DEBUG", _ENUM, "OFF", "DETAIL checks the collectives of all ranks against each other "
             "(slow), INFO writes more.", choices=("OFF", "INFO", "DETAIL"), strict=True, since="1.9"),
    _LIB.row("TORCH_CPP_LOG_LEVEL", _ENUM, "WARNING", "How much torch's C++ side writes; INFO shows the store's "
             "connection attempts.", choices=("INFO", "WARNING", "ERROR", "FATAL", "0", "1", "2", "3")),
    _LIB.row("TORCH_SHOW_CPP_STACKTRACES", _FLAG, "0", "Append C++ stacks to error messages."),
    _LIB.row("TORCH_DISABLE_ADDR2LINE", _FLAG, "0", "Do not look up source lines for C++ stacks."),
    _LIB.row("TORCH_DISABLE_DEADLOCK_DETECTION", _FLAG, "0", "Do not raise when the GIL is held where it must not."),
    _LIB.row("TORCH_SYMBOLIZE_MODE", _TEXT, "", "How C++ stacks are named."),
    _LIB.row("TORCH_CUSTOM_TERMINATE", _FLAG, "0", "Print a stack when std::terminate is called."),
    _LIB.row("TORCH_PROFILER_ENABLE_COLLECTIVE_PROFILING", _FLAG, "0", "Collectives in profiles."),
    _LIB.row("TORCH_NCCL_USE_COMM_SPLIT", _FLAG, "", "Form sub-groups by splitting the parent's communicator."),
    _LIB.row("ATEN_CPU_CAPABILITY", _ENUM, "", "The instruction set of CPU kernels.",
             choices=("default", "avx2", "avx512", "vsx", "zvector", "sve256")),
    _LIB.row("PYTORCH_ALLOC_CONF", _TEXT, "", "Options of the caching allocator."),
    _LIB.row("PYTORCH_CUDA_ALLOC_CONF", _TEXT, "", "Options of the CUDA caching allocator."),
    _LIB.row("PYTORCH_HIP_ALLOC_CONF", _TEXT, "", "Options of the HIP caching allocator."),

    _PY.row("TORCH_DEVICE_BACKEND_AUTOLOAD", _FLAG, "1", "Whether `import torch` loads device extensions."),
    _PY.row("TORCH_DISTRIBUTED_USE_TORCHCOMMS", _FLAG, "0", "Use torchcomms' process groups."),
    _PY.row("TORCH_DISTRIBUTED_COMPILE_ON_ONE_RANK", _FLAG, "0", "Compile on one rank alone."),
    _PY.row("TORCH_DIST_INIT_BARRIER", _FLAG, "0", "1: a barrier at the end of init_process_group.", _I),
    _PY.row("DCP_USE_PREFIX_STORE", _FLAG, "0", "Checkpoints keep their keys apart in the store.", _I),
    _PY.row("FR_TRACE_VERBOSE_OUTPUT", _FLAG, "0", "The flight recorder's analyzer writes more.", _I),
    _PY.row("TORCH_LOGS", _TEXT, "", "Which of PyTorch's logs are on."),
    _PY.row("TORCH_SYMMMEM_IMPLICIT_POOL", _FLAG, "", "A memory pool for symmetric memory."),
    _PY.row("TORCH_USE_RTLD_GLOBAL", _FLAG, "", "Load torch's libraries with RTLD_GLOBAL."),
    _PY.row("PYTORCH_NVML_BASED_CUDA_CHECK", _FLAG, "0", "Ask NVML, not CUDA, whether there is a GPU."),
    _PY.row("PYTORCH_NO_CUDA_MEMORY_CACHING", _FLAG, "", "Turn the CUDA caching allocator off."),
    _PY.row("PYTORCH_ROCM_ARCH", _TEXT, "", "ROCm architectures to build for."),
    _PY.row("TORCH_CUDA_ARCH_LIST", _TEXT, "", "CUDA architectures to build extensions for."),
    _PY.row("TORCH_EXTENSIONS_DIR", _PATH, "", "Where extensions are built."),
    _PY.row("TORCH_HOME", _PATH, "", "Where downloads are kept."),
)
# fmt: on
