"""Which variables change what another one does: what a row by itself cannot say.

Sources: the owners' documentation and source that the rows name, and worlds that `commcheck explore` has run with torch
2.13 and gloo ("seen")."""

from typing import NamedTuple


class Interaction(NamedTuple):
    """What the first variable does to the others, or all of them to each other."""

    names: tuple[str, ...]
    effect: str
    source: str


_PG = "pytorch torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp"
_RDZV = "pytorch torch/distributed/rendezvous.py"
_NCCL = "NCCL user guide, Environment Variables"
_SEEN = "seen with torch 2.13 and gloo"

INTERACTIONS: tuple[Interaction, ...] = (
    Interaction(("TORCHELASTIC_USE_AGENT_STORE", "MASTER_ADDR", "MASTER_PORT"),
                "True: no rank opens a store, all connect to the agent's at MASTER_ADDR:MASTER_PORT.", _RDZV),
    Interaction(("PET_RDZV_ENDPOINT", "PET_MASTER_ADDR", "PET_MASTER_PORT"),
                "with the static rendezvous an endpoint takes the place of address and port.",
                "pytorch torch/distributed/run.py"),
    Interaction(("USE_LIBUV", "MASTER_PORT"), "says which server listens there; clients of both find it.", _SEEN),
    Interaction(("GLOO_SOCKET_IFNAME", "MASTER_ADDR"),
                "independent: the store is found by MASTER_ADDR, the data goes by GLOO_SOCKET_IFNAME, and one may work "
                "where the other does not.", _SEEN),
    Interaction(("GLOO_SOCKET_IFNAME", "TORCH_GLOO_LAZY_INIT"),
                "with lazy connections an address that cannot be reached shows at the first call and not at the start.",
                "pytorch torch/csrc/distributed/c10d/GlooDeviceFactory.cpp"),
    Interaction(("GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER", "TORCH_GLOO_LAZY_INIT"),
                "with lazy connections nothing is numbered beforehand, and the first does nothing; without, it must be the same "
                "on all ranks. The second must be so in any case.", _SEEN),
    Interaction(("GLOO_DEVICE_TRANSPORT", "GLOO_DEVICE_TRANSPORT_TCP_TLS_PKEY", "GLOO_DEVICE_TRANSPORT_TCP_TLS_CERT",
                 "GLOO_DEVICE_TRANSPORT_TCP_TLS_CA_FILE", "GLOO_DEVICE_TRANSPORT_TCP_TLS_CA_PATH"),
                "TCP_TLS needs the key, the certificate and one of the two authorities; no other transport reads them.",
                "pytorch torch/csrc/distributed/c10d/GlooDeviceFactory.cpp"),
    Interaction(("TORCH_DISTRIBUTED_DEBUG", "TORCH_CPP_LOG_LEVEL"),
                "INFO and DETAIL write at the level INFO: without TORCH_CPP_LOG_LEVEL=INFO little of it is seen.",
                "pytorch documentation, torch.distributed, Logging"),
    Interaction(("TORCH_NCCL_BLOCKING_WAIT", "TORCH_NCCL_ASYNC_ERROR_HANDLING"),
                "of the two one is to be set: blocking waits turn the handling by the watchdog off.", _PG),
    Interaction(("TORCH_NCCL_DESYNC_DEBUG", "TORCH_NCCL_ASYNC_ERROR_HANDLING"),
                "says nothing unless errors are handled.", _PG),
    Interaction(("TORCH_NCCL_DUMP_ON_TIMEOUT", "TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE"),
                "there is nothing to dump with a buffer of 0.", _PG),
    Interaction(("TORCH_NCCL_ENABLE_MONITORING", "TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC"),
                "only the monitor looks at the heartbeat.", _PG),
    Interaction(("NCCL_SOCKET_IFNAME", "NCCL_SOCKET_FAMILY"),
                "an interface without an address of the family is passed over.", _NCCL),
    Interaction(("NCCL_SOCKET_IFNAME", "NCCL_IB_HCA"),
                "with InfiniBand the first still decides how the communicator is formed, the second what carries data.",
                _NCCL),
    Interaction(("NCCL_IB_DISABLE", "NCCL_NET", "NCCL_SOCKET_IFNAME"),
                "1 leaves sockets, unless NCCL_NET asks for IB: then NCCL fails.", _NCCL),
    Interaction(("NCCL_SOCKET_NTHREADS", "NCCL_NSOCKS_PERTHREAD"), "their product is at most 64.", _NCCL),
    Interaction(("NCCL_IB_GID_INDEX", "NCCL_IB_ROCE_VERSION_NUM", "NCCL_IB_ADDR_FAMILY", "NCCL_IB_ADDR_RANGE"),
                "an index from 0 on chooses the GID, and the other three are not read.", _NCCL),
    Interaction(("NCCL_DEBUG", "NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE"),
                "without NCCL_DEBUG the other two do nothing.", _NCCL),
    Interaction(("NCCL_OOB_NET_ENABLE", "NCCL_OOB_NET_IFNAME"), "1 makes the other one count.", _NCCL),
    Interaction(("CUDA_VISIBLE_DEVICES", "LOCAL_RANK"),
                "a launcher that shows each rank one GPU leaves it the number 0, whatever its LOCAL_RANK.",
                "CUDA programming guide, CUDA environment variables"),
    Interaction(("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"), "the numbers are those of that order.",
                "CUDA programming guide, CUDA environment variables"),
    Interaction(("SLURM_NTASKS_PER_NODE", "SLURM_NTASKS"), "a launch without the first may put all tasks on one host.",
                "srun(1)"),
)  # fmt: skip


def interactions(name: str) -> tuple[Interaction, ...]:
    """Those that a variable takes part in."""
    return tuple(i for i in INTERACTIONS if name in i.names)
