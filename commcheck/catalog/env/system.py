"""Variables that the interpreter, the loader, the C library, thread pools and device runtimes read when a process
starts or a library is loaded. All of them lose their effect when set in a process that runs already.

Sources: python(1), ld.so(8), mallopt(3), the OpenMP specification, Intel's and OpenBLAS's documentation, CUDA's
programming guide ("CUDA Environment Variables"), UCX's documentation, curl's conventions for proxies.
OMP_NUM_THREADS was measured to lose its effect when set after `import torch`.
"""

from commcheck.catalog.env.row import EnvVar, Kind, Owner, ReadAt

_PY = Owner("python", "python(1)")
_LD = Owner("ld.so", "ld.so(8)")
_LIBC = Owner("libc", "mallopt(3) and the GNU C library's manual")
_OMP = Owner("openmp", "the OpenMP specification")
_MKL = Owner("mkl", "Intel oneMKL developer guide")
_BLAS = Owner("openblas", "OpenBLAS's documentation")
_CUDA = Owner("cuda", "CUDA programming guide, CUDA environment variables")
_ROCM = Owner("rocm", "ROCm documentation, GPU isolation")
_UCX = Owner("ucx", "UCX documentation")
_FI = Owner("libfabric", "fi_provider manual pages")
_PROXY = Owner("proxy", "the convention of curl and of Python's urllib")

_FLAG, _INT, _ENUM, _TEXT, _PATH = Kind.FLAG, Kind.INTEGER, Kind.ENUM, Kind.TEXT, Kind.PATH

# fmt: off
ROWS: tuple[EnvVar, ...] = (
    _PY.row("PYTHONPATH", _PATH, "", "Where modules are looked for first; another value on one host is another "
            "program."),
    _PY.row("PYTHONHOME", _PATH, "", "Where the standard library is."),
    _PY.row("PYTHONUNBUFFERED", _TEXT, "", "Not empty: output is not held back, so that the log of a hang is whole."),
    _PY.row("PYTHONFAULTHANDLER", _TEXT, "", "Not empty: a crash prints the stacks of all threads."),
    _PY.row("PYTHONHASHSEED", _TEXT, "random", "Order of sets and hash values; if order decides what is sent, it must "
            "be the same on all ranks."),
    _PY.row("PYTHONMALLOC", _TEXT, "", "Python's memory allocator."),
    _PY.row("PYTHONOPTIMIZE", _TEXT, "", "Not empty: assertions are left out."),
    _PY.row("PYTHONDONTWRITEBYTECODE", _TEXT, "", "Not empty: no compiled files are kept."),
    _PY.row("PYTHONNOUSERSITE", _TEXT, "", "Not empty: the user's own site-packages are not used."),
    _PY.row("PYTHONSTARTUP", _PATH, "", "A file run by an interactive interpreter."),
    _PY.row("PYTHONWARNINGS", _TEXT, "", "Which warnings are shown."),
    _PY.row("PYTHONSAFEPATH", _TEXT, "", "Not empty: the script's directory is not searched."),
    _PY.row("VIRTUAL_ENV", _PATH, "", "The virtual environment in use."),
    _PY.row("CONDA_PREFIX", _PATH, "", "The conda environment in use."),

    _LD.row("LD_LIBRARY_PATH", _PATH, "", "Where libraries are looked for first; another NCCL or MPI found there "
            "replaces the one shipped with torch."),
    _LD.row("LD_PRELOAD", _PATH, "", "Libraries loaded before all others."),
    _LD.row("LD_BIND_NOW", _TEXT, "", "Not empty: resolve all symbols at load."),
    _LD.row("LD_DEBUG", _TEXT, "", "What the loader writes."),

    _LIBC.row("MALLOC_ARENA_MAX", _INT, "", "How many arenas malloc uses.", low=0),
    _LIBC.row("MALLOC_TRIM_THRESHOLD_", _INT, "131072", "When malloc gives memory back.", low=-1),
    _LIBC.row("MALLOC_MMAP_THRESHOLD_", _INT, "131072", "From which size malloc maps memory.", low=0),
    _LIBC.row("MALLOC_CONF", _TEXT, "", "jemalloc's options."),
    # glibc reads these at a process's first look-up, which no process that ranks are forked from makes.
    _LIBC.row("RES_OPTIONS", _TEXT, "", "The resolver's options, such as timeout:1 attempts:1.", ReadAt.INIT),
    _LIBC.row("LOCALDOMAIN", _TEXT, "", "The resolver's search list.", ReadAt.INIT),
    _LIBC.row("HOSTALIASES", _PATH, "", "A file of aliases for the resolver.", ReadAt.IMPORT),

    _OMP.row("OMP_NUM_THREADS", _TEXT, "", "Threads per process, a number or a list for nested levels; torchrun sets 1 "
             "when it is not set and there is more than one process per host."),
    _OMP.row("OMP_PROC_BIND", _TEXT, "", "Whether threads stay on their cores."),
    _OMP.row("OMP_PLACES", _TEXT, "", "The places to which threads are bound."),
    _OMP.row("OMP_SCHEDULE", _TEXT, "", "How loops are shared out."),
    _OMP.row("OMP_DYNAMIC", _TEXT, "", "Whether the number of threads may be changed."),
    _OMP.row("OMP_WAIT_POLICY", _ENUM, "", "Whether waiting threads use their core.", choices=("ACTIVE", "PASSIVE")),
    _OMP.row("OMP_STACKSIZE", _TEXT, "", "Stack of each thread."),
    _OMP.row("GOMP_CPU_AFFINITY", _TEXT, "", "The cores of GNU OpenMP's threads."),
    _OMP.row("KMP_AFFINITY", _TEXT, "", "The cores of Intel's and LLVM's OpenMP threads."),
    _OMP.row("KMP_BLOCKTIME", _TEXT, "200", "How long, in milliseconds, an idle thread keeps its core."),
    _OMP.row("KMP_DUPLICATE_LIB_OK", _TEXT, "", "TRUE: go on with two OpenMP libraries in one process."),
    _MKL.row("MKL_NUM_THREADS", _INT, "", "Threads of MKL.", low=0),
    _MKL.row("MKL_DYNAMIC", _TEXT, "TRUE", "Whether MKL may use fewer threads."),
    _MKL.row("MKL_THREADING_LAYER", _ENUM, "INTEL", "Which OpenMP MKL uses.",
             choices=("INTEL", "SEQUENTIAL", "TBB", "PGI", "GNU")),
    _MKL.row("MKL_SERVICE_FORCE_INTEL", _TEXT, "", "Not empty: do not refuse another OpenMP than Intel's."),
    _MKL.row("MKL_CBWR", _TEXT, "", "Conditional bitwise reproducibility."),
    _MKL.row("MKL_VERBOSE", _INT, "0", "Print MKL's calls.", low=0, high=2),
    _BLAS.row("OPENBLAS_NUM_THREADS", _INT, "", "Threads of OpenBLAS.", low=0),
    _BLAS.row("GOTO_NUM_THREADS", _INT, "", "Older name of OPENBLAS_NUM_THREADS.", low=0),
    _BLAS.row("NUMEXPR_NUM_THREADS", _INT, "", "Threads of numexpr.", low=1),

    _CUDA.row("CUDA_VISIBLE_DEVICES", _TEXT, "", "Which GPUs the process sees and in which order: numbers, or names of GPUs "
              "or of one MIG instance (nvidia-smi -L), separated by commas. Empty, -1 or an invalid entry hides all that follow; one "
              "that stands there twice hides all."),
    _CUDA.row("CUDA_DEVICE_ORDER", _ENUM, "FASTEST_FIRST", "How GPUs are numbered.",
              choices=("FASTEST_FIRST", "PCI_BUS_ID")),
    _CUDA.row("CUDA_LAUNCH_BLOCKING", _INT, "0", "1: kernels run one after the other, so that an error shows where it "
              "arises.", low=0, high=1),
    _CUDA.row("CUDA_MODULE_LOADING", _ENUM, "LAZY", "When kernels are loaded.", choices=("LAZY", "EAGER", "DEFAULT")),
    _CUDA.row("CUDA_DEVICE_MAX_CONNECTIONS", _INT, "8", "Hardware queues per device.", low=1, high=32),
    _CUDA.row("CUDA_CACHE_PATH", _PATH, "", "Where compiled kernels are kept."),
    _CUDA.row("CUDA_MPS_PIPE_DIRECTORY", _PATH, "", "MPS's pipes."),
    _CUDA.row("CUDA_HOME", _PATH, "", "The toolkit, for building extensions."),
    _CUDA.row("CUDA_PATH", _PATH, "", "The toolkit, for building extensions."),
    _CUDA.row("NVIDIA_VISIBLE_DEVICES", _TEXT, "", "Which GPUs a container is given."),
    _CUDA.row("NVIDIA_DRIVER_CAPABILITIES", _TEXT, "", "Which parts of the driver a container is given."),
    _CUDA.row("NVIDIA_IMEX_CHANNELS", _TEXT, "", "Which IMEX channels a container is given."),
    _ROCM.row("HIP_VISIBLE_DEVICES", _TEXT, "", "Which AMD GPUs HIP sees."),
    _ROCM.row("ROCR_VISIBLE_DEVICES", _TEXT, "", "Which AMD GPUs the runtime shows."),
    _ROCM.row("HSA_OVERRIDE_GFX_VERSION", _TEXT, "", "Treat the GPU as another one."),

    _UCX.row("UCX_NET_DEVICES", Kind.TEXT, "all", "Which network devices UCX uses, such as mlx5_0:1 or eth0."),
    _UCX.row("UCX_TLS", _TEXT, "all", "Which transports UCX uses."),
    _UCX.row("UCX_LOG_LEVEL", _TEXT, "warn", "How much UCX writes."),
    _UCX.row("UCX_IB_GID_INDEX", _TEXT, "auto", "The GID used on RoCE."),
    _UCX.row("UCX_TCP_CM_REUSEADDR", _TEXT, "n", "Whether ports are taken again at once."),
    _FI.row("FI_PROVIDER", _TEXT, "", "Which libfabric provider is used, such as efa or tcp."),
    _FI.row("FI_EFA_USE_DEVICE_RDMA", _FLAG, "", "Whether EFA uses the device's RDMA."),
    _FI.row("FI_EFA_FORK_SAFE", _FLAG, "", "Whether EFA's memory survives a fork."),
    _FI.row("FI_LOG_LEVEL", _TEXT, "warn", "How much libfabric writes."),
    _FI.row("FI_TCP_IFACE", Kind.INTERFACES, "", "The interface of libfabric's TCP provider."),
    _FI.row("RDMAV_FORK_SAFE", _TEXT, "", "Set: RDMA memory survives a fork."),

    _PROXY.row("http_proxy", _TEXT, "", "A proxy; programs that talk HTTP between hosts may be led astray by it.",
               secret=True),
    _PROXY.row("https_proxy", _TEXT, "", "A proxy.", secret=True),
    _PROXY.row("no_proxy", _TEXT, "", "Hosts that are reached without the proxy."),
    _PROXY.row("HTTP_PROXY", _TEXT, "", "A proxy.", secret=True),
    _PROXY.row("HTTPS_PROXY", _TEXT, "", "A proxy.", secret=True),
    _PROXY.row("NO_PROXY", _TEXT, "", "Hosts that are reached without the proxy."),
    _PROXY.row("GRPC_VERBOSITY", _TEXT, "", "How much gRPC writes."),
)
# fmt: on
