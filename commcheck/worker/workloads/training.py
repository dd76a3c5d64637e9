"""A small job of training: a model in DistributedDataParallel, a DataLoader over a DistributedSampler, SGD, checkpoints.

Between the standard collectives it does what a training script does: `prepare` loads data and model, wraps it, and has
rank 0 write a checkpoint that all ranks load; `train` makes the steps of an epoch and saves again. Like a script it is
told by arguments what to do (`JOB_ARGS`, parsed as a command line), which may be wrong, or differ between ranks.

Checkpoints lie in memory, in an unnamed file of rank 0 that the others open through /proc: nothing can be left of it,
also after kill -9. Every step is recorded like a collective ("training_step"), since its gradients are one."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo  # DistributedDataParallel imports it, which takes a second: so it does it where ranks share it
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from commcheck.model.case import Collective, ValueCheck, call_signature
from commcheck.system.process import die_with_parent
from commcheck.worker.steps import Step
from commcheck.worker.workloads import standard

if TYPE_CHECKING:
    from commcheck.worker.context import RankContext

LOOKS = True
FIRST: tuple[Step, ...] = standard.FIRST
VERIFY: tuple[Step, ...] = standard.VERIFY

FEATURES, HIDDEN, BATCH = 16, 32, 8
RATE = 0.05


def arguments(environment: dict[str, str]) -> argparse.Namespace:
    """The job's arguments. Raises SystemExit for wrong ones, as scripts do."""
    parser = argparse.ArgumentParser(prog="train.py", exit_on_error=True)
    parser.add_argument("--batches", type=int, default=6, help="of this rank in the epoch; 0: its data is not there")
    parser.add_argument("--workers", type=int, default=0, help="processes that load the data")
    parser.add_argument("--start", default="fork", help="how they are started: fork or spawn")
    parser.add_argument("--sample-bytes", type=int, default=0, help="ballast of every sample")
    parser.add_argument("--local-transform", action="store_true", help="the data set holds a lambda")
    parser.add_argument("--spoilt-samples", action="store_true", help="the samples of this rank are no numbers")
    parser.add_argument("--join", action="store_true", help="ranks may have different numbers of batches")
    parser.add_argument("--idle-layer", action="store_true", help="a layer takes no part in the loss")
    parser.add_argument("--find-unused", action="store_true", help="DDP looks for such layers")
    parser.add_argument("--work", type=float, default=0.0, help="seconds of this rank's own work in each step")
    parser.add_argument("--hidden", type=int, default=HIDDEN, help="width of this rank's model")
    parser.add_argument("--resume", default="", help="checkpoint to load (default: the one that rank 0 wrote)")
    parser.add_argument("--resume-into", choices=("model", "wrapped"), default="model", help="what takes its weights")
    parser.add_argument("--save", default="", help="where the last checkpoint goes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--metrics-group", default="", help="ranks that sum up a metric, as in 0,1")
    parser.add_argument("--call", default="", help="a method of the model that is called after the epoch")
    return parser.parse_args(shlex.split(environment.get("JOB_ARGS", "")))


class Samples(Dataset[tuple[torch.Tensor, torch.Tensor]]):  # type: ignore[misc]  # torch has no types here
    """Points of a plane with a little noise; `sample(i)` is the same on every rank."""

    def __init__(self, size: int, options: argparse.Namespace) -> None:
        generator = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(size, FEATURES, generator=generator)
        self.targets = self.inputs.sum(dim=1, keepdim=True) / 4
        if options.spoilt_samples:
            self.inputs[:] = self.inputs / 0.0 * 0.0
        self.ballast = options.sample_bytes
        self.transform: Any = (lambda sample: sample) if options.local_transform else None

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        sample = self.inputs[index] if self.transform is None else self.transform(self.inputs[index])
        if self.ballast:
            sample = torch.cat([sample, torch.ones(self.ballast // 4)])
        return sample, self.targets[index]


class Model(nn.Module):  # type: ignore[misc]
    """Two layers, and a third that may take no part."""

    def __init__(self, hidden: int, *, idle_layer: bool) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, hidden)
        self.last = nn.Linear(hidden, 1)
        self.idle = nn.Linear(hidden, 1) if idle_layer else None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The prediction for a batch."""
        out: torch.Tensor = self.last(torch.tanh(self.first(inputs[:, :FEATURES])))
        return out


class Job:
    """What `prepare` made and `train` goes on with."""

    def __init__(self, ctx: RankContext, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        torch.set_num_threads(1)
        torch.manual_seed(ctx.rank)  # DDP gives all ranks the weights of rank 0
        self.samples = Samples(options.batches * BATCH * ctx.world_size, options)
        self.loader = _loader(ctx, self.samples, options)
        self.model = Model(options.hidden, idle_layer=options.idle_layer).to(self.device)
        self.wrapped = DistributedDataParallel(self.model, find_unused_parameters=options.find_unused)
        self.optimizer = torch.optim.SGD(self.wrapped.parameters(), lr=RATE)
        self.group: Any = None

    @property
    def elements(self) -> int:
        """How many numbers of gradient a step exchanges."""
        return sum(p.numel() for p in self.model.parameters())


def _loader(ctx: RankContext, data: Samples, options: argparse.Namespace) -> DataLoader[Any]:
    sampler: DistributedSampler[Any] | None = None
    if options.batches:
        sampler = DistributedSampler(data, num_replicas=ctx.world_size, rank=ctx.rank, shuffle=True, drop_last=True)
    return DataLoader(
        data,
        batch_size=BATCH,
        sampler=sampler,
        num_workers=options.workers,
        multiprocessing_context=options.start if options.workers else None,
        worker_init_fn=partial(_end_with_rank, os.getpid()),
    )


def _end_with_rank(rank_process: int, _: int) -> None:
    """A process that loads data ends with its rank at once; torch's own look at the parent comes every 5 seconds.

    One that is spawned comes here seconds later: its parent by then may be another one than its rank, which has ended."""
    die_with_parent(rank_process)


def prepare(ctx: RankContext) -> None:
    """Data, model, wrapping, and a checkpoint of rank 0 that all ranks load."""
    options = arguments(ctx.plan.environment)
    job = ctx.job = Job(ctx, options)
    next(iter(job.loader))  # a loader that gives nothing, or not here, is to show before the first step
    _resume(ctx, job)
    if options.metrics_group:
        call = Collective(index=0, op="new_group", shape=(), dtype="", group=options.metrics_group, phase=ctx.phase)
        index = ctx.journal.issued(call)
        job.group = dist.new_group([int(r) for r in options.metrics_group.split(",")])
        ctx.journal.returned(index)


def _resume(ctx: RankContext, job: Job) -> None:
    assert ctx.store is not None
    store = dist.PrefixStore("training", ctx.store)
    if ctx.rank == 0:
        handle = os.memfd_create("checkpoint", os.MFD_CLOEXEC)
        path = f"/proc/{os.getpid()}/fd/{handle}"
        torch.save(job.model.state_dict(), path)
        store.set("checkpoint", path)
    path = job.options.resume or store.get("checkpoint").decode()
    weights = torch.load(path, weights_only=True)
    target = job.model if job.options.resume_into == "model" else job.wrapped
    target.load_state_dict(weights)


def train(ctx: RankContext) -> None:
    """One epoch, then what it has come to: the loss has fallen, and all ranks have the same weights."""
    job: Job = ctx.job
    joining: AbstractContextManager[object] = Join([job.wrapped]) if job.options.join else nullcontext()
    before = _loss_of_all(job)
    with joining:
        for inputs, targets in job.loader:
            _step(ctx, job, inputs.to(job.device), targets.to(job.device))
    after = _loss_of_all(job)
    fell = after < before  # also false where it is no number
    detail = "" if fell else f"the loss went from {before:g} to {after:g}"
    ctx.journal.checked(ValueCheck(op="loss", dtype="float32", size=1, ok=fell, detail=detail))
    _same_weights(ctx, job)
    if job.options.metrics_group:
        _sum_up(ctx, job, after)
    if job.options.call:
        getattr(job.wrapped, job.options.call)()
    _save(ctx, job)


def _loss_of_all(job: Job) -> float:
    """The loss over the whole data set, which single batches only estimate."""
    with torch.no_grad():
        predicted = job.model(job.samples.inputs.to(job.device))
        return float(nn.functional.mse_loss(predicted, job.samples.targets.to(job.device)))


def _step(ctx: RankContext, job: Job, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """One step. What is before the gradients is the rank's own; the exchange of gradients is the call."""
    job.optimizer.zero_grad()
    loss = nn.functional.mse_loss(job.wrapped(inputs), targets)
    _own_work(job.options.work)
    if not torch.isfinite(loss) and all(bool(torch.isfinite(p).all()) for p in job.model.parameters()):
        # The weights were still good, so it is this rank's data that spoils them for all.
        detail = f"the loss of rank {ctx.rank} is {loss.item()}, with good weights"
        ctx.journal.checked(
            ValueCheck(op="loss", dtype="float32", size=1, ok=False, wrong_slots=(ctx.rank,), detail=detail)
        )
    signature = call_signature("training_step", job.elements, "float32", "sum")
    call = Collective(
        index=0,
        op="training_step",
        shape=(job.elements,),
        dtype="float32",
        reduce_op="sum",
        phase=ctx.phase,
        expected=signature,
    )
    index = None if job.options.join else ctx.journal.issued(call)
    loss.backward()
    job.optimizer.step()
    if index is not None:
        ctx.journal.returned(index)


def _own_work(seconds: float) -> None:
    """Compute for a while, as a preprocessing step does."""
    end = time.monotonic() + seconds
    some = torch.ones(64, 64)
    while time.monotonic() < end:
        some = torch.tanh(some @ some)


def _same_weights(ctx: RankContext, job: Job) -> None:
    mine = torch.cat([p.detach().flatten() for p in job.model.parameters()]).double().sum().reshape(1)
    call = Collective(index=0, op="all_gather", shape=(1,), dtype="float64", phase=ctx.phase)
    every = [torch.empty_like(mine) for _ in range(ctx.world_size)]
    index = ctx.journal.issued(call)
    dist.all_gather(every, mine)
    ctx.journal.returned(index)
    sums = [float(s) for s in every]
    same = len(set(sums)) == 1  # also false where they are no numbers
    detail = "" if same else f"the sums of the weights are {', '.join(f'{s:.17g}' for s in sums[:8])}"
    ctx.journal.checked(ValueCheck(op="weights", dtype="float64", size=job.elements, ok=same, detail=detail))


def _sum_up(ctx: RankContext, job: Job, loss: float) -> None:
    """A metric summed in a group of its own."""
    metric = torch.tensor([loss])
    call = Collective(
        index=0,
        op="all_reduce",
        shape=(1,),
        dtype="float32",
        reduce_op="sum",
        group=job.options.metrics_group,
        phase=ctx.phase,
    )
    index = ctx.journal.issued(call)
    dist.all_reduce(metric, group=job.group)
    ctx.journal.returned(index)


def _save(ctx: RankContext, job: Job) -> None:
    """The last checkpoint, by rank 0; nobody goes on before it is written."""
    if ctx.rank == 0:
        handle = os.memfd_create("checkpoint", os.MFD_CLOEXEC)
        torch.save(job.model.state_dict(), job.options.save or f"/proc/self/fd/{handle}")
        os.close(handle)
