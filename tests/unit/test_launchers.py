"""Whose line it is: what real launchers made of ranks that fail, interleaved as they wrote it."""

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commcheck.diagnose.ingest import marks
from commcheck.diagnose.logs import case_from_text
from commcheck.model.case import Case

ERROR = "RuntimeError: CUDA error: invalid device ordinal"

# Three ranks that print a step; then ranks 1 and 2 raise. From runs of Open MPI 4.1.4, MPICH 4.0.2 (Hydra), Slurm 22.05,
# pdsh 2.34, torch 2.13 and Ray 2.5x; kubectl's and stern's lines by their sources (kubectl pkg/cmd/logs, stern cmd).
OPEN_MPI = """\
[1,2]<stdout>:epoch 1 step 1 loss 0.5
[1,2]<stderr>:Traceback (most recent call last):
[1,2]<stderr>:  File "t.py", line 3, in <module>
[1,2]<stderr>:RuntimeError: CUDA error: invalid device ordinal
[1,0]<stdout>:epoch 1 step 1 loss 0.5[1,0]<stdout>:
--------------------------------------------------------------------------
Primary job  terminated normally, but 1 process returned
a non-zero exit code. Per user-direction, the job has been aborted.
--------------------------------------------------------------------------
[1,1]<stdout>:epoch 1 step 1 loss 0.5
[1,1]<stderr>:Traceback (most recent call last):
[1,1]<stderr>:  File "t.py", line 3, in <module>
[1,1]<stderr>:RuntimeError: CUDA error: invalid device ordinal
"""
OPEN_MPI_TIMES = """\
Sat Nov 21 22:15:30 2026[1,0]<stdout>:epoch 1 step 1 loss 0.5
Sat Nov 21 22:15:30 2026[1,2]<stdout>:epoch 1 step 1 loss 0.5Sat Nov 21 22:15:30 2026[1,2]<stdout>:
Sat Nov 21 22:15:31 2026[1,2]<stderr>:RuntimeError: CUDA error: invalid device ordinal
Sat Nov 21 22:15:31 2026[1,1]<stderr>:RuntimeError: CUDA error: invalid device ordinal
"""
OPEN_MPI_BAR = """\
[1,0]<stdout>:step 1  10%|#         | 1/10 [00:01<00:09,  1.0it/s][1,1]<stderr>:RuntimeError: CUDA error: invalid device ordinal
[1,0]<stdout>:step 2  20%|##        | 2/10 [00:02<00:08,  1.0it/s][1,2]<stderr>:RuntimeError: CUDA error: invalid device ordinal
"""
HYDRA = """\
[1] epoch 1 step 1 loss 0.5[1] 
[1] Traceback (most recent call last):
[1]   File "t.py", line 3, in <module>
[1] RuntimeError: CUDA error: invalid device ordinal
[0] epoch 1 step 1 loss 0.5[0] 
[2] epoch 1 step 1 loss 0.5[2] 
[2] Traceback (most recent call last):
[2]   File "t.py", line 3, in <module>
[2] RuntimeError: CUDA error: invalid device ordinal
"""  # noqa: W291
HYDRA_PATTERN = """\
[0@node7] epoch 1 step 1 loss 0.5[0@node7] 
[1@node7] epoch 1 step 1 loss 0.5
[1@node7] Traceback (most recent call last):
[2@node8] RuntimeError: CUDA error: invalid device ordinal
[1@node7] RuntimeError: CUDA error: invalid device ordinal
"""  # noqa: W291
SRUN = """\
 1: epoch 1 step 1 loss 0.5
 0: epoch 1 step 1 loss 0.5
 2: epoch 1 step 1 loss 0.5
 1: Traceback (most recent call last):
 1:   File "t.py", line 3, in <module>
 1: RuntimeError: CUDA error: invalid device ordinal
 2: Traceback (most recent call last):
 2: RuntimeError: CUDA error: invalid device ordinal
srun: error: node7: tasks 1-2: Exited with exit code 1
"""
TORCHRUN_TEE = """\
W1121 22:15:34.395000 26568 torch/distributed/run.py:874] Setting OMP_NUM_THREADS environment variable for each process to be 1
[default0]:epoch 1 step 1 loss 0.5
[default1]:epoch 1 step 1 loss 0.5
[default1]:[rank1]: Traceback (most recent call last):
[default2]:[rank2]: Traceback (most recent call last):
[default1]:[rank1]:   File "/job/t.py", line 6, in <module>
[default1]:[rank1]: RuntimeError: CUDA error: invalid device ordinal
[default2]:[rank2]: RuntimeError: CUDA error: invalid device ordinal
"""
TORCHRUN_TEMPLATE = """\
[default-1-1]: epoch 1 step 1 loss 0.5
[default-1-1]: [rank1]: RuntimeError: CUDA error: invalid device ordinal
[default-0-0]: epoch 1 step 1 loss 0.5
[default-2-0]: [rank2]: RuntimeError: CUDA error: invalid device ordinal
"""
RAY = """\
\x1b[36m(TrainController pid=9095)\x1b[0m Started training worker group of size 3: 
\x1b[36m(TrainController pid=9095)\x1b[0m - (ip=192.0.2.2, pid=9190) world_rank=0, local_rank=0, node_rank=0
\x1b[36m(TrainController pid=9095)\x1b[0m - (ip=192.0.2.2, pid=9216) world_rank=1, local_rank=1, node_rank=0
\x1b[36m(TrainController pid=9095)\x1b[0m - (ip=192.0.2.3, pid=9216) world_rank=2, local_rank=0, node_rank=1
\x1b[36m(RayTrainWorker pid=9190)\x1b[0m Setting up process group for: env:// [rank=0, world_size=2]
\x1b[36m(RayTrainWorker pid=9190)\x1b[0m epoch 1 step 1 loss 0.5
\x1b[36m(RayTrainWorker pid=9216, ip=192.0.2.3)\x1b[0m Traceback (most recent call last):\x1b[32m [repeated 2x across cluster] (Ray deduplicates logs by default.)\x1b[0m
\x1b[36m(RayTrainWorker pid=9216, ip=192.0.2.3)\x1b[0m RuntimeError: CUDA error: invalid device ordinal
\x1b[36m(RayTrainWorker(rank one) pid=9217, ip=192.0.2.2)\x1b[0m [rank1]: RuntimeError: CUDA error: invalid device ordinal
"""  # noqa: W291
PDSH = """\
node2: [rank2]: RuntimeError: CUDA error: invalid device ordinal
gpu-a: [rank1]: Traceback (most recent call last):
10.0.0.3: epoch 1 step 1 loss 0.5
gpu-a.cluster.local: [rank1]: RuntimeError: CUDA error: invalid device ordinal
"""
KUBECTL = """\
[pod/job-master-0/pytorch] 2026-11-21T22:15:30.123456789Z epoch 1 step 1 loss 0.5
[pod/job-worker-1/pytorch] 2026-11-21T22:15:31.123456789Z [rank2]: RuntimeError: CUDA error: invalid device ordinal
[pod/job-worker-0/pytorch] 2026-11-21T22:15:32.123456789Z [rank1]: RuntimeError: CUDA error: invalid device ordinal
"""
STERN = """\
+ job-worker-0 › pytorch
job-master-0 pytorch epoch 1 step 1 loss 0.5
job-worker-1 pytorch 2026-11-21T22:15:31.123456789Z [rank2]: RuntimeError: CUDA error: invalid device ordinal
job-node-0-0-x7k2p node [rank1]: RuntimeError: CUDA error: invalid device ordinal
"""  # noqa: RUF001
HOROVOD = """\
[0]<stdout>:epoch 1 step 1 loss 0.5
Sat Nov 21 22:15:31 2026[2]<stderr>:RuntimeError: CUDA error: invalid device ordinal
[1]<stderr>:RuntimeError: CUDA error: invalid device ordinal
"""
LIGHTNING = """\
[rank: 1] Seed set to 1
Initializing distributed: GLOBAL_RANK: 1, MEMBER: 2/3
Epoch 0:  10%|█         | 1/10 [00:01<00:09,  1.0it/s, v_num=0][rank1]: RuntimeError: CUDA error: invalid device ordinal
[rank: 2] RuntimeError: CUDA error: invalid device ordinal
"""
COMPOSE = """\
trainer-1  | [rank1]: RuntimeError: CUDA error: invalid device ordinal
trainer-2  | [rank2]: RuntimeError: CUDA error: invalid device ordinal
"""
FORMS = {
    name.lower(): text
    for name, text in globals().items()
    if isinstance(text, str) and name.isupper() and name != "ERROR"
}


def read(text: str, name: str = "job.log") -> Case:
    return case_from_text([(name, text.encode())])


def failing(case: Case) -> set[int | None]:
    return {line.rank for line in case.lines if ERROR in line.text}


@pytest.mark.parametrize("form", FORMS)
def test_who_failed_is_known(form: str) -> None:
    case = read(FORMS[form])
    assert failing(case) == {1, 2}
    for line in case.lines:
        if ERROR in line.text:
            assert line.text.startswith((ERROR, "gpu-a", "node2", "Epoch 0", "[default-", "[1] ", "[2] ")), line.text
    steps = {line.rank for line in case.lines if "epoch 1" in line.text}
    assert steps <= {0, 1, 2, None}


def test_hosts_and_times_are_known() -> None:
    hosts = {
        "hydra_pattern": {1: "node7", 2: "node8"},
        "ray": {1: "192.0.2.2", 2: "192.0.2.3"},
        "pdsh": {1: "gpu-a", 2: "node2"},
        "kubectl": {1: "job-worker-0", 2: "job-worker-1"},
        "stern": {1: "job-node-0-0-x7k2p", 2: "job-worker-1"},
        "compose": {1: "trainer-1", 2: "trainer-2"},
    }  # fmt: skip
    for form, expected in hosts.items():
        found = {r.rank: r.host for r in read(FORMS[form]).ranks}
        assert {rank: found[rank] for rank in expected} == expected, form
    clock = 22 * 3600 + 15 * 60
    for form, seconds in {"open_mpi_times": clock + 31, "kubectl": clock + 32.123456789}.items():
        (line, *_) = [x for x in read(FORMS[form]).lines if ERROR in x.text and x.rank == 1]
        assert line.seconds == pytest.approx(seconds), form


def test_a_local_rank_is_no_rank_where_there_are_several_hosts() -> None:
    text = f"[pod/w-0/pytorch] [default1]:{ERROR}\n[pod/w-1/pytorch] [default1]:{ERROR}\n"
    assert failing(read(text)) == {None}
    # One line that names both tells of all lines of that process.
    assert failing(read(text + "[pod/w-1/pytorch] [default1]:[rank9]: Traceback (most recent call last):\n")) == {
        None,
        9,
    }
    # With an offset there is another host, though its lines are not here.
    case = read(f"[default1]:[rank9]: {ERROR}\n[default1]:Aborted\n[default2]:{ERROR}\n")
    assert [(x.text, x.rank) for x in case.lines] == [(ERROR, 9), ("Aborted", 9), (ERROR, None)]


def test_files_of_torchrun_on_two_hosts() -> None:
    def case(*files: tuple[str, str]) -> list[int | None]:
        return [x.rank for x in case_from_text([(name, text.encode()) for name, text in files]).lines]

    first, second = "logs/none_a1/attempt_0/1/stderr.log", "logs/none_b2/attempt_0/1/stderr.log"
    assert case((first, ERROR)) == [1]
    assert case((first, ERROR), (first.replace("attempt_0", "attempt_1"), ERROR)) == [1, 1]  # a restart
    assert case((first, ERROR), (second, ERROR)) == [None, None]
    assert case((first, ERROR), (second, f"{ERROR}\n[rank9]: {ERROR}\n")) == [None, 9, 9]


@pytest.mark.parametrize(
    "text",
    [
        f"[4711] {ERROR}\n[4712] {ERROR}\n",  # process ids
        f"[1] {ERROR}\n",  # one number alone
        f"[12] {ERROR}\n[13] {ERROR}\n",
        '[1] "RuntimeError: x"\n[2] "RuntimeError: y"\n',  # R
        "[1] 4711\n[2]+ Killed\n",  # a shell
    ],
)
def test_a_number_that_may_be_anything_is_no_rank(text: str) -> None:
    case = read(text)
    assert {line.rank for line in case.lines} <= {None}
    assert all(line.text in text for line in case.lines)


@pytest.mark.parametrize(
    ("line", "rank", "text"),
    [
        (f"Error from rank 3: [rank3]: {ERROR}", 3, f"Error from rank 3: [rank3]: {ERROR}"),
        (f"[rank0]: peer said: [rank3]: {ERROR}", 3, ERROR),  # whose text it is
        ("[1,0]<stdout>:loss 0.5[1,2]<stdout>:", 0, "loss 0.5"),
        ("worker-0 failed to start", None, "worker-0 failed to start"),
        ("conv2d-1 output [rank: 3]", None, "conv2d-1 output [rank: 3]"),
    ],
)
def test_marks_amid_a_line(line: str, rank: int | None, text: str) -> None:
    marked = marks.read(line)
    assert (marked.rank, marked.text) == (rank, text)


def _cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    begin = 0
    for place in sorted(p % (len(data) + 1) for p in places):
        yield data[begin:place]
        begin = place
    yield data[begin:]


@settings(deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.lists(st.integers(0, 5000), max_size=9), st.randoms(use_true_random=False))
def test_whose_a_line_is_depends_neither_on_blocks_nor_on_the_order_of_ranks(
    form: str, places: list[int], chance: random.Random
) -> None:
    lines = FORMS[form].splitlines(keepends=True)
    data = "".join(lines).encode()
    assert case_from_text([("job.log", _cut(data, places))]) == case_from_text([("job.log", data)])
    if "bar" not in form:
        chance.shuffle(lines)
        assert failing(read("".join(lines))) == {1, 2}


@given(st.text(max_size=200), st.sampled_from([line for text in FORMS.values() for line in text.splitlines()]))
def test_marks_never_raise_and_never_invent_text(text: str, line: str) -> None:
    for candidate in (text, line + text, text + line, line[: len(text)]):
        marked = marks.read(candidate)
        assert marked.text.strip() in candidate
        assert marked.rank is None or re.search(rf"0*{marked.rank}\b", candidate)
