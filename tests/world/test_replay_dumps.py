"""Recorders' dumps, made by real worlds of plain programs, played again as gloo worlds: the same cause on the same ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import commcheck
from commcheck.errors import UsageError
from commcheck.model.diagnosis import Verdict
from commcheck.replay.again import Wish, replay
from commcheck.replay.bundle import bundle_of
from commcheck.replay.compare import lead
from commcheck.replay.file import from_bytes, to_bytes
from commcheck.replay.recorded import bundle_of_dumps

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.xdist_group("dumps")  # its fixture takes seconds: one process makes it

RANKS = 4
SCRIPT = """
import datetime, os, sys, time
import torch, torch.distributed as dist
import torch._dynamo, torch._inductor.config  # what torch loads at the first call: once for all, before the forks
from torch._C import _distributed_c10d as c10d

RANKS, base, *kinds = int(sys.argv[1]), *sys.argv[2:]

def run(what, rank):
    folder = f"{base}/{what}"
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60), init_method=f"file://{folder}.store",
                            rank=rank, world_size=RANKS)
    works, odd = [], rank == 1
    def begun(work):
        works.append(work)
    store = dist.distributed_c10d._get_default_store()
    def others_have_dumped():
        store.wait([f"dumped/{r}" for r in range(RANKS) if r != rank])
    for _ in range(3):
        dist.all_reduce(torch.ones(2, 3))
    pair = dist.new_group([0, 1])
    if rank < 2:
        dist.broadcast(torch.ones(5), 0, group=pair)
    gather = [lambda: begun(dist.all_gather_into_tensor(torch.ones(3 * RANKS), torch.ones(3), async_op=True))]
    reduce = [lambda: begun(dist.all_reduce(torch.ones(2, 2), async_op=True))]
    if what == "missing" and not odd:
        begun(dist.all_reduce(torch.ones(7), async_op=True))
    elif what == "dtype":
        begun(dist.all_reduce(torch.ones(4, dtype=torch.int32 if odd else torch.float32), async_op=True))
    elif what == "shape":
        if odd:  # whoever receives more than it expects is aborted: by then it has dumped
            others_have_dumped()
        begun(dist.all_reduce(torch.ones(9 if odd else 4), async_op=True))
    elif what == "order":
        for call in (gather + reduce if odd else reduce + gather):
            call()
    elif what == "group":
        begun(dist.all_reduce(torch.ones(4), group=pair if odd else None, async_op=True))
    elif what == "healthy":
        dist.all_to_all_single(torch.ones(2 * RANKS), torch.ones(2 * RANKS))
        dist.gather(torch.ones(2), [torch.ones(2) for _ in range(RANKS)] if rank == 2 else None, dst=2)
        dist.reduce_scatter_tensor(torch.ones(3), torch.ones(3 * RANKS))
        dist.barrier()
    with open(f"{folder}/nccl_trace_rank_{rank}", "wb") as file:
        file.write(c10d._dump_fr_trace())
    store.set(f"dumped/{rank}", "")
    if what != "shape":
        others_have_dumped()
    elif not odd:
        time.sleep(1)  # the end of one rank is an error of the others
    os._exit(0)

for what in kinds:
    os.makedirs(f"{base}/{what}")
    ranks = []
    for rank in range(RANKS):
        pid = os.fork()
        if pid == 0:
            run(what, rank)
        ranks.append(pid)
    for pid in ranks:
        os.waitpid(pid, 0)
"""

CAUSES = {
    "missing": "collective-missing-rank",
    "order": "collective-order-mismatch",
    "shape": "collective-shape-mismatch",
    "dtype": "collective-dtype-mismatch",
    "group": "collective-group-mismatch",
    "healthy": "",
}


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    base = tmp_path_factory.mktemp("dumps")
    script = base / "job.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(RANKS), str(base), *CAUSES],
        env={**os.environ, "TORCH_FR_BUFFER_SIZE": "64", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return base


def played(bundle, **wish):
    return replay(bundle, Wish(**wish), command=("commcheck", "replay"), say=lambda _: None).report


@pytest.mark.parametrize("what", CAUSES)
def test_a_job_s_calls_do_the_same_here(dumps, what):
    report = played(bundle_of_dumps([str(dumps / what)]))
    if not CAUSES[what]:
        assert report.verdict is Verdict.HEALTHY
        assert report.notes[0] == "nothing was seen to be wrong when it was recorded, and it came through here"
        return
    assert report.verdict is Verdict.UNHEALTHY
    assert (lead(report).cause, lead(report).ranks) == (CAUSES[what], (1,))
    assert report.notes[0].startswith("again: the same cause on the same ranks")
    assert report.world.seconds < 30


def test_fewer_ranks_show_it_too_and_a_bundle_of_it_has_all(dumps):
    bundle = bundle_of_dumps([str(dumps / "order")])
    small = replay(bundle, Wish(world_size=3), command=("commcheck", "replay"), say=lambda _: None)
    assert (lead(small.report).cause, lead(small.report).ranks, small.report.world.size) == (
        "collective-order-mismatch",
        (1,),
        3,
    )
    again = bundle_of(small.plan, small.case, small.report, origin="recording")
    whole = played(from_bytes(to_bytes(again), "x"), world_size=4)
    assert (lead(whole).cause, lead(whole).ranks, whole.world.size) == ("collective-order-mismatch", (1,), 4)
    with pytest.raises(UsageError, match="the recording has 4 ranks"):
        played(bundle, world_size=5)


def test_the_command_names_rank_and_call(dumps):
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "replay", str(dumps / "shape"), "--format", "json"],
        env={**os.environ, "PYTHONPATH": str(Path(commcheck.__file__).parents[1])},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lead_ = json.loads(done.stdout)["diagnoses"][0]
    assert lead_["title"] == "Rank 1 brings all_reduce(9 x float32), the others all_reduce(4 x float32)"


# -- a job of many devices, of which a laptop has none: dumps as NCCL's recorder writes them

MANY, WRONG = 64, 37


def nccl_dumps(folder):
    """64 ranks in pairs and in two halves; in the 5th all-reduce of its half rank 37 brings another shape, and all hang there."""
    groups = {"0": list(range(MANY)), "1": list(range(32)), "2": list(range(32, MANY))}
    for rank in range(MANY):
        half = "1" if rank < 32 else "2"
        entries = []

        def add(seq, name, group, sizes, done=True, entries=entries, **more):
            entries.append({
                "collective_seq_id": seq, "p2p_seq_id": 0, "profiling_name": f"nccl:{name}", "process_group": group,
                "input_sizes": sizes, "input_dtypes": ["BFloat16"], "output_sizes": sizes, "output_dtypes": ["BFloat16"],
                "state": "completed" if done else "started", "retired": done, "is_p2p": False, "time_created_ns": len(entries), **more,
            })  # fmt: skip

        add(1, "broadcast", ["0", "default_pg"], [[1 << 28]])
        pair = f"send {rank}->{rank + 1}" if rank % 2 == 0 else f"recv {rank}<-{rank - 1}"
        add(0, pair, ["0", "default_pg"], [[4096, 4096]], is_p2p=True)
        for seq in range(1, 6):
            stuck = seq == 5 and rank >= 32
            add(seq, "all_reduce", [half, "dp"], [[1 << 27, 3 if stuck and rank == WRONG else 2]], done=not stuck)
        config = {n: {"name": n, "desc": "", "ranks": str(r)} for n, r in groups.items()}
        value = {"version": "2.10", "pg_config": config, "pg_status": {}, "entries": entries}
        (folder / f"nccl_trace_rank_{rank}.json").write_text(json.dumps(value))


def test_a_mismatch_of_sixty_four_devices_is_seen_on_four_ranks_here(tmp_path):
    nccl_dumps(tmp_path)
    report = played(bundle_of_dumps([str(tmp_path)]), world_size=4)
    found = lead(report)
    assert found.cause == "collective-shape-mismatch"
    assert report.notes[0].startswith("again: the same cause on the same ranks")
    (rank,) = found.ranks
    assert any(f"{rank} is {WRONG}" in n for n in report.notes)
    assert "all_reduce(402653184 x bfloat16" in found.title
    assert report.world.size == 4
