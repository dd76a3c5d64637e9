"""The three renderers: whatever a report holds, they render it; what they render is valid."""

import json
import re
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from commcheck.cli.output import exit_code
from commcheck.model.base import ranks_text, spans
from commcheck.model.case import Exit
from commcheck.model.diagnosis import (
    SCHEMA,
    Connection,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Fix,
    Link,
    PairRow,
    Placed,
    RankPhase,
    Report,
    Role,
    Verdict,
    WorldReport,
)
from commcheck.model.taxonomy import FixPattern, Stage, Symptom
from commcheck.report import to_json, to_junit, to_nagios, to_nhc, to_prometheus, to_text
from commcheck.report.clean import one_line, visible, wrap
from commcheck.report.schema import generate

TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(["eth0", "\x1b[31mred", "a\nb", "\ud800", "", "\uffff"])


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of one of our types."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        return st.one_of([strategy(a) for a in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(strategy(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(strategy(arguments[0]), strategy(arguments[1]), max_size=1)
    if kind is NoneType:
        return st.none()
    if kind is str:
        return TEXT
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(-1, 2**40)
    if kind is float:
        return st.floats(0, 1e9)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    fields = {f.encode_name: strategy(f.type) for f in msgspec.structs.fields(kind)}
    return st.builds(kind, **fields)


REPORTS = strategy(Report).map(lambda r: msgspec.structs.replace(r, schema=SCHEMA))
# Not shrunk: a whole Report takes minutes to shrink, and the assertion shows the offending text anyway.
PROPERTY = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.explicit, Phase.generate),
)


def example(**changes: Any) -> Report:
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text="Set the interface that carries the address of this host.",
        set={"GLOO_SOCKET_IFNAME": "eth0"},
        applies_to_ranks=(1,),
        frequency="29 of 85 setup failures",
        verified=True,
    )
    diagnosis = Diagnosis(
        symptom=Symptom.SETUP_FAILURE,
        cause="interface-missing",
        code="CC131",
        title="GLOO_SOCKET_IFNAME names an interface that is not there: nope0",
        confidence=0.97,
        role=Role.ROOT,
        stage=Stage.SETUP,
        ranks=(1,),
        hosts=("b",),
        links=(Link(source="rank 1", target="rank 0", port=29500),),
        evidence=(
            Evidence(kind=EvidenceKind.FACT, text="the interfaces are lo, eth0", rank=1, source="/proc/net/dev"),
            Evidence(kind=EvidenceKind.LOG, text="Unable to find address for: nope0", rank=1, source="stderr", line=7),
        ),
        against=(Evidence(kind=EvidenceKind.PROBE, text="the master port answered", rank=1),),
        fixes=(fix,),
    )
    consequence = msgspec.structs.replace(
        diagnosis, cause="rank-exited", code="CC151", role=Role.CONSEQUENCE, ranks=(0,), fixes=()
    )
    report = Report(
        schema=SCHEMA,
        verdict=Verdict.UNHEALTHY,
        command=("preflight",),
        versions={"commcheck": "0"},
        world=WorldReport(size=2, backend="gloo"),
        phases=(
            RankPhase(rank=0, slot=0, phase="store", status="ok", seconds=0.01),
            RankPhase(rank=1, slot=1, phase="store", status="ok", seconds=0.02),
            RankPhase(rank=0, slot=0, phase="group", status="running", seconds=1.0),
            RankPhase(rank=1, slot=1, phase="group", status="failed", seconds=0.1),
        ),
        diagnoses=(diagnosis, consequence),
        not_evaluated=("routes: not read",),
        next=("collect the output of rank 1",),
        replay="commcheck preflight --env GLOO_SOCKET_IFNAME=nope0",
        seconds=1.4,
    )
    return msgspec.structs.replace(report, **changes)


def healthy() -> Report:
    world = WorldReport(
        size=2,
        backend="gloo",
        distinct_processes=2,
        values_checked=24,
        proof=(
            Connection(rank=1, local="10.0.0.2:4", remote="10.0.0.1:29500", interface="eth0", purpose="store"),
            Connection(rank=0, local="10.0.0.1:29500", remote="10.0.0.2:4", interface="eth1", purpose="store"),
        ),
        pairs=(PairRow(rank=0, peer_rank=1, latency=3.5e-5, bandwidth=1.2e9),),
    )
    return example(verdict=Verdict.HEALTHY, diagnoses=(), world=world, next=(), not_evaluated=())


@PROPERTY
@given(REPORTS, st.booleans(), st.integers(20, 200))
def test_any_report_renders_as_text(report: Report, color: bool, width: int) -> None:
    text = to_text.render(report, color=color, width=width)
    assert text.endswith("\n")
    assert text.startswith("\x1b" if color else report.verdict.value.upper())
    if not color:
        assert all(c == "\n" or c.isprintable() or ord(c) > 127 for c in text)
    text.encode()


@PROPERTY
@given(REPORTS)
def test_any_report_renders_as_json_that_keeps_the_schema(report: Report) -> None:
    document = json.loads(to_json.render(report))
    jsonschema.Draft202012Validator(generate.schema()).validate(document)
    assert list(document) == [f.name for f in msgspec.structs.fields(Report)]


@PROPERTY
@given(REPORTS)
def test_any_report_renders_as_xml_that_fails_exactly_when_unhealthy(report: Report) -> None:
    root = ET.fromstring(to_junit.render(report))
    assert bool(root.findall(".//failure")) == (report.verdict is Verdict.UNHEALTHY)
    assert bool(root.findall(".//error")) == (report.verdict is Verdict.INCONCLUSIVE)


def test_json_comes_back_as_the_same_report() -> None:
    assert msgspec.json.decode(to_json.render(example()), type=Report) == example()


def test_the_published_schema_is_current() -> None:
    assert generate.FILE.read_text() == generate.text(), "python -m commcheck.report.schema --write"


def test_text_says_what_where_why_and_what_to_do() -> None:
    text = to_text.render(example(), color=False, width=160)
    first = text.splitlines()[0]
    assert first == "UNHEALTHY  2 ranks, gloo: interface-missing on rank 1  (1.4 s)"
    for wanted in (
        "[CC131 interface-missing]",
        "rank 1; host b; link rank 1 -> rank 0 port 29500",
        "setup-failure (stage of a job: communication setup)",
        "almost certain (0.97)",
        "the interfaces are lo, eth0 [rank 1, fact, /proc/net/dev]",
        "[rank 1, log, stderr:7]",
        "against     the master port answered",
        "export GLOO_SOCKET_IFNAME=eth0   # on rank 1",
        "tried: the world then formed and its values were right",
        "such a repair mended 29 of 85 setup failures",
        "follows     rank-exited (rank 0)",
        "not finished on rank 0; failed on rank 1",
        "not judged  routes: not read",
        "next        collect the output of rank 1",
        "again       commcheck preflight --env GLOO_SOCKET_IFNAME=nope0",
    ):
        assert wanted in text, f"{wanted!r} in\n{text}"
    assert len(text.splitlines()) < 30


def test_text_of_a_healthy_world_is_its_proof() -> None:
    text = to_text.render(healthy(), color=False, width=160)
    for wanted in (
        "HEALTHY  2 ranks, gloo: the world formed, and its values were right",
        "2 distinct processes for 2 ranks; 24 results compared with their reference values, all equal",
        "store: rank 1, 10.0.0.2:4 <-> rank 0, 10.0.0.1:29500 over eth0 and eth1",
        "rank 0 -> 1: 35 us, 1.2 GB/s",
    ):
        assert wanted in text, f"{wanted!r} in\n{text}"


def test_commands_are_never_wrapped() -> None:
    command = "nft insert rule inet filter input tcp dport " + ", ".join(str(p) for p in range(40000, 40050))
    fix = Fix(pattern=FixPattern.NETWORK_SETTING, text="Open the ports.", commands=(command,))
    diagnosis = msgspec.structs.replace(example().diagnoses[0], fixes=(fix,))
    assert command in to_text.render(example(diagnoses=(diagnosis,)), color=False, width=60)


def test_values_are_quoted_for_a_shell() -> None:
    fix = Fix(pattern=FixPattern.COMMUNICATION_CONFIGURATION, text="x", set={"A": "b; rm -rf c"}, unset=("D",))
    diagnosis = msgspec.structs.replace(example().diagnoses[0], fixes=(fix,))
    text = to_text.render(example(diagnoses=(diagnosis,)), color=False, width=100)
    assert "export A='b; rm -rf c'   # on every rank" in text
    assert "unset D                  # on every rank" in text


def test_settings_of_single_processes_name_the_rank_or_both_who_claim_it() -> None:
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text="x",
        rank_set={"0": {"RANK": "0", "A": "b"}, "2": {"RANK": "2"}, "9": {"RANK": "9", "A": "b"}},
    )
    world = WorldReport(
        size=3,
        backend="gloo",
        placed=tuple(Placed(rank=r, slot=s, host="a", pid=1, started="warm") for s, r in enumerate((0, 1, 1))),
    )
    diagnosis = msgspec.structs.replace(example().diagnoses[0], fixes=(fix,))
    text = to_text.render(example(diagnoses=(diagnosis,), world=world), color=False, width=100)
    assert "export RANK=0   # on rank 0" in text
    assert "export RANK=2   # on process 2 (which claims rank 1)" in text
    assert "export RANK=9   # on rank 9" in text
    assert "export A=b      # on ranks 0, 9" in text


def test_a_large_world_still_fits_one_screen() -> None:
    phases = tuple(
        RankPhase(rank=r, slot=r, phase=p, status="ok" if r else "failed", seconds=0.1)
        for r in range(64)
        for p in ("resolve", "store", "group")
    )
    proof = tuple(
        Connection(rank=r, local=f"a:{r}", remote=f"{c}:{r}", interface="eth0", purpose="data")
        for r in range(64)
        for c in "bc"
    )
    pairs = tuple(PairRow(rank=r, peer_rank=p, latency=1e-3, bandwidth=1e7) for r in range(64) for p in range(64))
    world = WorldReport(size=64, backend="gloo", proof=proof, pairs=pairs, distinct_processes=64)
    text = to_text.render(example(phases=phases, world=world), color=False, width=100)
    assert len(text.splitlines()) < 35
    text = to_text.render(
        example(phases=phases, world=world, verdict=Verdict.HEALTHY, diagnoses=()), color=False, width=100
    )
    assert len(text.splitlines()) < 20
    assert "128 data connections over eth0, of ranks 0-63" in text


def test_small_tools() -> None:
    assert spans((3, 1, 2, 7, 9, 10)) == "1-3, 7, 9, 10"
    assert spans(()) == ""
    assert [ranks_text(r) for r in ((), (1,), (1, 0), range(64))] == ["", "rank 1", "ranks 0, 1", "ranks 0-63"]
    assert visible("a\x1b[1m\x00\x85") == "a\\x1b[1m\\x00\\x85"
    assert wrap("", 9) == [""]
    assert wrap("one two  three-four five", 9, "> ", "  ") == ["> one two", "  three-four", "  five"]
    assert one_line("a\n  b\tc\r") == "a b c"
    assert len(one_line("x" * 900, 100)) == 100
    assert Exit(code=1).by_us is False


def test_ranks_that_show_the_same_are_one_observation() -> None:
    seen = tuple(Evidence(kind=EvidenceKind.PHASE, text="waits in phase store", rank=r) for r in range(8))
    diagnosis = msgspec.structs.replace(example().diagnoses[0], evidence=seen)
    text = to_text.render(example(diagnoses=(diagnosis,)))
    assert "  why         waits in phase store [ranks 0-7, phase]\n" in text
    assert text.count("waits in phase store") == 1


def test_candidates_that_share_their_evidence_show_it_once_and_are_not_called_found() -> None:
    first = msgspec.structs.replace(example().diagnoses[0], confidence=0.45)
    second = msgspec.structs.replace(first, cause="rank-missing", confidence=0.4)
    text = to_text.render(example(diagnoses=(first, second)))
    assert text.startswith("UNHEALTHY  2 ranks, gloo: perhaps interface-missing on rank 1, or another cause")
    assert text.count("the interfaces are lo, eth0") == 1
    assert "what is said for 1 fits this too" in text


def test_a_rank_that_was_not_forked_is_shown_with_the_reason() -> None:
    forked = Placed(rank=0, slot=0, host="a", pid=1, started="warm")
    fresh = Placed(rank=1, slot=1, host="a", pid=2, started="cold", started_why="a fresh interpreter, because X")
    text = to_text.render(example(world=WorldReport(size=2, backend="gloo", placed=(forked, fresh))))
    assert "  started     rank 0: forked from a process that had imported torch\n" in text
    assert "              rank 1: a fresh interpreter, because X\n" in text
    alike = WorldReport(size=2, backend="gloo", placed=(forked, forked))
    assert "started" not in to_text.render(example(world=alike))
    assert "every rank: forked" in to_text.render(example(world=alike, verdict=Verdict.HEALTHY, diagnoses=()))


def test_a_long_title_is_wrapped_and_keeps_its_code() -> None:
    diagnosis = msgspec.structs.replace(example().diagnoses[0], title="a long word " * 12)
    lines = to_text.render(example(diagnoses=(diagnosis,)), width=80).splitlines()
    assert max(map(len, lines[2:5])) <= 80
    assert any(line.endswith("[CC131 interface-missing]") for line in lines)
    assert "[CC131 interface-missing]" in to_text.render(example(diagnoses=(diagnosis,)), color=True, width=80)


def test_processes_that_claim_one_rank_are_told_apart_in_a_phase() -> None:
    rows = (
        RankPhase(rank=0, slot=0, phase="store", status="running", seconds=1.0),
        RankPhase(rank=0, slot=1, phase="store", status="failed", seconds=0.1),
    )
    text = to_text.render(example(phases=rows))
    assert "  store       not finished on process 0; failed on process 1\n" in text


def test_what_is_to_be_copied_stands_in_its_column_with_colour_too() -> None:
    plain = to_text.render(example(), color=False)
    colored = to_text.render(example(), color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_xml_names_the_rank_of_each_observation_and_the_command() -> None:
    text = to_junit.render(example())
    assert "why (rank 1, fact): the interfaces are lo, eth0" in text
    assert "  export GLOO_SOCKET_IFNAME=eth0   # on rank 1" in text


# --- for those who watch machines -----------------------------------------------------------------------------------------


@PROPERTY
@given(REPORTS)
def test_any_report_is_a_line_a_plugin_s_answer_and_metrics(report: Report) -> None:
    line = to_nhc.render(report)
    assert line.count("\n") == 1
    assert line.startswith(("OK: ", "ERROR: ", "NOT JUDGED: "))
    answer = to_nagios.render(report)
    assert answer.partition("\n")[0].count("|") == 1
    for row in to_prometheus.render(report).splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .*|[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? -?[0-9.e+-]+', row), row


def test_what_watchers_of_machines_get() -> None:
    report = example()
    said = "GLOO_SOCKET_IFNAME names an interface that is not there: nope0"
    assert to_nhc.render(report) == f"ERROR: commcheck: interface-missing: {said}\n"
    first, fix = to_nagios.render(report).splitlines()
    state, figures = first.split(" | ")
    assert state == f"COMMCHECK CRITICAL - 2 ranks, gloo: interface-missing on rank 1: {said}"
    assert figures == "time=1.400s ranks=2 store=0.020s group=1.000s"
    assert fix.startswith("do: Set the interface")
    metrics = to_prometheus.render(report)
    assert 'commcheck_verdict{verdict="unhealthy"} 1\n' in metrics
    assert 'commcheck_findings{cause="interface-missing",code="CC131",role="root"} 1\n' in metrics
    assert 'commcheck_phase_seconds{phase="group"} 1\n' in metrics


def test_what_could_not_be_judged_takes_no_node_out_of_service() -> None:
    codes = {form: [exit_code(v, form) for v in Verdict] for form in ("text", "nagios", "nhc")}
    assert list(Verdict) == [Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE]
    assert codes == {"text": [0, 1, 3], "nagios": [0, 2, 3], "nhc": [0, 1, 0]}
