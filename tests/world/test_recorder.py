"""Dumps of PyTorch's own flight recorder, made by real worlds of plain scripts, as `commcheck diagnose` reads them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import commcheck

pytestmark = pytest.mark.xdist_group("recorder")  # its fixture takes seconds: one process makes it

SCRIPT = """
import os, sys, time, datetime
import torch, torch.distributed as dist
from torch._C import _distributed_c10d as c10d
# One import for all: each rank of each world is forked from here.
ranks = []
for folder in sys.argv[1:]:
    for rank in range(3):
        ranks.append(os.fork())
        if not ranks[-1]:
            break
    else:
        continue
    break
else:
    sys.exit(any([os.waitpid(pid, 0)[1] for pid in ranks]))
what = folder.split("/")[-2]
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60), init_method="file://" + folder + "/../store",
                        rank=rank, world_size=3)
for _ in range(3):
    dist.all_reduce(torch.ones(2, 3))
pair = dist.new_group([0, 1])
if rank < 2:
    dist.broadcast(torch.ones(5), 0, group=pair)
works = []
odd = rank == 1
if what == "missing" and not odd:
    works = [dist.all_reduce(torch.ones(7), async_op=True)]
elif what == "dtype":
    works = [dist.all_reduce(torch.ones(4, dtype=torch.int32 if odd else torch.float32), async_op=True)]
elif what == "op":
    call = dist.broadcast if odd else dist.all_reduce
    works = [call(torch.ones(4), 0, async_op=True) if odd else call(torch.ones(4), async_op=True)]
elif what == "healthy":
    dist.all_reduce(torch.ones(7))
time.sleep(0.5)
with open(f"{folder}/nccl_trace_rank_{rank}", "wb") as file:
    file.write(c10d._dump_fr_trace())
with open(f"{folder}.json/fr_{rank}.json", "w") as file:
    text = c10d._dump_fr_trace_json()
    file.write(text if isinstance(text, str) else text.decode())
os._exit(0)
"""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The folder of each world's dumps, by what went wrong in it."""
    base = tmp_path_factory.mktemp("worlds")
    found = {what: base / what / "dumps" for what in CAUSES}
    for folder in found.values():
        folder.mkdir(parents=True)
        folder.with_name("dumps.json").mkdir()
    script = base / "job.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *map(str, found.values())],
        env={**os.environ, "TORCH_FR_BUFFER_SIZE": "64", "RES_OPTIONS": "timeout:1 attempts:1"},
        timeout=100,
    )
    assert done.returncode == 0
    return found


CAUSES = {
    "missing": "collective-missing-rank",
    "dtype": "collective-dtype-mismatch",
    "op": "collective-order-mismatch",
    "healthy": None,
}


@pytest.fixture(params=CAUSES)
def dumps(request, worlds):
    return request.param, worlds[request.param]


def diagnose(*paths: Path) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "diagnose", "--format", "json", *map(str, paths)],
        env={**os.environ, "PYTHONPATH": str(Path(commcheck.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_a_world_s_own_dumps_name_rank_and_call(dumps, suffix):
    what, folder = dumps
    report = diagnose(folder.with_name(folder.name + suffix))
    lead = report["diagnoses"][0] if report["diagnoses"] else None
    if CAUSES[what] is None:
        assert lead is None
        assert report["verdict"] == "inconclusive"
        return
    assert lead["cause"] == CAUSES[what]
    assert lead["ranks"] == [1]
    assert report["verdict"] == "unhealthy"
    assert any("call 4" in e["text"] for e in lead["evidence"])


def test_single_files_beside_a_log(dumps, tmp_path):
    what, folder = dumps
    log = tmp_path / "job.log"
    log.write_text("epoch 1\n[rank0]: some line\n")
    report = diagnose(*sorted(folder.iterdir()), log)
    assert [d["cause"] for d in report["diagnoses"]][:1] == [c for c in [CAUSES[what]] if c]
