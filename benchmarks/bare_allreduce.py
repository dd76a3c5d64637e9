"""What commcheck is compared with: the smallest script that forms a world and sums one tensor.

Under torchrun: `torchrun --nproc-per-node 2 bare_allreduce.py`; by itself with torch.multiprocessing.spawn:
`python bare_allreduce.py 2 PORT`.
"""

import os
import sys

import torch
import torch.distributed as dist


def one_world() -> None:
    dist.init_process_group("gloo")
    tensor = torch.full((4,), float(dist.get_rank() + 1))
    dist.all_reduce(tensor)
    size = dist.get_world_size()
    assert tensor.tolist() == [size * (size + 1) / 2] * 4
    dist.destroy_process_group()


def spawned(rank: int, size: int, port: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    one_world()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import torch.multiprocessing as mp

        mp.spawn(spawned, args=(int(sys.argv[1]), sys.argv[2]), nprocs=int(sys.argv[1]))
    else:
        one_world()
