"""The variables of gloo and of the way PyTorch makes gloo's devices.

Sources: PyTorch's `torch/csrc/distributed/c10d/GlooDeviceFactory.cpp` and `ProcessGroupGloo.cpp`, and the names in
the library of torch 2.13. `GLOO_SOCKET_IFNAME` and `GLOO_DEVICE_TRANSPORT` were measured to keep their effect when
set after `import torch`, and so were GLOO_LOG_LEVEL and GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER. The others are read where they
are used (gloo's `gloo/common/utils.cc` and `logging.cc`). Gloo's flags know "1" and "True"; every other text is no.
"""

from commcheck.catalog.env.row import EnvVar, Kind, ReadAt

_FACTORY = "pytorch torch/csrc/distributed/c10d/GlooDeviceFactory.cpp"
_PG = "pytorch torch/csrc/distributed/c10d/ProcessGroupGloo.cpp"
_UTILS = "gloo gloo/common/utils.cc"

ROWS: tuple[EnvVar, ...] = (
    EnvVar(
        "GLOO_DEVICE_TRANSPORT",
        Kind.ENUM,
        "",
        "The transport of gloo's connections. Not set: TCP on Linux. TCP_TLS also needs a key, a certificate and a CA.",
        "gloo",
        _FACTORY,
        ReadAt.INIT,
        choices=("TCP", "TCP_TLS", "UV", "IBVERBS", "LINUX", "APPLE", "WIN32"),
        strict=True,
    ),
    EnvVar(
        "GLOO_DEVICE_TRANSPORT_TCP_TLS_CA_FILE",
        Kind.PATH,
        "",
        "The certificate authority's file for encrypted connections (or the _CA_PATH variable).",
        "gloo",
        _FACTORY,
        ReadAt.INIT,
    ),
    EnvVar(
        "GLOO_DEVICE_TRANSPORT_TCP_TLS_CA_PATH",
        Kind.PATH,
        "",
        "A directory of certificate authorities for encrypted connections.",
        "gloo",
        _FACTORY,
        ReadAt.INIT,
    ),
    EnvVar(
        "GLOO_DEVICE_TRANSPORT_TCP_TLS_CERT",
        Kind.PATH,
        "",
        "This process's certificate for encrypted connections.",
        "gloo",
        _FACTORY,
        ReadAt.INIT,
    ),
    EnvVar(
        "GLOO_DEVICE_TRANSPORT_TCP_TLS_PKEY",
        Kind.PATH,
        "",
        "The file of this process's private key for encrypted connections.",
        "gloo",
        _FACTORY,
        ReadAt.INIT,
    ),
    EnvVar(
        "GLOO_DISABLE_CONNECTION_RETRIES",
        Kind.FLAG,
        "0",
        "Do not try again when a connection to a peer fails. Only 1 and True mean yes.",
        "gloo",
        _UTILS,
        ReadAt.INIT,
    ),
    EnvVar(
        "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER",
        Kind.FLAG,
        "0",
        "Use the peer's rank as the sequence number of a connection. The same on all ranks: otherwise one of them crashes. Only "
        "1 and True mean yes.",
        "gloo",
        _UTILS,
        ReadAt.INIT,
    ),
    EnvVar(
        "GLOO_ENABLE_STORE_V2_API",
        Kind.FLAG,
        "0",
        "Use the store's batch calls when addresses are exchanged. Only 1 and True mean yes.",
        "gloo",
        _UTILS,
        ReadAt.INIT,
    ),
    EnvVar(
        "GLOO_LOG_LEVEL",
        Kind.ENUM,
        "WARN",
        "How much gloo itself writes to standard error. In capitals: every other word counts as ERROR.",
        "gloo",
        "gloo gloo/common/logging.cc",
        ReadAt.INIT,
        choices=("DEBUG", "INFO", "WARN", "ERROR", "UNSET"),
    ),
    EnvVar(
        "GLOO_SOCKET_IFNAME",
        Kind.INTERFACES,
        "",
        "The network interfaces, by exact name and separated by commas, that gloo listens on and tells its peers. "
        "Not set: the interface that holds the address of the host's own name, else the loopback. "
        "Unlike NCCL's variable it knows no prefixes, no ^ and no =.",
        "gloo",
        _PG,
        ReadAt.INIT,
        strict=True,
    ),
    EnvVar(
        "TP_SOCKET_IFNAME",
        Kind.INTERFACES,
        "",
        "The interface that TensorPipe (torch.distributed.rpc) listens on.",
        "tensorpipe",
        "named in the library of torch 2.13 (tensorpipe)",
        ReadAt.INIT,
        strict=True,
    ),
    EnvVar(
        "TP_VERBOSE_LOGGING",
        Kind.INTEGER,
        "0",
        "How much TensorPipe writes.",
        "tensorpipe",
        "named in the library of torch 2.13 (tensorpipe)",
        low=0,
        high=9,
    ),
)
"""Sorted by name within each owner."""
