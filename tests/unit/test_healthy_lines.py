"""Lines that NCCL, PyTorch and their like write in jobs that are well never show a cause with any confidence.

Most are written by versions 2.6 to 2.30 of NCCL on every start, or by PyTorch as a warning that changes nothing.
"""

import pytest

from commcheck.diagnose import scan
from commcheck.model.case import LogLine

_NCCL = "trainer-a:41:77 [0] NCCL INFO "
HEALTHY = [
    "gpu23:1513:1528 [2] NCCL INFO Attribute coll of node net not found",
    "WARNING: Unsupported operator aten::mul encountered 52 time(s)",
    _NCCL + "NET/Plugin : dlerror=libnccl-net.so: cannot open shared object file: No such file or directory No plugin found",
    _NCCL + "NET/Plugin: Could not find: libnccl-net.so. Using internal network plugin.",
    _NCCL + "NET/Plugin: Plugin load returned 2 : libnccl-net.so: cannot open shared object file: No such file or directory",
    _NCCL + "NET/Plugin: Failed to find ncclNetPlugin_v8 symbol.",
    _NCCL + "TUNER/Plugin: Failed to find ncclTunerPlugin_v3 symbol.",
    _NCCL + "TUNER/Plugin: libnccl-tuner.so: cannot open shared object file: No such file or directory",
    _NCCL + "PROFILER/Plugin: Could not find: libnccl-profiler.so.",
    _NCCL + "Failed to initialize NET plugin IBext_v8",
    _NCCL + "Failed to open libibverbs.so[.1]",
    _NCCL + "NET/IB : No device found.",
    _NCCL + "NET/IB : GPU Direct RDMA Disabled for HCA 0 'mlx5_0'",
    _NCCL + "NET/Socket : GPU Direct RDMA Disabled for HCA 0 'eno9'",
    _NCCL + "NET/Socket : Using [0]lo:127.0.0.1<0>",
    _NCCL + "Bootstrap : Using docker0:172.19.0.1<0>",
    _NCCL + "Using network Socket",
    _NCCL + "Could not enable P2P between dev 1(=1b000) and dev 0(=1a000)",
    _NCCL + "P2P is disabled between connected GPUs 1 and 0. You can repress this message with NCCL_IGNORE_DISABLED_P2P=1.",
    _NCCL + "init.cc:1043 Cuda failure 3 'initialization error'",
    _NCCL + "nvmlDeviceGetNvLinkState() failed: Not Supported",
    _NCCL + "Call to ibv_modify_qp failed with 110 Connection timed out, on dev mlx5_0:1, retrying 1/34 after 100 msec of sleep",
    _NCCL + "Could not open XML topology file /var/run/nvidia-topologyd/virtualTopology.xml : No such file or directory",
    _NCCL + "Failed to bind NVLink SHARP (NVLS) Multicast memory of size 2097152 : CUDA error 1 'x'. Proceeding without NVLS support.",
    _NCCL + "Detected mixed local Net device counts across ranks (min 1, max 8). Ignoring due to NCCL_IGNORE_NET_MISMATCH.",
    _NCCL + "[Service thread] Connection closed by localRank 2",
    _NCCL + "RAS client listening socket at ::1<28028>",
    _NCCL + "Could not get speed from /sys/class/net/lo/speed. Defaulting to 10 Gbps.",
    "[W socket.cpp:752] [c10d] The hostname of the client socket cannot be retrieved. err=-3",
    "[rank0]:[W ProcessGroupNCCL.cpp:5072] Guessing device ID based on global rank. This can cause a hang if rank to GPU mapping is heterogeneous.",
    "[W ProcessGroupNCCL.cpp:1569] Rank 1 using best-guess GPU 1 to perform barrier as devices used by this process are currently unknown.",
    "[W ProcessGroupNCCL.cpp:1168] Warning: WARNING: process group has NOT been destroyed before we destruct ProcessGroupNCCL.",
    "[W reducer.cpp:1251] Warning: find_unused_parameters=True was specified in DDP constructor, but did not find any unused parameters",
    "UserWarning: barrier(): using the device under current context. You can specify `device_id` in `init_process_group` to mute this warning.",
    "UserWarning: No device id is provided via `init_process_group` or `barrier `. Using the current device set by the user.",
    "Setting OMP_NUM_THREADS environment variable for each process to be 1 in default, to avoid your system being overloaded",
    "OMP: Warning #190: Forking a process while a parallel region is active is potentially unsafe.",
    "FutureWarning: The module torch.distributed.launch is deprecated and will be removed in future. Use torchrun.",
    "W tensorflow/tsl/platform/default/dso_loader.cc:67] Could not load dynamic library 'libnvinfer.so.7'; dlerror: libnvinfer.so.7: cannot open shared object file",
    '{"name": "torchelastic.worker.status.SUCCEEDED", "source": "WORKER", "state": "SUCCEEDED", "raw_error": null, "agent_restarts": 0}',
    "# Out of bounds values : 0 OK",
]  # fmt: skip


@pytest.mark.parametrize("text", HEALTHY)
def test_a_healthy_line_shows_no_cause_with_confidence(text: str) -> None:
    hits = scan.scan([LogLine(source="example", number=1, text=text)])
    assert all(hit.signature.weight < scan.GENERIC_BELOW for hit in hits), [
        (h.cause, h.signature.pattern) for h in hits
    ]
