"""The scan over lines, and what the log path makes of whole logs."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose import crosscheck, scan
from commcheck.diagnose.logs import case_from_text, log_matches
from commcheck.diagnose.prefilter import Prefilter
from commcheck.model.case import Ended
from commcheck.model.taxonomy import Stage

_WATCHDOG = (
    "[rank{r}]:[E ProcessGroupNCCL.cpp:616] [Rank {r}] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum={seq}, OpType={op}, NumelIn={n}, NumelOut={n}, Timeout(ms)=600000) ran for 600020 milliseconds before timing out."
)


def _causes(text: str) -> list[tuple[str, float]]:
    return [(rule.cause, match.confidence) for rule, match in log_matches(case_from_text([("job.log", text.encode())]))]


def _work(r: int, seq: int = 9, op: str = "ALLREDUCE", n: int = 8) -> str:
    return _WATCHDOG.format(r=r, seq=seq, op=op, n=n)


def _plain(data: bytes, literals: list[str]) -> set[tuple[int, int]]:
    """What searching each line for each literal finds."""
    lines = data.lower().split(b"\n")
    return {(row, i) for row, line in enumerate(lines) for i, word in enumerate(literals) if word.encode() in line}


@pytest.mark.parametrize("accelerated", [False, True])
@given(
    st.lists(st.text("aB1 xé\0\\.", max_size=12), max_size=30),
    st.lists(st.text("abx1 é.", min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_the_prefilter_finds_what_a_plain_search_finds(
    accelerated: bool, lines: list[str], literals: list[str]
) -> None:
    if accelerated:
        pytest.importorskip("hyperscan")
    data = "\n".join(lines).encode()
    block = Prefilter(literals, ["bx"], accelerated=accelerated).find(data)
    assert {(found.row, i) for found in block.found for i in found.numbers} == _plain(data, literals)
    assert all(data.split(b"\n")[found.row] == data[found.begin : found.end] for found in block.found)
    assert block.newlines == data.count(b"\n")
    assert block.common == (b"bx" in data.lower())


def test_both_engines_say_the_same_of_long_logs() -> None:
    pytest.importorskip("hyperscan")
    literals = ["needle", "hay 3", "e", "nothing"]
    data = b"".join(b"Needle %d in line %d\n" % (i, i) if i % 7 == 0 else b"hay %d\n" % i for i in range(20_000))
    assert Prefilter(literals, accelerated=True).find(data) == Prefilter(literals, accelerated=False).find(data)


def test_a_failure_that_names_itself_wins_over_what_its_peers_say() -> None:
    text = "\n".join(
        [
            *(_work(r) for r in range(4)),
            "[rank2]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        ]
    )
    causes = _causes(text)
    assert causes[0][0] == "memory-exhausted"
    assert all(confidence < 0.5 for cause, confidence in causes if cause != "memory-exhausted")


def test_the_guilty_rank_is_named() -> None:
    case = case_from_text(
        [("job.log", f"{_work(0)}\n[rank3]: RuntimeError: CUDA error: invalid device ordinal\n".encode())]
    )
    rule, match = log_matches(case)[0]
    assert (rule.cause, match.ranks) == ("device-ordinal-out-of-range", (3,))
    assert match.evidence[0].line == 2


def test_the_rank_that_a_line_names_is_blamed_not_the_one_that_says_it() -> None:
    case = case_from_text([("job.log", b"[rank0]: RuntimeError: Rank 5 failed to pass monitoredBarrier in 30000 ms\n")])
    assert log_matches(case)[0][1].ranks == (5,)


def test_a_timeout_alone_gives_candidates_and_no_verdict() -> None:
    causes = _causes("\n".join(_work(r) for r in range(4)))
    assert len(causes) >= 3
    assert all(confidence < 0.5 for _, confidence in causes)


def test_timeouts_in_different_operations_are_an_order_mismatch() -> None:
    assert _causes(f"{_work(0)}\n{_work(1, op='ALLGATHER')}")[0][0] == "collective-order-mismatch"


def test_two_launches_that_number_ranks_from_zero() -> None:
    lines = [f"initializing ddp: GLOBAL_RANK: {r}, MEMBER: {r + 1}/6" for r in (0, 1, 2)] * 2
    assert _causes("\n".join(lines))[0][0] == "rank-duplicate"


def test_a_group_that_is_set_up_again_is_no_duplicate() -> None:
    lines = [f"initializing ddp: GLOBAL_RANK: {r}, MEMBER: {r + 1}/3" for r in (0, 1, 2)] * 2
    assert not _causes("\n".join(lines))


def test_plugins_that_differ_between_hosts() -> None:
    text = (
        "trainer-a:1:2 [0] NCCL INFO NET/Plugin: Could not find: libnccl-net.so. Using internal network plugin.\n"
        "trainer-b:1:2 [0] NCCL INFO Plugin Path : /opt/x/libnccl-net.so\n"
    )
    assert _causes(text)[0][0] == "version-mismatch"


def test_an_unknown_failure_is_called_so_with_its_unusual_lines() -> None:
    text = "\n".join(
        ["step 1 ERROR: retry"] * 50 + ["FATAL: the flux capacitor is empty"] + ["step 2 ERROR: retry"] * 50
    )
    rule, match = log_matches(case_from_text([("job.log", text.encode())]))[0]
    assert rule.code == "CC000"
    assert match.confidence < 0.5
    assert "flux capacitor" in match.evidence[0].text + match.evidence[1].text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epoch 1 loss 0.5\nepoch 2 loss 0.4\n",
        "INFO 0 errors, 0 failures\n",
        "trainer-a:1:2 [0] NCCL INFO Connected all rings\ntrainer-a:1:2 [0] NCCL INFO comm 0x1 rank 0 nranks 2 - Init COMPLETE\n",
        "[Gloo] Rank 0 is connected to 1 peer ranks. Expected number of connected peer ranks is : 1\n",
        "#       size         count    type   redop     time   algbw   busbw  error\n",
    ],
)
def test_a_log_without_failure_gives_nothing(text: str) -> None:
    assert not _causes(text)


def test_a_warning_before_training_is_no_failure_to_set_up() -> None:
    warning = "[W socket.cpp:601] [c10d] The IPv6 network addresses of (trainer-a, 29777) cannot be retrieved (gai error: -2 - Name or service not known)."
    alone = dict(reversed(_causes(warning)))  # of a cause that is named twice, the surer
    before = dict(reversed(_causes(f"{warning}\nEpoch 1 step 3 loss 0.5\n")))
    assert alone["host-unresolvable"] >= 0.5 > before["host-unresolvable"]


@pytest.mark.parametrize(
    "text",
    [
        "trainer-a:1:2 [0] misc/ibvwrap.cc:63 NCCL WARN Failed to open libibverbs.so[.1]\ntrainer-a:1:2 [0] NCCL INFO NET/IB : No device found.\n",
        "Warning: Retrying (Retry(total=2)) after connection broken by 'ConnectionResetError(104, Connection reset by peer)'\n",
        "[W ProcessGroupNCCL.cpp:1168] Warning: WARNING: process group has NOT been destroyed before we destruct ProcessGroupNCCL.\n",
    ],
)
def test_warnings_alone_are_not_a_failed_job(text: str) -> None:
    case = case_from_text([("job.log", text.encode())])
    assert case.ended is Ended.NOT_RUN
    found = log_matches(case)
    assert all(match.confidence < 0.5 for _, match in found)
    assert all(rule.code != "CC000" for rule, _ in found)


def test_an_exception_that_a_cause_describes_is_not_blamed_on_the_script() -> None:
    causes = dict(_causes("RuntimeError: Distributed package doesn't have NCCL built in"))
    assert "script-error" not in causes


def test_the_stage_is_read_from_the_text() -> None:
    case = case_from_text([("x", b"epoch 3 step 77 loss 0.3\nRuntimeError: CUDA error: unknown error\n")])
    assert scan.stage_of(case.lines) is Stage.TRAINING


def test_speed_on_a_quiet_log() -> None:
    line = "[rank{r}]: 2031-01-02 03:04:05,123 INFO trainer.py:88 epoch {e} batch {s} time {t:.3f} lr 1.2e-04\n"
    data = "".join(line.format(r=i % 64, e=i // 1000, s=i, t=i * 0.001) for i in range(100_000)).encode()
    scan.prefilter()
    begin = time.monotonic()
    case_from_text([("big.log", data)])
    speed = len(data) / 1e6 / (time.monotonic() - begin)
    print(f"{speed:.0f} MB/s")
    assert speed > 10  # measured alone: over 100; the floor leaves room for busy machines


@pytest.mark.parametrize(
    ("stage", "words", "pattern"), scan._STAGES, ids=lambda x: x.value if isinstance(x, Stage) else ""
)
@given(data=st.data())
def test_a_line_that_shows_a_stage_has_one_of_its_words(
    stage: Stage, words: tuple[str, ...], pattern: str, data: st.DataObject
) -> None:
    text = data.draw(st.from_regex(re.compile(pattern, re.ASCII)))
    assert any(word in text.lower() for word in words), stage


@given(st.from_regex(re.compile(crosscheck._ALONE.re.pattern, re.ASCII)))
def test_a_line_of_a_world_of_one_has_one_of_its_words(text: str) -> None:
    assert crosscheck._may_be_alone(text[:400]) or not crosscheck._ALONE.re.search(text, 0, 400)
