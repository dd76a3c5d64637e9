"""No pattern takes long on any line: each is tried on the longest text that it is searched in, made to be awkward."""

import re
import time
from collections.abc import Callable

import pytest

from commcheck.diagnose import index, progress, scan
from commcheck.diagnose.ingest import advice, identities, marks
from commcheck.diagnose.ingest.redact import redact
from commcheck.model.rule import Signature

_LONGEST = 4096  # what commcheck.diagnose.keeping cuts long lines into
_BOUND = 0.5  # seconds of processor for one text; what takes cubic time takes minutes
_SIGNATURES = {entry.signature.pattern: entry.signature for entry in index.entries()}


def _awkward(signature: Signature) -> list[str]:
    """Texts that match nearly, again and again: parts of the positive example, and what its patterns repeat."""
    positive = signature.positive.replace("\n", " ")
    units = ["a", "a.", "a b ", " ", "1", "1.", ":", "(", "[", "x: ", "\t", "/a", "-", "'a' "]
    units += [positive, positive[: len(positive) // 2], positive[len(positive) // 2 :], positive[:-1] + " "]
    units += [literal + " " for literal in signature.literal.split(" | ")]
    texts = [(unit * (_LONGEST // len(unit) + 1))[:_LONGEST] for unit in dict.fromkeys(units) if unit]
    return [*texts, (positive[: len(positive) * 2 // 3] + "a" * _LONGEST)[:_LONGEST], positive + " " * 2000 + "x"]


@pytest.mark.parametrize("signature", _SIGNATURES.values(), ids=lambda s: s.literal[:40])
def test_signatures_take_no_long_time(signature: Signature) -> None:
    pattern = re.compile(signature.pattern)
    for text in _awkward(signature):
        begin = time.process_time()
        for _ in pattern.finditer(text):
            pass
        took = time.process_time() - begin
        assert took < _BOUND, f"{took:.2f} s on {text[:80]!r}..."


_UNITS = [
    "a", "a.", "a b ", " ", "1", ":", "(", "[", "error", "Error ", "Error: ", "ERROR ", "warning Warning ", "_a1.", "epoch ", "step 1",
    "may be ", "you can ", "this means", ". ", "token=", "token ", "://", "a://b:c@", "-----BEGIN A PRIVATE KEY-----", "eyJ", "Bearer ",
    "[rank1]: ", "1: ", "host-1:", "host1: ", "h1:1:1 [0] ", "rank 1 nranks ", "assert ", "exit code ", "SeqNum=", "12:34:56 ",
]  # fmt: skip


@pytest.mark.parametrize(
    "judge",
    [scan.is_trouble, scan.is_fatal, advice.spans, marks.read, redact, identities.Identities().learn, marks.of_source],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("unit", _UNITS)
def test_what_every_line_goes_through_takes_no_long_time(judge: Callable[[str], object], unit: str) -> None:
    text = (unit * (_LONGEST // len(unit) + 1))[:_LONGEST]
    begin = time.process_time()
    judge(text)
    judge("error: " + text + " Error")
    assert time.process_time() - begin < _BOUND


@pytest.mark.parametrize("unit", _UNITS)
def test_the_search_for_progress_takes_no_long_time(unit: str) -> None:
    block = (unit * (500_000 // len(unit))).encode()
    begin = time.process_time()
    progress.first(block, 4)
    progress.last(block)
    assert time.process_time() - begin < 4 * _BOUND
