"""A log as a job of 1,024 ranks leaves it behind when all of them write into one file: deterministic, any size.

Most of it is ordinary: metrics of every rank, a progress bar that rewrites its line, NCCL's INFO lines while
communicators are made, warnings that mean nothing. At its end one rank runs out of memory, and all others tell of it in
their own way: watchdogs that time out, connections that were reset, the launcher's summary.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import BinaryIO

RANKS = 1024
PER_HOST = 8
GUILTY = 517
CAUSE = "memory-exhausted"

_SETUP = (
    "node-{host:03d}:{pid}:{pid} [{local}] NCCL INFO Bootstrap : Using eth0:10.9.{host}.{local}<0>\n",
    "node-{host:03d}:{pid}:{pid} [{local}] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB/SHARP [1]mlx5_1:1/IB/SHARP [RO]; OOB eth0:10.9.{host}.{local}<0>\n",
    "node-{host:03d}:{pid}:{pid} [{local}] NCCL INFO Using network IB\n",
    "node-{host:03d}:{pid}:{pid} [{local}] NCCL INFO Setting affinity for GPU {local} to ffff,ffffffff\n",
    "node-{host:03d}:{pid}:{pid} [{local}] NCCL INFO Trees [0] 1/-1/-1->{rank}->-1 [1] 1/-1/-1->{rank}->-1 [2] -1/-1/-1->{rank}->1\n",
    "node-{host:03d}:{pid}:{pid} [{local}] NCCL INFO Connected all rings\n",
    "node-{host:03d}:{pid}:{pid} [{local}] NCCL INFO comm 0x7f31c0 rank {rank} nranks 1024 cudaDev {local} nvmlDev {local} busId {local}000 - Init COMPLETE\n",
)
_GUILTY = (
    "[rank{rank}]: Traceback (most recent call last):\n",
    '[rank{rank}]:   File "/home/user/train.py", line 412, in <module>\n[rank{rank}]:     loss.backward()\n',
    "[rank{rank}]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.25 GiB. GPU {local} has a capacity of 79.15 GiB.\n",
)
_OTHER_RANKS = (
    "[rank{rank}]:[E ProcessGroupNCCL.cpp:616] [Rank {rank}] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=88121, OpType=ALLREDUCE, NumelIn=4096, NumelOut=4096, Timeout(ms)=600000) ran for 600{local:03d} milliseconds before timing out.\n",
    "[rank{rank}]:[E ProcessGroupNCCL.cpp:630] [Rank {rank}] To avoid data inconsistency, we are taking the entire process down.\n",
    "[rank{rank}]: RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.9.64.5]:4711\n",
)
_SUMMARY = (
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n"
    "============================================================\n"
    "train.py FAILED\n"
    "Root Cause (first observed failure):\n"
    "[0]:\n  time      : 2031-01-02_09:14:55\n  host      : node-064\n"
    "  rank      : 517 (local_rank: 5)\n  exitcode  : 1 (pid: 41517)\n"
)


def _of(rank: int) -> dict[str, int]:
    """What the templates say of a rank."""
    return {"rank": rank, "host": rank // PER_HOST, "local": rank % PER_HOST, "pid": 41_000 + rank}


def _bar(step: int) -> str:
    """A progress bar's line: it was drawn several times before it got its newline."""
    drawn = (
        f"\r\x1b[32mTraining\x1b[0m:  {i:>3d}%|{'█' * (i // 10):<10}| {step * 40 + i}/100000 [01:02<08:11, 1.93it/s]"
        for i in range(0, 100, 25)
    )
    return "".join(drawn) + "\n"


def _other(kind: int, rank: int, step: int, clock: str, number: float) -> str:
    """One of the lines that stand between the metrics."""
    host, local = rank // PER_HOST, rank % PER_HOST
    if kind == 0:
        return f"[rank{rank}]: {clock} DEBUG data.py:71 opened shard /data/c4/train-{step:05d}-of-{rank:05d}.tar in {number:.3f} s\n"
    if kind == 1:
        return f"[rank{rank}]: {clock} INFO profiler.py:33 forward {number:.3f}s backward {number * 2:.3f}s allreduce {number:.3f}s\n"
    if kind == 2:
        return f"node-{host:03d}: {clock} prometheus: gpu{local} util=98% sm_clock=1980MHz power={600 + number:.0f}W temp=61C\n"
    if kind == 3:
        return (
            f"node-{host:03d}:{41_000 + rank}:{41_000 + rank} [{local}] NCCL INFO Channel {local:02d}/0 : {rank}[{local}] -> "
            f"{(rank + 8) % RANKS}[{local}] [send] via NET/IB/{local}/GDRDMA\n"
        )
    return (
        f"[rank{rank}]:/opt/venv/lib/python3.11/site-packages/torch/utils/checkpoint.py:87: UserWarning: None of the inputs"
        " have requires_grad=True\n"
    )


def _step(step: int, rng: random.Random) -> str:
    """All ranks' lines of one step, interleaved."""
    second = 10_000 + step
    clock = f"2031-01-02 {second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    ranks = list(range(RANKS))
    rng.shuffle(ranks)
    lines = [_bar(step)]
    for number, rank in enumerate(ranks):
        value = (rank * 7919 + step * 104_729) % 1000  # as good as random here, and cheap
        lines.append(
            f"[rank{rank}]: {clock},{value:03d} INFO trainer.py:188 | step {step:>6d}/100000 | loss {2 + value / 1000:.4f} |"
            f" grad_norm {value / 999:.3f} | lr 3.0e-04 | {3000 + value:.1f} tok/s | mem {60 + value / 1000:.1f}GiB\n"
        )
        if number % 4 == 0:
            lines.append(_other(rng.randrange(5), rank, step, f"{clock},{value:03d}", value / 1000))
    return "".join(lines)


def pieces(size: int) -> Iterator[bytes]:
    """The log in pieces of about 100 kB, `size` bytes and a little more."""
    rng = random.Random(20310102)
    setup = [t.format_map(_of(rank)) for t in _SETUP for rank in range(RANKS)]
    end = [t.format_map(_of(GUILTY)) for t in _GUILTY]
    end += [t.format_map(_of(rank)) for t in _OTHER_RANKS for rank in range(RANKS) if rank != GUILTY]
    last = "".join([*end, _SUMMARY]).encode()
    written = len(last)
    for at in range(0, len(setup), 1000):
        piece = "".join(setup[at : at + 1000]).encode()
        written += len(piece)
        yield piece
    step = 0
    while written < size:
        step += 1
        piece = _step(step, rng).encode()
        written += len(piece)
        yield piece
    yield last


def write(file: BinaryIO, size: int) -> int:
    """Write a log of `size` bytes, and return how many bytes it got."""
    return sum(file.write(piece) for piece in pieces(size))
