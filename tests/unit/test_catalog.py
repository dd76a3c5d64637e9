"""The catalogue: complete, consistent, cheap, and never surprised by a name or value."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.catalog import env
from commcheck.catalog.env import edit_distance, gloo, launchers, nccl, nearest, pytorch, read_at_import, system
from commcheck.catalog.env.interactions import INTERACTIONS, interactions
from commcheck.catalog.env.select import REMOVED, relevant
from commcheck.catalog.fixes import COUNTS, FIXES, frequency
from commcheck.catalog.symptoms import SYMPTOMS, row
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

TABLES = (pytorch, gloo, nccl, launchers, system)


def test_symptoms_are_thirty_and_sum_to_the_study() -> None:
    assert [r.id for r in SYMPTOMS] == list(Symptom)
    assert sum(r.faults for r in SYMPTOMS) == 637
    assert sum(r.distributed for r in SYMPTOMS) == 569
    assert [sum(r.frameworks[i] for r in SYMPTOMS) for i in range(4)] == [321, 147, 110, 62]


@pytest.mark.parametrize(
    ("stage", "faults"), [(Stage.BUILD, 82), (Stage.SETUP, 133), (Stage.PREPARATION, 57), (Stage.TRAINING, 365)]
)
def test_stages_sum_to_the_study(stage, faults) -> None:
    assert sum(r.faults for r in SYMPTOMS if r.stage is stage) == faults


def test_fix_patterns_are_seventeen_and_counts_fit_their_symptom() -> None:
    assert [f.pattern for f in FIXES] == list(FixPattern)
    assert set(COUNTS) == set(Symptom)
    for symptom, pairs in COUNTS.items():
        patterns = [p for p, _ in pairs]
        assert len(patterns) == len(set(patterns))
        assert all(0 < n <= row(symptom).faults for _, n in pairs)
        assert [n for _, n in pairs] == sorted((n for _, n in pairs), reverse=True)
    for fix in FIXES:
        total = sum(n for pairs in COUNTS.values() for p, n in pairs if p is fix.pattern)
        assert fix.faults is None or total <= fix.faults


def test_frequency_says_it_in_words_and_nothing_when_unknown() -> None:
    told = frequency(Symptom.SETUP_FAILURE, FixPattern.COMMUNICATION_CONFIGURATION)
    assert told == "31 of the study's 85 setup failures"
    assert not frequency(Symptom.PERF_NON_CONVERGENCE, FixPattern.NETWORK_SETTING)


def test_variables_are_named_once_and_rows_make_sense() -> None:
    names = [r.name for table in TABLES for r in table.ROWS]
    assert len(names) == len(set(names)) == len(env.known())
    for entry in env.known().values():
        assert entry.meaning.endswith(".")
        assert entry.source
        assert bool(entry.choices) == (entry.kind is env.Kind.ENUM)
        assert entry.low is None or entry.high is None or entry.low <= entry.high
        assert not entry.instead or entry.instead in env.known()


@pytest.mark.parametrize(
    "name", ["TORCH_DISTRIBUTED_DEBUG", "TORCH_CPP_LOG_LEVEL", "OMP_NUM_THREADS", "LD_PRELOAD", "PYTHONUNHEARDOF"]
)
def test_read_at_import(name) -> None:
    assert read_at_import(name)


@pytest.mark.parametrize(
    "name",
    ["GLOO_SOCKET_IFNAME", "GLOO_DEVICE_TRANSPORT", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK",
     "NCCL_SOCKET_IFNAME", "MY_OWN"],
)  # fmt: skip
def test_keeps_its_effect_after_import(name) -> None:
    assert not read_at_import(name)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("GLOO_SOCKET_IFACE", "GLOO_SOCKET_IFNAME"),
        ("MASTER_ADR", "MASTER_ADDR"),
        ("master_port", "MASTER_PORT"),
        ("WORLDSIZE", "WORLD_SIZE"),
        ("NCCL_IFNAME_SOCKET", "NCCL_SOCKET_IFNAME"),
        ("NCCL_SOKCET_IFNAME", "NCCL_SOCKET_IFNAME"),
        ("NCCL_IB_DISABLED", "NCCL_IB_DISABLE"),
        ("GLOO_SOCKET_TIMEOUT", None),
        ("HOME", None),
    ],
)
def test_nearest(typed, meant) -> None:
    assert nearest(typed) == meant


@given(st.text(max_size=40))
def test_nearest_never_raises(name) -> None:
    found = nearest(name)
    assert found is None or found in env.known()


@given(st.text("ABC_", max_size=12), st.text("ABC_", max_size=12))
def test_edit_distance_is_symmetric_and_bounded(left, right) -> None:
    distance = edit_distance(left, right, 12)
    assert distance == edit_distance(right, left, 12)
    assert abs(len(left) - len(right)) <= distance <= max(len(left), len(right))
    assert (distance == 0) == (left == right)
    assert edit_distance(left, right, 2) == min(distance, 3)


def test_secrets_and_strangers_stay_out() -> None:
    chosen = relevant(
        {
            "RANK": "0",
            "WORLDSIZE": "2",
            "NCCL_PROXY_TOKEN": "abc",
            "NCCL_NET_PLUGIN": "s3://user:pw@host/x",
            "SLURM_JWT": "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0",
            "HF_TOKEN": "hf_x",
            "HOME": "/home/x",
            "https_proxy": "http://a:b@proxy",
        }
    )
    assert chosen["RANK"] == "0"
    assert chosen["WORLDSIZE"] == "2"
    assert {n for n, v in chosen.items() if v == REMOVED} == {
        "NCCL_PROXY_TOKEN", "NCCL_NET_PLUGIN", "SLURM_JWT", "https_proxy",
    }  # fmt: skip
    assert "HF_TOKEN" not in chosen
    assert "HOME" not in chosen


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=60), max_size=6))
def test_relevant_never_raises(environ) -> None:
    assert set(relevant(environ)) <= set(environ)


def test_the_catalogue_imports_nothing_heavy() -> None:
    code = (
        "import sys, commcheck.catalog.env as e, commcheck.catalog.symptoms, commcheck.catalog.fixes; e.known();"
        "bad = {'torch','psutil','hypothesis','dataclasses','rich','pathlib','socket'} & set(sys.modules); print(bad)"
    )
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.strip() == "set()"


def test_every_id_has_a_page(capsys) -> None:
    from commcheck.cli import explain
    from commcheck.report.page import page_text

    listing = explain.listing()
    ids = [x["id"] for kind in ("symptoms", "causes", "fixes") for x in listing[kind]] + list(env.known())
    ids += [x["code"] for x in listing["causes"]]
    for wanted in ids:
        page = explain.explain(wanted)
        assert wanted in (page["id"], page.get("code"))
        text = page_text(page, 80)
        assert text.startswith(f"{page['code']} {page['id']}" if "code" in page else page["id"])
        assert "**What you see" not in text


@pytest.mark.parametrize(
    ("wanted", "near"), [("env-mising", "env-missing"), ("NCCL_SOKET_IFNAME", "NCCL_SOCKET_IFNAME")]
)
def test_an_unknown_id_names_the_nearest(wanted, near) -> None:
    from commcheck.cli import explain
    from commcheck.errors import UsageError

    with pytest.raises(UsageError, match=near):
        explain.explain(wanted)


def test_explain_writes_json(capsys) -> None:
    import argparse
    import json

    from commcheck.cli import explain

    assert explain.run(argparse.Namespace(id="setup-failure", format="json", output=None)) == 0
    page = json.loads(capsys.readouterr().out)
    assert page["faults"] == 85
    assert page["fixes"][0] == {
        "pattern": "fix-communication-configuration",
        "count": 31,
        "frequency": "31 of the study's 85 setup failures",
    }


# The causes that a report may name: a contract with its readers, so none is renamed or taken away.
_CAUSES = """
env-missing env-malformed env-unknown env-conflict env-differs-between-ranks launcher-mismatch
port-out-of-range port-in-use port-mismatch port-dropped port-refused wrong-service-on-port stale-store
host-unresolvable host-resolves-to-loopback host-resolves-differently wrong-master-host rank-missing rank-duplicate
rank-out-of-range world-size-mismatch init-method-mismatch store-timeout-too-short reverse-dns-slow
address-family-mismatch
interface-missing interface-down interface-without-address interface-loopback interface-unroutable
interface-differs-between-ranks route-missing data-ports-dropped data-ports-refused one-way-blocked mtu-mismatch
nccl-no-interface nccl-comm-id nccl-address-unreachable nccl-config-file nccl-plugin-missing nccl-no-rdma
link-flapping link-lossy link-slow address-order-dependent neighbour-silent neighbour-wrong partition duplicate-address port-range-exhausted
backend-unknown backend-not-built backend-mismatch library-missing version-mismatch driver-mismatch
transport-fallback transport-unavailable op-unsupported build-failure
device-missing device-ordinal-out-of-range device-shared-by-ranks local-rank-unused peer-access-broken device-fault
fd-limit process-limit memlock-limit shm-too-small memory-exhausted disk-full
rank-exited rank-crashed rank-killed rank-oom-killed rank-stopped rank-straggling script-error launcher-failure
ssh-failure
collective-order-mismatch collective-shape-mismatch collective-dtype-mismatch collective-op-mismatch
collective-missing-rank collective-group-mismatch uneven-inputs wrong-device-for-backend unused-parameters
timeout-too-short teardown-noise process-group-misuse wrong-values fork-or-pickle
unclassified
"""
CAUSES = _CAUSES.split()


def test_every_cause_of_the_catalogue_is_explained() -> None:
    from commcheck.cli import explain
    from commcheck.report.page import page_text

    assert sorted(CAUSES) == sorted(c["id"] for c in explain.listing()["causes"])
    for cause in CAUSES:
        page = explain.explain(cause)
        assert page["kind"] == "cause"
        assert bool(page["fixes"]) == (cause != "unclassified"), cause
        text = page_text(page, 100)
        for heading in ("WHAT YOU SEE", "WHY IT HAPPENS", "HOW TO FIX", "HOW TO CONFIRM"):
            assert f"\n{heading}\n" in text, f"{cause}: {heading}"


def test_the_usual_causes_of_a_symptom_name_it_too() -> None:
    """A symptom's page lists its causes, and a cause's page its symptoms: neither may say what the other does not."""
    from commcheck.diagnose.match import rules

    symptoms = {rule.cause: rule.symptoms for rule in rules()}
    assert [(r.id.value, c) for r in SYMPTOMS for c in r.causes if r.id not in symptoms[c]] == []
    assert all(len(set(shown)) == len(shown) > 0 for shown in symptoms.values())


def test_pages_name_only_what_exists() -> None:
    from commcheck.cli import explain

    known = set(CAUSES)
    for symptom in Symptom:
        page = explain.explain(symptom.value)
        named = {c["id"] for c in (*page["causes"], *page["other_causes"])}
        assert named <= known, symptom
    for cause in CAUSES:
        assert set(explain.explain(cause)["explains"]) <= known, cause


def test_a_page_shows_the_lines_of_logs_that_its_cause_shares_with_others() -> None:
    from commcheck.cli import explain
    from commcheck.report.page import WORDINGS, page_text

    page = explain.explain("port-dropped")
    weights = [w["weight"] for w in page["wordings"]]
    assert weights == sorted(weights, reverse=True)
    assert len(weights) > WORDINGS
    text = page_text(page, 100)
    assert "The client socket has timed out after" in text
    assert f"and {len(weights) - WORDINGS} more" in text


def test_pages_keep_to_the_width() -> None:
    from commcheck.cli import explain
    from commcheck.report.page import page_text

    for wanted in ("setup-failure", "port-dropped", "fix-network-setting", "NCCL_SOCKET_IFNAME"):
        assert max(map(len, page_text(explain.explain(wanted), 80).splitlines())) <= 80


def test_interactions_are_of_variables_that_there_are() -> None:
    for found in INTERACTIONS:
        assert len(set(found.names)) == len(found.names) > 1
        assert all(env.lookup(name) is not None for name in found.names)
        assert found.effect.endswith(".")
        assert found.source
    assert INTERACTIONS[0] in interactions("MASTER_PORT")
