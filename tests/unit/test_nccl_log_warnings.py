"""What NCCL 2.10 to 2.30 can warn of: a cause where it tells one, and an honest answer where it does not."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from commcheck.diagnose import index, scan
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import Judgement, judge
from commcheck.model.case import LogLine
from commcheck.model.diagnosis import Verdict

DATA = Path(__file__).parent / "data" / "nccl_warnings.tsv"
WANTED = 0.9  # of the warnings that tell of the world outside NCCL

# NCCL finds itself in a state that it should never be in: whatever the reason, these words do not tell it.
OWN_CHECKS = re.compile(
    r"pass NULL socket|file descriptor is -1|socket state|invalid socket|socket is invalid|invalid arguments ops=|list loop|List loop"
    r"|Element \d+ of pool|[Pp]roxy append|pool of op|Inactive op|incomplete proxy op|neither send or recv|proxyDestroy"
    r"|opId=|null operation|out of bounds \[|^NET/IB: (?:ncclFunc: )?(?:Attempting to|Unsupported type of request|Invalid wr_id"
    r"|Unrecognized|Resiliency context is NULL|No format|\S+ comm could not retreive|(?:Sender|Receiver) expected|Unknown completion"
    r"|Invalid request index|Requested alive|Unexpected GoToPrevState|ncclIbI(?:send|recv)\(\) called|sendReq|wc->opcode)"
    r"|already connected sendComm|unknown state|32-bits field|[Uu]nsupported signalOp|Unknown (?:collnet )?pattern|Unknown device code"
    r"|Invalid intra-node rank|resource is null|not aligned for self|Invalid regBufType|Net registration invalid algorithm|MemManager: "
    r"|desc type|descriptor is not|uninitialized \w+Plugin|set the number of devices for|not power of 2$|No allocation found"
    r"|extends beyond allocation|shadow pool|map pointer is NULL|[Oo]bject pointer is NULL|Invalid key size|expected graph|Expected graph"
    r"|has bugs|invalid rank stride|called with NULL request|ncclNetSocketListen dev|^Invalid argument desc|getRandomData"
    r"|NULL request|no inflight credit|invalid IPC peer|reduce refcount|refcount is 0|Invalid client status|RAS thread terminating"
    r"|ran out of channel space|handles and parent are NULL|Cannot get gin type|peerBuff is NULL|GFD test|^close failed"
)


class Told(NamedTuple):
    first: tuple[int, ...]
    last: tuple[int, ...]
    file: str
    text: str

    @property
    def line(self) -> str:
        return f"trainer-a:41:77 [0] {self.file}:123 NCCL WARN {self.text}"

    @property
    def of_itself(self) -> bool:
        return OWN_CHECKS.search(self.text) is not None


@cache
def warnings() -> tuple[Told, ...]:
    rows = [line.split("\t") for line in DATA.read_text().splitlines() if not line.startswith("#")]
    return tuple(Told(_version(first), _version(last), file, text) for first, last, file, text in rows)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _judged(text: str) -> Judgement:
    return judge(case_from_text([("job.log", f"{text}\n".encode())]))


def _cause(text: str) -> str:
    return next((d.cause for d in _judged(text).diagnoses), "")


def test_most_warnings_show_a_cause() -> None:
    told = [w for w in warnings() if not w.of_itself]
    unknown = [w for w in told if _cause(w.line) in ("", "unclassified")]
    print(
        f"{len(told) - len(unknown)} of {len(told)} warnings show a cause; {len(warnings()) - len(told)} are of NCCL's own checks"
    )
    assert len(unknown) < (1 - WANTED) * len(told), [w.text for w in unknown]


def test_how_a_line_begins_makes_no_difference() -> None:
    for w in warnings()[::23]:
        plain = _judged(w.line).diagnoses[0].cause
        stamped = w.line.replace("trainer-a", "[2026-02-03 04:05:06] trainer-a").replace(
            ":123 NCCL", ":123 (ncclFunc) NCCL"
        )
        assert _judged(stamped).diagnoses[0].cause == plain, w.text
        assert _judged(f"[rank3]: {w.line}").diagnoses[0].cause == plain, w.text


def test_an_own_check_is_shown_and_not_judged() -> None:
    for w in (w for w in warnings() if w.of_itself):
        judgement = _judged(w.line)
        best = judgement.diagnoses[0]
        if best.cause == "unclassified":
            assert best.confidence <= 0.2
            assert judgement.verdict is Verdict.INCONCLUSIVE or "fatal error" in w.text
            assert w.text[:60] in best.evidence[0].text


@pytest.mark.parametrize("text", ["Something that nobody has seen before", "brandNewCheck: state 17 is not a state"])
def test_a_warning_without_a_wording_is_called_that(text: str) -> None:
    judgement = _judged(f"trainer-a:41:77 [3] transport/new.cc:9 NCCL WARN {text}")
    assert judgement.verdict is Verdict.INCONCLUSIVE
    (only,) = judgement.diagnoses
    assert (only.cause, only.confidence) == ("unclassified", 0.1)
    assert text in only.evidence[0].text


def test_a_warning_beside_a_known_failure_takes_nothing_from_it() -> None:
    known = "trainer-a:41:77 [0] bootstrap.cc:45 NCCL WARN Bootstrap : no socket interface found"
    alone = _judged(known).diagnoses
    beside = _judged(f"trainer-a:41:77 [3] new.cc:9 NCCL WARN Something nobody has seen\n{known}").diagnoses
    assert [(d.cause, d.confidence) for d in beside] == [(d.cause, d.confidence) for d in alone]


# --- versions -------------------------------------------------------------------------------------------------

_RANGE = re.compile(r"nccl (?:>= (?P<since>[\d.]+)|(?P<first>[\d.]+)(?: to (?P<last>[\d.]+))?)")
_NEWEST = (2, 30)
_TABLES = ("nccl_links", "nccl_machine", "nccl_calls")


def _ranged() -> list[index.Entry]:
    from importlib import import_module

    found = []
    for name in _TABLES:
        table = import_module(f"commcheck.diagnose.signatures.{name}").SIGNATURES
        found += [index.Entry(cause, signature) for cause, signatures in table.items() for signature in signatures]
    return found


@pytest.mark.parametrize("entry", _ranged(), ids=lambda e: f"{e.cause}:{e.signature.positive[-40:]}")
def test_versions_are_those_of_the_sources(entry: index.Entry) -> None:
    match = _RANGE.fullmatch(entry.signature.versions)
    assert match is not None, entry.signature.versions
    pattern = re.compile(entry.signature.pattern)
    met = [w for w in warnings() if pattern.search(w.line)]
    assert met, "no release has the wording"
    since = _version(match["since"] or match["first"])
    last = _NEWEST if match["since"] else _version(match["last"] or match["first"])
    assert (since, last) == (min(w.first for w in met), max(w.last for w in met))


def test_a_line_of_level_info_is_no_warning() -> None:
    for entry in _ranged():
        quiet = LogLine(source="example", number=1, text=entry.signature.negative)
        assert entry.signature.pattern not in {hit.signature.pattern for hit in scan.scan([quiet])}


# --- what is said since 2.30 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "HINT: In many cases this error occurs when the incorrect GID index is forced by NCCL_IB_GID_INDEX",
            "transport-unavailable",
        ),
        (
            "HINT: In many cases this error indicates that an incorrect GID index is forced by NCCL_IB_GID_INDEX, or that",
            "transport-unavailable",
        ),
        ("HINT: In many cases this error occurs when NICs are not cross-rail connected.", "transport-unavailable"),
        (
            "HINT: In many cases this error occurs when NIC on the same instance cannot talk to each other.",
            "transport-unavailable",
        ),
        (
            "HINT: In many cases this error occurs when ACS is enabled which would break GPU Direct RDMA protocol.",
            "transport-unavailable",
        ),
        ("HINT: In many cases this error occurs when the NCCL_IB_TIMEOUT is set too short.", "transport-unavailable"),
        (
            "HINT: In many cases this issue indicates missing or faulty information in the provided topology file.",
            "env-malformed",
        ),
        (
            "HINT: In many cases this error indicates that the GPU peer-mapping (BAR1 P2P) resources are exhausted, which can",
            "peer-access-broken",
        ),
    ],
)
def test_hints_of_its_own(text: str, cause: str) -> None:
    best = _judged(f"trainer-a:41:77 [0] NCCL INFO {text}").diagnoses[0]
    assert best.cause == cause
    assert best.confidence < 0.8  # "in many cases"


def test_a_card_that_cannot_reach_gpu_memory() -> None:
    said = "NCCL WARN Call to ibv_reg_mr_iova2 failed with error {} errno 14"
    assert _cause(f"a:1:2 [0] misc/ibvwrap.cc:160 {said.format('Bad address')}") == "transport-unavailable"
    assert _cause(f"a:1:2 [0] misc/ibvwrap.cc:160 {said.format('Cannot allocate memory')}") == "memlock-limit"


def test_a_clean_bill_is_no_fault() -> None:
    text = "a:1:2 NCCL DIAG [INFO] ECC: no uncorrected volatile errors across 16 ranks in comm 0x7f11"
    assert not _judged(text).diagnoses
