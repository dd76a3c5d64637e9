"""The rules about settings and limits: what they name, how sure they are, what they would set, and what they leave alone."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck import registry
from commcheck.catalog.env import known
from commcheck.diagnose.match import judge, static_rules
from commcheck.diagnose.rules.environment import env_malformed, env_missing, settings
from commcheck.model.case import (
    Case,
    Ended,
    HostFacts,
    Interface,
    Limit,
    LogLine,
    Origin,
    PhaseRecord,
    RankError,
    RankRecord,
    World,
)
from commcheck.model.diagnosis import Match, Verdict
from commcheck.model.phase import Phase, PhaseStatus
from commcheck.model.rule import Rule

MINE = {
    rule.cause: rule
    for package in ("environment", "limits")
    for rule in registry.exported(f"commcheck.diagnose.rules.{package}", "RULE", Rule)
}
JUDGED = tuple(listed for listed in static_rules() if listed.cause in MINE)
LAUNCHED = {"MASTER_ADDR": "node0", "MASTER_PORT": "29500", "RANK": "0", "WORLD_SIZE": "2"}


def static(**environment: str) -> Case:
    return Case(origin=Origin.STATIC, environment=environment)


def rank(
    slot: int, environment: dict[str, str], *, done: bool = False, error: str = "", output: str = ""
) -> RankRecord:
    phases = (Phase.TEARDOWN,) if done else ()
    return RankRecord(
        slot=slot,
        rank=settings.integer(environment.get("RANK")),
        world_size=settings.integer(environment.get("WORLD_SIZE")),
        host="a",
        environment=environment,
        phases=tuple(PhaseRecord(phase=p, status=PhaseStatus.OK, begin=0, seconds=0) for p in phases),
        error=RankError(phase=Phase.STORE, kind="ValueError", message=error) if error else None,
        output=(LogLine(source="stderr", number=1, text=output),) if output else (),
    )


def world(*environments: dict[str, str], done: bool = False, backend: str = "gloo", error: str = "") -> Case:
    return Case(
        origin=Origin.WORLD,
        world=World(size=len(environments), backend=backend, master_addr="127.0.0.1", master_port=29500),
        ranks=tuple(rank(slot, e, done=done, error=error) for slot, e in enumerate(environments)),
        ended=Ended.FINISHED if done else Ended.FAILED,
    )


def ask(cause: str, case: Case) -> Match | None:
    judge_it = MINE[cause].match
    assert judge_it is not None
    return judge_it(case)


def test_all_causes_are_here_with_stable_codes() -> None:
    assert {rule.code: cause for cause, rule in MINE.items()} == {
        "CC101": "env-missing",
        "CC102": "env-malformed",
        "CC103": "env-unknown",
        "CC104": "env-conflict",
        "CC105": "env-differs-between-ranks",
        "CC106": "launcher-mismatch",
        "CC107": "port-out-of-range",
        "CC108": "rank-out-of-range",
        "CC121": "fd-limit",
        "CC122": "process-limit",
        "CC123": "memlock-limit",
        "CC124": "shm-too-small",
    }


@pytest.mark.parametrize("rule", MINE.values(), ids=list(MINE))
def test_signatures_match_their_positive_and_not_their_negative(rule) -> None:
    for s in rule.signatures:
        assert re.search(s.pattern, s.positive)
        assert not re.search(s.pattern, s.negative)
        assert s.literal
        assert s.literal == s.literal.lower()
        assert any(literal in s.positive.lower() for literal in s.literal.split(" | "))


def test_manual_pages_have_their_headings() -> None:
    for package in ("environment", "limits"):
        for module in registry.modules(f"commcheck.diagnose.rules.{package}"):
            if hasattr(module, "RULE"):
                for heading in ("What you see", "Why it happens", "How to fix", "How to confirm"):
                    assert f"**{heading}**" in (module.__doc__ or ""), module.__name__


def test_a_plain_shell_is_healthy() -> None:
    judgement = judge(static(OMP_NUM_THREADS="4", CUDA_VISIBLE_DEVICES="0,1"), JUDGED)
    assert judgement.verdict is Verdict.HEALTHY
    assert judgement.diagnoses == ()


def test_a_launched_process_is_healthy() -> None:
    case = static(**LAUNCHED, LOCAL_RANK="0", LOCAL_WORLD_SIZE="2", TORCHELASTIC_RUN_ID="x", GROUP_WORLD_SIZE="1")
    assert judge(case, JUDGED).diagnoses == ()


@pytest.mark.parametrize("name", ["MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"])
@pytest.mark.parametrize("empty", [False, True])
def test_env_missing_names_the_variable(name, empty) -> None:
    environment = {k: v for k, v in LAUNCHED.items() if k != name} | ({name: ""} if empty else {})
    found = ask("env-missing", static(**environment))
    assert found is not None
    assert found.title == f"{name} is {'empty' if empty else 'not set'}"
    assert found.confidence >= 0.95
    assert name in {"RANK", "MASTER_ADDR", "WORLD_SIZE"} or found.fixes[0].set == {name: "29500"}


def test_env_missing_is_doubtful_where_a_launcher_may_follow() -> None:
    found = ask("env-missing", static(MASTER_ADDR="node0", MASTER_PORT="29500"))
    assert found is not None
    assert found.confidence < 0.5


def test_env_missing_takes_the_value_of_the_others_and_names_the_rank() -> None:
    second = {k: v for k, v in LAUNCHED.items() if k != "MASTER_PORT"} | {"RANK": "1"}
    found = ask("env-missing", world(LAUNCHED | {"MASTER_PORT": "29777"}, second))
    assert found is not None
    assert found.ranks == (1,)
    assert found.fixes[0].set == {"MASTER_PORT": "29777"}
    assert found.fixes[0].applies_to_ranks == (1,)


def test_env_missing_gives_the_free_rank_number_by_slot() -> None:
    found = ask("env-missing", world(LAUNCHED, {k: v for k, v in LAUNCHED.items() if k != "RANK"}))
    assert found is not None
    assert found.fixes[0].rank_set == {"1": {"RANK": "1"}}


def test_env_missing_knows_a_misspelling() -> None:
    environment = {"MASTER_ADR": "node0", "MASTER_PORT": "29500", "RANK": "0", "WORLD_SIZE": "2"}
    found = ask("env-missing", static(**environment))
    assert found is not None
    assert "MASTER_ADR" in found.title
    assert found.fixes[0].set == {"MASTER_ADDR": "node0"}
    assert found.fixes[0].unset == ("MASTER_ADR",)
    assert ask("env-unknown", static(**environment)) is None


def test_env_missing_is_silent_once_the_rank_met_the_store() -> None:
    met = PhaseRecord(phase=Phase.STORE, status=PhaseStatus.OK, begin=0, seconds=0)
    record = RankRecord(slot=0, rank=None, world_size=None, host="a", environment={"RANK": "0"}, phases=(met,))
    assert ask("env-missing", Case(origin=Origin.JOINED, ranks=(record,))) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MASTER_PORT", "abc"),
        ("RANK", "1.0"),
        ("WORLD_SIZE", "two"),
        ("WORLD_SIZE", "0"),
        ("WORLD_SIZE", "-2"),
        ("MASTER_ADDR", "tcp://node0"),
        ("MASTER_ADDR", "node0:29500"),
        ("TORCH_GLOO_LAZY_INIT", "maybe"),
        ("TORCH_GLOO_LAZY_INIT", ""),
        ("TORCH_FR_BUFFER_SIZE", "abc"),
        ("TORCH_DISTRIBUTED_DEBUG", "LOUD"),
        ("GLOO_DEVICE_TRANSPORT", "RDMA"),
        ("GLOO_SOCKET_IFNAME", "=lo"),
        ("GLOO_SOCKET_IFNAME", "eth0, eth1"),
        ("TORCH_NCCL_BLOCKING_WAIT", "perhaps"),
    ],
)
def test_env_malformed_finds_what_stops_a_job(name, value) -> None:
    found = ask("env-malformed", static(**(LAUNCHED | {name: value})))
    assert found is not None
    assert found.title.startswith(f"{name}={value} is not ")
    assert found.confidence >= 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RANK", " 0 "),
        ("MASTER_ADDR", "fd00::2"),
        ("MASTER_ADDR", "10.0.0.1"),
        ("TORCH_GLOO_LAZY_INIT", "True"),
        ("TORCH_FR_BUFFER_SIZE", "5abc"),  # std::stoi reads 5
        ("TORCH_DISTRIBUTED_DEBUG", "detail"),
        ("GLOO_SOCKET_IFNAME", ""),
        ("GLOO_SOCKET_IFNAME", "lo,"),
        ("USE_LIBUV", "x"),
        ("NCCL_SOCKET_IFNAME", "^docker,=lo"),
        ("NCCL_DEBUG", "info"),
        ("NCCL_DEBUG_SUBSYS", "^init,NET"),
        ("NCCL_BUFFSIZE", "0x400000"),
        ("OMP_NUM_THREADS", "4,2"),
        ("MASTER_PORT", "70000"),  # that is port-out-of-range
    ],
)
def test_env_malformed_leaves_good_values_alone(name, value) -> None:
    assert ask("env-malformed", static(**(LAUNCHED | {name: value}))) is None


def test_env_malformed_is_doubtful_where_the_reader_shrugs() -> None:
    found = ask("env-malformed", static(NCCL_DEBUG="verbose", OMP_WAIT_POLICY="never"))
    assert found is not None
    assert found.confidence < 0.5


@pytest.mark.parametrize("port", ["70000", "-5", "0", "65536"])
def test_port_out_of_range(port) -> None:
    found = ask("port-out-of-range", static(**(LAUNCHED | {"MASTER_PORT": port})))
    assert found is not None
    assert found.confidence >= 0.95
    assert found.fixes[0].set == {"MASTER_PORT": "29500"}


@pytest.mark.parametrize("port", ["1", "29500", "65535", "abc", ""])
def test_port_in_range(port) -> None:
    assert ask("port-out-of-range", static(**(LAUNCHED | {"MASTER_PORT": port}))) is None


def test_rank_out_of_range_gives_the_missing_number() -> None:
    found = ask("rank-out-of-range", world(LAUNCHED, LAUNCHED | {"RANK": "5"}))
    assert found is not None
    assert found.ranks == (5,)
    assert found.title == "RANK=5 is not one of 0 to 1 on rank 5"
    assert found.fixes[0].rank_set == {"1": {"RANK": "1"}}
    assert found.fixes[0].changes_settings_only


def test_rank_out_of_range_does_not_guess() -> None:
    found = ask("rank-out-of-range", world(LAUNCHED | {"RANK": "5"}, LAUNCHED | {"RANK": "-1"}))
    assert found is not None
    assert all(not fix.rank_set for fix in found.fixes)


def test_env_unknown_never_breaks_a_world_that_works() -> None:
    misspelt = LAUNCHED | {"GLOO_SOCKET_IFACE": "eth0"}
    for case in (world(misspelt, misspelt | {"RANK": "1"}, done=True), static(**misspelt)):
        found = ask("env-unknown", case)
        assert found is not None
        assert found.confidence < 0.5
        assert found.fixes[0].set == {"GLOO_SOCKET_IFNAME": "eth0"}
    failed = ask("env-unknown", world(misspelt, misspelt | {"RANK": "1"}))
    assert failed is not None
    assert failed.confidence >= 0.5


def test_env_unknown_knows_the_obsolete() -> None:
    found = ask("env-unknown", static(NCCL_IB_CUDA_SUPPORT="1"))
    assert found is not None
    assert "NCCL_NET_GDR_LEVEL" in found.title


@pytest.mark.parametrize(
    "environment",
    [
        {"TORCHELASTIC_USE_AGENT_STORE": "True"},
        {"NCCL_NET": "IB", "NCCL_IB_DISABLE": "1"},
        {"LOCAL_RANK": "4", "LOCAL_WORLD_SIZE": "4"},
        {"LOCAL_WORLD_SIZE": "4"},
        {"MASTER_ADDR": "localhost", "SLURM_NNODES": "2"},
    ],
)
def test_env_conflict(environment) -> None:
    found = ask("env-conflict", static(**(LAUNCHED | environment)))
    assert found is not None
    assert found.confidence >= 0.5


@pytest.mark.parametrize("name", ["TORCH_DISTRIBUTED_DEBUG", "TORCH_GLOO_LAZY_INIT"])
def test_env_differs_names_the_odd_rank(name) -> None:
    value = "DETAIL" if name.endswith("DEBUG") else "1"
    odd = LAUNCHED | {"RANK": "1", name: value}
    found = ask("env-differs-between-ranks", world(LAUNCHED, odd, LAUNCHED | {"RANK": "2"}))
    assert found is not None
    assert found.ranks == (1,)
    assert found.fixes[0].unset == (name,)
    assert found.confidence >= 0.75


def test_env_differs_knows_what_is_the_same() -> None:
    same = LAUNCHED | {"RANK": "1", "TORCH_DISTRIBUTED_DEBUG": "INFO", "TORCH_GLOO_LAZY_INIT": "false"}
    assert ask("env-differs-between-ranks", world(LAUNCHED, same)) is None
    nccl_alone = LAUNCHED | {"RANK": "1", "NCCL_PROTO": "LL"}
    assert ask("env-differs-between-ranks", world(LAUNCHED, nccl_alone)) is None
    assert ask("env-differs-between-ranks", world(LAUNCHED, nccl_alone, backend="nccl")) is not None


def test_launcher_mismatch_sees_a_world_of_one_in_every_task() -> None:
    found = ask("launcher-mismatch", static(RANK="0", WORLD_SIZE="1", SLURM_PROCID="3", SLURM_NTASKS="4"))
    assert found is not None
    assert found.confidence >= 0.5
    assert found.fixes[0].commands == ("export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS",)


def test_launcher_mismatch_lets_torchrun_inside_srun_be() -> None:
    inside = {"TORCHELASTIC_RUN_ID": "x", "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "GROUP_WORLD_SIZE": "2"}
    assert ask("launcher-mismatch", static(**LAUNCHED, **inside, SLURM_NNODES="2")) is None
    alone = inside | {"GROUP_WORLD_SIZE": "1"}
    assert ask("launcher-mismatch", static(**LAUNCHED, **alone, SLURM_NNODES="2")) is not None


def limited(name: str, soft: int, **facts) -> HostFacts:
    return HostFacts(host="a", limits=(Limit(name=name, soft=soft, hard=4096),), **facts)


@pytest.mark.parametrize(
    ("cause", "host"),
    [("fd-limit", limited("nofile", 32)), ("process-limit", limited("nproc", 8))],
)
def test_small_limits(cause, host) -> None:
    found = ask(cause, Case(origin=Origin.STATIC, hosts=(host,)))
    assert found is not None
    assert found.confidence >= 0.5
    assert not found.fixes[-1].changes_settings_only


def test_ordinary_limits_are_fine() -> None:
    roomy = tuple(Limit(name=n, soft=s, hard=-1) for n, s in (("nofile", 1024), ("nproc", 96000), ("memlock", 65536)))
    case = Case(origin=Origin.STATIC, hosts=(HostFacts(host="a", limits=roomy, shm_bytes=8 << 30),))
    assert judge(case, JUDGED).diagnoses == ()


def test_memlock_matters_with_infiniband_alone() -> None:
    host = limited(
        "memlock", 65536, interfaces=(Interface(name="ib0", up=True, carrier=True, loopback=False, mtu=2044),)
    )
    seen = ask("memlock-limit", Case(origin=Origin.STATIC, hosts=(host,)))
    assert seen is not None
    assert seen.confidence < 0.5
    asked = ask("memlock-limit", Case(origin=Origin.STATIC, hosts=(host,), environment={"NCCL_NET": "IB"}))
    assert asked is not None
    assert asked.confidence >= 0.5


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("fd-limit", "OSError: [Errno 24] Too many open files"),
        ("process-limit", "RuntimeError: can't start new thread"),
        ("memlock-limit", "Call to ibv_reg_mr failed with error Cannot allocate memory"),
        ("shm-too-small", "Error while creating shared memory segment /dev/shm/nccl-x"),
    ],
)
def test_a_rank_that_met_a_limit_is_named(cause, text) -> None:
    said = rank(1, LAUNCHED | {"RANK": "1"}, output=text)
    found = ask(cause, Case(origin=Origin.WORLD, ranks=(rank(0, LAUNCHED), said), ended=Ended.FAILED))
    assert found is not None
    assert found.ranks == (1,)
    assert found.confidence >= 0.9
    assert found.evidence[0].text == text


@given(st.sampled_from(sorted(known())), st.text(max_size=60))
def test_any_value_of_any_variable_is_judged_without_an_exception(name, value) -> None:
    env_malformed.expectation(known()[name], value)
    case = static(**(LAUNCHED | {name: value}))
    both = world(LAUNCHED, LAUNCHED | {"RANK": "1", name: value})
    for rule in MINE.values():
        assert rule.match is not None
        for judged in (rule.match(case), rule.match(both)):
            assert judged is None or 0 <= judged.confidence <= 1


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_any_environment_is_judged_without_an_exception(environment) -> None:
    judgement = judge(Case(origin=Origin.STATIC, environment=environment), JUDGED)
    assert not any("crashed" in reason for reason in judgement.not_evaluated)


def test_required_is_what_torch_reads() -> None:
    assert env_missing.REQUIRED == ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")


def test_lint_takes_options_for_the_environment() -> None:
    from commcheck.cli.lint import notes, settings

    chosen = settings({"RANK": "0", "HOME": "/x", "NCCL_DEBUG": "INFO"}, ["NCCL_DEBUG=", "MY_OWN=1"], "node0", "70000")
    assert chosen == {"RANK": "0", "MASTER_ADDR": "node0", "MASTER_PORT": "70000", "MY_OWN": "1"}
    assert "MASTER_ADDR" in notes({})[0]
    assert notes(LAUNCHED) == ()


@pytest.mark.parametrize("change", ["RANK", "=1", " RANK=1"])
def test_lint_refuses_what_is_no_setting(change) -> None:
    from commcheck.cli.lint import settings
    from commcheck.errors import UsageError

    with pytest.raises(UsageError, match="NAME=VALUE"):
        settings({}, [change])
