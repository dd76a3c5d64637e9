"""One rank of a bare NCCL world, for `gpu.py`: what a job would do without commcheck, timed.

Started with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT in its environment. Prints one line of JSON: seconds of
the initialisation (`init`), of the first all-reduce (`first`), and per size in bytes of a later one (`sizes`); or `error`.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from datetime import timedelta

SIZES = (1 << 20, 16 << 20, 256 << 20)  # bytes: latency still shows in the first, and no longer in the last
ROUNDS = 5
TIMEOUT = timedelta(seconds=60)  # a world on one machine forms within a few seconds, or never


def measured(sizes: tuple[int, ...]) -> dict[str, object]:
    import torch
    import torch.distributed as dist

    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        int(os.environ["WORLD_SIZE"]),
        os.environ["RANK"] == "0",
        timeout=TIMEOUT,
    )
    begin = time.monotonic()  # CUDA's own start is part of it, as it is of a preflight's group
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(
        "nccl", store=store, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]), timeout=TIMEOUT
    )
    formed = time.monotonic()
    small = torch.full((4,), float(dist.get_rank() + 1), device="cuda")
    dist.all_reduce(small)
    torch.cuda.synchronize()
    first = time.monotonic()
    size = dist.get_world_size()
    right = small.tolist() == [size * (size + 1) / 2] * 4
    found: dict[str, object] = {
        "rank": dist.get_rank(),
        "init": formed - begin,
        "first": first - formed,
        "right": right,
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),
        "sizes": {str(n): _seconds(n) for n in sizes},
    }
    dist.destroy_process_group()
    return found


def _seconds(count: int) -> float:
    """The median time of an all-reduce of so many bytes."""
    import torch
    import torch.distributed as dist

    tensor = torch.ones(count // 4, device="cuda")
    dist.all_reduce(tensor)  # connects what is not yet connected
    taken = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        dist.barrier()
        torch.cuda.synchronize()
        begin = time.monotonic()
        dist.all_reduce(tensor)
        torch.cuda.synchronize()
        taken.append(time.monotonic() - begin)
    return statistics.median(taken)


def copied() -> float:
    """Bytes per second of a copy within the first GPU's memory, read and written."""
    import torch

    source = torch.ones(256 << 18, device="cuda")
    target = torch.empty_like(source)
    taken = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        begin = time.monotonic()
        target.copy_(source)
        torch.cuda.synchronize()
        taken.append(time.monotonic() - begin)
    return 2 * source.numel() * 4 / statistics.median(taken)


def devices() -> dict[str, object]:
    """What torch sees of the machine."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    peers = {f"{a}-{b}": torch.cuda.can_device_access_peer(a, b) for a in range(count) for b in range(count) if a != b}
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if count and torch.distributed.is_nccl_available() else ""
    return {
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda),
        "nccl": nccl,
        "gpus": [torch.cuda.get_device_name(n) for n in range(count)],
        "peers": peers,
        "copy": copied() if count else 0.0,
    }


if __name__ == "__main__":
    try:
        asked = sys.argv[1] if len(sys.argv) > 1 else "world"
        if asked == "devices":
            print(json.dumps(devices()), flush=True)
        else:
            print(json.dumps(measured(() if asked == "bare" else SIZES)), flush=True)
    except Exception as e:
        print(
            json.dumps({"rank": int(os.environ.get("RANK", "-1")), "error": f"{type(e).__name__}: {e}".split("\n")[0]}),
            flush=True,
        )
        sys.exit(1)
