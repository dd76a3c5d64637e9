"""A cluster's report beside earlier ones: what is said to be worse is worse, and noise is not said at all."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_clusters import cluster
from msgspec.structs import replace

from commcheck.cli.cluster_history import begun
from commcheck.cluster import history
from commcheck.cluster.moved import changed
from commcheck.cluster.to_json import render
from commcheck.errors import InputError, UsageError
from commcheck.model.cluster import Reach


def runs(size, count, **given):
    return tuple(cluster(size, seed=n, begun=1e9 + n, **given) for n in range(count))


@pytest.mark.parametrize("earlier", [1, 2, 6])
@pytest.mark.parametrize("size", [2, 4, 24])
@pytest.mark.parametrize("noise", [0.01, 0.15])
def test_what_differs_from_run_to_run_is_no_change(size, earlier, noise):
    for seed in range(100, 105):
        new = cluster(size, seed=seed, noise=noise, begun=2e9)
        found = history.compare(runs(size, earlier, noise=noise), new)
        # Two hosts that were seen once show nothing of their noise; a fifth is then the bound, and all that there is.
        if size > 2 or noise < 0.1 or earlier > 2:
            assert found.changes == (), (seed, found.changes)


@pytest.mark.parametrize("earlier", [1, 3])
def test_a_host_that_got_slow_is_one_line_per_quantity_and_its_links_are_none(earlier):
    found = history.compare(runs(12, earlier), replace(cluster(12, seed=50, slow=5, begun=2e9), diagnoses=()))
    assert {(c.kind, c.what, c.where) for c in found.changes} == {
        ("worse", what, "node0005") for what in ("latency", "bandwidth", "bandwidth under load")
    }
    assert found.worse


@pytest.mark.parametrize("earlier", [1, 3])
def test_a_link_that_got_slow_is_named(earlier):
    found = history.compare(runs(12, earlier), replace(cluster(12, seed=50, link=(2, 7), begun=2e9), diagnoses=()))
    assert {c.where for c in found.changes} == {"node0002 -> node0007"}
    assert {c.kind for c in found.changes} == {"worse"}


def test_what_was_slow_and_is_not_got_better():
    found = history.compare(runs(12, 3, slow=5), cluster(12, seed=50, begun=2e9))
    assert {c.kind for c in found.changes} == {"better"}
    assert not found.worse


def test_what_all_hosts_do_alike_is_said_once():
    new = cluster(8, seed=50, begun=2e9)
    half = replace(new, gbit=tuple(tuple(v and v / 2 for v in row) for row in new.gbit))
    found = history.compare(runs(8, 3), half)
    assert [(c.kind, c.what, c.where) for c in found.changes] == [("worse", "bandwidth", "all hosts")]


def test_a_host_whose_history_is_restless_must_move_further():
    old = [{f"h{n}": 10.0 for n in range(8)} | {"h0": value} for value in (10.0, 5.0, 9.0, 4.0)]
    assert changed(old, {f"h{n}": 10.0 for n in range(8)} | {"h0": 4.2}) == ({}, 0.0)
    assert set(changed(old, {f"h{n}": 10.0 for n in range(8)} | {"h0": 1.0})[0]) == {"h0"}


def test_reach_is_told_with_what_it_was_before():
    fine, dead = cluster(6, seed=1, begun=1.0), cluster(6, seed=2, dead=3, begun=2.0)
    worse = history.compare((fine,), dead)
    assert (
        "worse",
        "reach",
        "node0000, node0001, node0002, node0004, node0005 -> node0003",
        "reached",
        "nothing came back",
    ) in {(c.kind, c.what, c.where, c.before, c.now) for c in worse.changes}
    better = history.compare((dead, fine, dead), replace(fine, begun=9.0))
    (reach,) = [c for c in better.changes if c.what == "reach"]
    assert reach.kind == "better"
    assert reach.before == "nothing came back (failed in 2 of 3 earlier runs)"


def test_hosts_that_come_go_or_fall_silent():
    before, after = cluster(4, seed=1, begun=1.0), cluster(5, seed=2, begun=2.0)
    assert [(c.kind, c.where) for c in history.compare((before,), after).changes] == [("new", "node0004")]
    assert [(c.kind, c.where) for c in history.compare((after,), before).changes] == [("gone", "node0004")]
    silent = replace(before, hosts=(*before.hosts[:3], replace(before.hosts[3], said_nothing=True)))
    assert [(c.kind, c.where, c.now) for c in history.compare((before,), silent).changes] == [
        ("worse", "node0003", "said nothing")
    ]


def test_hosts_in_another_order_are_the_same_hosts():
    old = cluster(6, seed=1, link=(0, 1))
    turned = [3, 1, 5, 0, 4, 2]

    def square(matrix):
        return tuple(tuple(matrix[a][b] for b in turned) for a in turned)

    new = replace(
        old,
        hosts=tuple(old.hosts[n] for n in turned),
        reach=tuple("".join(row) for row in square(old.reach)),
        latency_us=square(old.latency_us),
        gbit=square(old.gbit),
        gbit_loaded=square(old.gbit_loaded),
        begun=2e9,
    )
    assert history.compare((old,), new).changes == ()


def test_drift_from_a_baseline_names_the_hosts_and_what_it_was():
    base = cluster(4)
    facts = base.hosts[2].facts
    other = replace(facts, versions={**facts.versions, "torch": "2.12.0"})
    (drift,) = history.against(
        base, replace(base, hosts=(*base.hosts[:2], replace(base.hosts[2], facts=other), base.hosts[3]))
    )
    assert (drift.kind, drift.name, drift.baseline, drift.values) == (
        "version",
        "torch",
        "2.13.0",
        {"2.12.0": ("node0002",)},
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=40))
def test_folded_links_name_every_link_once(links):
    text = list(history.folded([(f"h{a}", f"h{b}") for a, b in links]))
    left = set(links)
    assert (text == []) == (left == set())
    assert len(text) <= len(left)


def test_a_directory_of_reports_is_read_in_the_order_of_time(tmp_path):
    for report in runs(3, 4):
        (tmp_path / history.file_name(report)).write_text(render(report))
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "note.txt").write_text("x")
    assert [r.begun for r in history.load(str(tmp_path))] == [1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3]
    assert min(path.name for path in tmp_path.glob("cluster-*")) == "cluster-20010909T014640Z.json"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "commcheck/cluster/1"}', '{"schema": 3}'])
def test_what_is_no_report_is_said(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        history.read(str(path))


def test_times(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert begun("2h", 10_000.0) == 2800.0
    assert begun("1970-01-02", 0.0) == 86_400.0
    with pytest.raises(UsageError, match="7d"):
        begun("last week", 0.0)


def test_a_letter_that_was_not_tried_says_nothing():
    fine = cluster(3, begun=1.0)
    untried = replace(fine, reach=tuple(row.replace(Reach.OK, Reach.NOT_TRIED) for row in fine.reach), begun=2.0)
    assert [c for c in history.compare((fine,), untried).changes if c.what == "reach"] == []
    assert [c for c in history.compare((untried,), fine).changes if c.what == "reach"] == []
