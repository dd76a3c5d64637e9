"""Each signature is what it says: its literal, its pattern, its examples, and no confident hit on another cause's line."""

import re

import pytest

from commcheck.diagnose import index, scan
from commcheck.diagnose.index import Entry
from commcheck.model.case import LogLine

CONFIDENT = 0.8

# (cause of the line, other cause that it also shows with confidence): a deliberate double meaning.
DECLARED: set[tuple[str, str]] = {
    ("stale-store", "port-in-use"),  # the old store is what holds the port
    ("interface-loopback", "host-resolves-to-loopback"),  # two ways to publish a loopback address
}


def _line(text: str) -> LogLine:
    return LogLine(source="example", number=1, text=text)


@pytest.mark.parametrize("entry", index.entries(), ids=lambda e: f"{e.cause}:{e.signature.literal[:30]}")
def test_signature(entry: Entry) -> None:
    signature = entry.signature
    literals = signature.literal.split(" | ")
    assert entry.cause in index.rules(), f"signature for a cause without a rule: {entry.cause}"
    assert all(literal == literal.lower() and len(literal.strip()) >= 4 for literal in literals), literals
    assert any(literal in signature.positive.lower() for literal in literals)
    assert signature.source
    assert signature.negative
    assert 0.0 < signature.weight < 1.0
    assert re.compile(signature.pattern).search(signature.positive), "the pattern misses its positive example"
    assert not re.compile(signature.pattern).search(signature.negative), "the pattern hits its negative example"
    causes = {hit.cause for hit in scan.scan([_line(signature.positive)])}
    assert entry.cause in causes, "the scan does not find the positive example (advice, or the literal)"


def test_no_signature_hits_another_causes_line_with_confidence() -> None:
    wrong = []
    for entry in index.entries():
        if entry.signature.weight < scan.GENERIC_BELOW:
            continue  # a wording that is shared on purpose
        for hit in scan.scan([_line(entry.signature.positive)]):
            stronger = hit.signature.weight >= CONFIDENT and hit.signature.weight >= entry.signature.weight
            shared = hit.signature.pattern == entry.signature.pattern
            if hit.cause != entry.cause and stronger and not shared and (entry.cause, hit.cause) not in DECLARED:
                wrong.append((entry.cause, entry.signature.positive, hit.cause, hit.signature.pattern))
    assert not wrong


GENERIC = [
    "RuntimeError: [/src/gloo/transport/tcp/pair.cc:554] Connection closed by peer [10.9.0.2]:4711",
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:",
    "RuntimeError: NCCL error in: ProcessGroupNCCL.cpp:1207, unhandled system error, NCCL version 2.19.3",
    "[Rank 2] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=99, OpType=ALLREDUCE, NumelIn=8, NumelOut=8, Timeout(ms)=600000) ran for 600100 milliseconds before timing out.",
    "ConnectionResetError: [Errno 104] Connection reset by peer",
    "RuntimeError: Socket Timeout",
    "ncclInternalError: Internal check failed.",
    "RuntimeError: [/src/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete",
]


@pytest.mark.parametrize("text", GENERIC)
def test_a_generic_line_alone_never_gives_a_confident_cause(text: str) -> None:
    assert all(hit.signature.weight < scan.GENERIC_BELOW for hit in scan.scan([_line(text)]))
