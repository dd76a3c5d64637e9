"""The time-lines on the pages: what each rank and each host did when, whoever was waited for, at four and at thousands."""

import json
import random
import re
import time

import pytest
from browsing import dom, needs_browser, poked
from hypothesis import given, settings
from hypothesis import strategies as st
from made_clusters import cluster, host, with_steps
from msgspec.structs import replace

from commcheck.cluster import to_html
from commcheck.cluster.step_lanes import waited
from commcheck.model.cluster import Step
from commcheck.model.diagnosis import SCHEMA, RankPhase, Report, Verdict, WorldReport
from commcheck.model.phase import PHASES
from commcheck.report.lanes import FEW, LINES, drawn
from commcheck.report.phase_lanes import chart, late
from commcheck.report.to_html import render

TOGETHER = {"store", "group", "first-collective", "verify"}


def world(size, *, slow=None, stuck_at=None, broken=None, hosts=("a", "b")):
    """A report of a world whose rank `slow` starts 1.3 s after the others; at `stuck_at` all but `broken` stand still."""
    chance = random.Random(7)
    now = [chance.uniform(0, 0.04) + (1.3 if rank == slow else 0) for rank in range(size)]
    rows = []
    for phase in PHASES:
        ends = [t + chance.uniform(0.2, 0.3) for t in now]
        if phase in TOGETHER:
            ends = [max(ends)] * size
        for rank, begin in enumerate(now):
            status = "ok" if phase != stuck_at else "failed" if rank == broken else "running"
            seconds = 0.0 if status == "running" else ends[rank] - begin
            rows.append(RankPhase(rank=rank, slot=rank, phase=phase, status=status, seconds=seconds, begin=begin))
        if phase == stuck_at:
            break
        now = ends
    return Report(
        schema=SCHEMA,
        verdict=Verdict.INCONCLUSIVE,
        command=("commcheck",),
        versions={},
        world=WorldReport(size=size, backend="gloo", hosts=hosts, seconds=9.0 if stuck_at else max(now)),
        phases=tuple(sorted(rows, key=lambda r: r.rank)),
        diagnoses=(),
        not_evaluated=(),
        next=(),
        replay="",
        seconds=9.0,
    )


def spans(page):
    """The bars of each lane: left, width and classes."""
    return [
        re.findall(r'<i(?: class="([a-z ]+)")? style="left:([0-9.]+)%;width:([0-9.]+)%', lane)
        for lane in re.findall(r'<details class="lane".*?</summary>', page, re.DOTALL)
    ]


def held(page):
    """What the script is given."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page).group(1))


def test_each_rank_has_a_lane_with_its_phases_in_their_place():
    report = world(4, slow=2)
    lanes = spans(render(report))
    assert [len(lane) for lane in lanes] == [len(PHASES)] * 4
    end = report.world.seconds
    for rank, lane in enumerate(lanes):
        for row, (_, left, width) in zip((p for p in report.phases if p.rank == rank), lane, strict=True):
            assert float(left) == pytest.approx(100 * row.begin / end, abs=0.01)
            assert float(width) == pytest.approx(100 * row.seconds / end, abs=0.01)


def test_who_came_last_is_told_and_many_that_come_one_by_one_are_not():
    (found,) = late(chart(world(40, slow=7).phases, 0.0))
    assert (found.who, found.phases) == ("rank 7", ("resolve", "store"))
    assert found.seconds == pytest.approx(1.3, abs=0.15)
    spread = [RankPhase(rank=r, slot=r, phase="store", status="ok", seconds=1.0, begin=r * 0.3) for r in range(40)]
    assert late(chart(tuple(spread), 0.0)) == ()
    assert late(chart(world(4).phases, 0.0)) == ()


def test_who_stands_still_is_drawn_to_the_end_and_who_failed_is_not():
    page = render(world(4, stuck_at="group", broken=1))
    lanes = spans(page)
    for rank, lane in enumerate(lanes):
        classes, left, width = lane[-1]
        assert classes == ("bad" if rank == 1 else "open")
        assert (float(left) + float(width) > 99.9) == (rank != 1)
    assert "not finished" in page


def test_reports_without_times_have_no_time_line():
    """Those of earlier releases."""
    report = world(4)
    old = replace(report, phases=tuple(replace(p, begin=None) for p in report.phases))
    assert 'class="lanes' not in render(old)
    assert "<script" not in render(old)
    assert "lane" not in to_html.render(cluster(4)).partition("<body>")[2]


def test_two_processes_of_one_rank_have_two_lanes():
    report = world(3)
    shared = tuple(replace(p, rank=1) if p.rank == 2 else p for p in report.phases)
    assert chart(shared, 1.0).names == ("rank 0, process 0", "rank 1, process 1", "rank 1, process 2")


@pytest.mark.parametrize("size", [FEW + 1, 1024, 5000])
def test_of_many_ranks_the_straggler_is_on_the_picture(size):
    slow = size * 2 // 3
    made = drawn(chart(world(size, slow=slow).phases, 0.0))
    assert made.lanes == ()
    data = json.loads(made.json)
    assert len(data["names"]) == size
    assert slow in data["shown"]
    assert len(data["shown"]) <= LINES
    assert any(f"rank {slow}:" in text for _, text in made.marks)
    step = next(c for c in data["columns"] if c["name"] == "resolve")
    assert step["late"] == [slow]


def test_a_page_of_very_many_ranks_stays_small():
    begin = time.process_time()
    page = render(world(40_000, slow=30_000))
    print(f"40,000 ranks: {len(page) / 1e6:.1f} MB in {time.process_time() - begin:.1f} s of processor time")
    assert len(page) < 1e6
    data = held(page)
    assert "rank 30000" in data["names"]
    assert len(data["names"]) == len(data["shown"]) <= LINES


def test_each_host_has_a_lane_with_its_steps():
    report = with_steps(cluster(6), late=1, silent=3)
    lanes = spans(to_html.render(report))
    assert len(lanes) == 6
    steps = [s for s in report.steps if s.name != "start"]
    silent = next(n for n, s in enumerate(steps) if s.silent)
    assert [len(lane) for lane in lanes] == [
        sum(s.took[h] is not None or h in s.silent for s in steps) for h in range(6)
    ]
    assert lanes[3][silent][0].split() == ["late", "bad"]
    assert sum("late" in classes for classes, _, _ in lanes[1]) == sum(s.waited_for == (1,) for s in steps)


def test_the_hosts_that_were_waited_for_are_told_with_what_they_cost():
    first, second = waited(with_steps(cluster(6), late=1, silent=3))
    assert (first.host, first.steps, first.silent, first.most) == ("node0003", 1, True, "quiet, round 1")
    assert (second.host, second.silent) == ("node0001", False)
    assert second.seconds == pytest.approx(0.6 + 9 * 0.25, rel=0.3)
    assert waited(with_steps(cluster(6))) == ()


def test_a_thousand_hosts_have_a_time_line():
    bare = replace(cluster(2), hosts=tuple(map(host, range(1000))), reach=(), latency_us=(), gbit=(), gbit_loaded=())
    report = with_steps(bare, late=40, silent=17, rounds=128)
    page = to_html.render(report)
    print(f"1,000 hosts: {len(page) / 1e6:.1f} MB without the matrices")
    assert len(page) < 3e6
    data = held(page)
    assert len(data["columns"]) == len(report.steps) - 1
    assert {17, 40} <= {data["shown"][n] for n in (17 // 2, 40 // 2)}
    assert all(isinstance(c["begin"], int) for c in data["columns"])


NUMBERS = st.none() | st.floats(-1e9, 1e300)


@settings(max_examples=60)
@given(
    st.lists(
        st.builds(
            Step,
            name=st.text(max_size=9),
            begin=st.floats(-1e9, 1e300),
            seconds=st.floats(-1e9, 1e300),
            round=st.integers(-5, 5),
            took=st.lists(NUMBERS, max_size=50).map(tuple),
            waited_for=st.lists(st.integers(-9, 99), max_size=4).map(tuple),
            silent=st.lists(st.integers(-9, 99), max_size=4).map(tuple),
        ),
        max_size=6,
    ),
    st.sampled_from([0, 1, 3, 40]),
)
def test_any_steps_are_drawn(steps, hosts):
    """A report that was edited may hold anything."""
    to_html.render(replace(cluster(hosts), steps=tuple(steps))).encode()


@settings(max_examples=30)
@given(
    st.lists(
        st.builds(
            RankPhase,
            rank=st.integers(-3, 60),
            slot=st.integers(-3, 60),
            phase=st.sampled_from([*PHASES, "other", "<b>"]),
            status=st.sampled_from(["ok", "running", "failed", "<i>"]),
            seconds=st.floats(-1e9, 1e300),
            begin=NUMBERS,
        ),
        max_size=20,
    )
)
def test_any_phases_are_drawn(rows):
    page = render(replace(world(2), phases=tuple(rows)))
    assert "<b>" not in page
    page.encode()


def test_names_of_hosts_stay_text():
    evil = "</script><script>alert(1)</script>"
    for size in (4, 40):
        report = with_steps(cluster(size))
        named = replace(report, hosts=(replace(report.hosts[0], name=evil), *report.hosts[1:]))
        assert "alert(1)</script>" not in to_html.render(named)


# --- in a browser --------------------------------------------------------------------------------------------------------


@needs_browser
def test_a_rank_of_a_thousand_is_looked_up_in_a_browser(tmp_path):
    """With the keys, by its number, and by pointing; the page's policy lets its own script run, and nothing sticks out."""
    report = world(1024, slow=700)
    page = render(report)
    assert re.search(r'<html[^>]* data-lanes="ran"', dom(page, tmp_path)), "the page's own policy stops its script"
    body = poked(
        page,
        tmp_path,
        """
        const picture = document.querySelector(".lanes .picture"), say = document.body.dataset;
        const key = (name) => picture.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
        const now = () => document.querySelector(".found .now .who").textContent;
        key("ArrowDown"); key("ArrowDown"); say.down = now();
        key("End"); say.end = now();
        key("PageUp"); say.up = now();
        const find = document.querySelector(".find"); find.value = "700"; find.dispatchEvent(new Event("input"));
        say.found = now();
        say.rows = document.querySelectorAll(".found td:first-child").length;
        say.told = document.querySelector(".found table").textContent;
        const box = picture.getBoundingClientRect();
        picture.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + 2, clientY: box.top + box.height * 350.5 / 512 }));
        say.tip = document.querySelector(".lanes-tip").textContent;
        picture.focus(); say.focus = document.activeElement === picture;
        say.wide = document.documentElement.scrollWidth > innerWidth;""",
    )
    assert body["down"] == "rank 1"
    assert body["end"] == "rank 1023"
    assert body["up"] == "rank 991"
    assert body["found"] == "rank 700"
    assert int(body["rows"]) == len(PHASES)
    assert "came last" in body["told"]
    assert body["tip"].startswith("rank 700")
    assert "waiting" in body["tip"]
    assert (body["focus"], body["wide"]) == ("true", "false")


@needs_browser
def test_lanes_of_hosts_open_and_follow_the_filter_in_a_browser(tmp_path):
    look = """
        const say = document.body.dataset, filter = document.getElementById("filter");
        filter.value = "node0003"; filter.dispatchEvent(new Event("input"));
        say.many = [...document.querySelectorAll(".found .who")].map((e) => e.textContent).join();
        say.lanes = document.querySelectorAll("details.lane:not(.away)").length;
        const lane = document.querySelector("details.lane:not(.away)");
        if (lane) { lane.querySelector("summary").click(); say.high = lane.querySelector("table").getBoundingClientRect().height > 50; }
        say.bars = [...document.querySelectorAll(".lanes .track i")].filter((i) => i.getBoundingClientRect().width >= 2).length;
        say.wide = document.documentElement.scrollWidth > innerWidth;"""
    report = with_steps(cluster(4, dead=3), late=1)
    few = poked(to_html.render(report), tmp_path, look, width=420)
    assert (few["lanes"], few["high"], few["wide"]) == ("1", "true", "false")
    assert int(few["bars"]) >= len(report.steps) - 3
    many = poked(to_html.render(with_steps(cluster(60, dead=3), late=1)), tmp_path, look)
    assert (many["many"], many["lanes"], many["wide"]) == ("node0003", "0", "false")
