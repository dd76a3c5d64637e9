"""When each host had done its part of a cluster's run: what was heard when becomes the report's steps."""

import msgspec
from made_clusters import cluster

from commcheck.cluster.rendering import rendered
from commcheck.cluster.steps import Watch, told
from commcheck.cluster.values import Timed
from commcheck.model.cluster import ClusterReport, Step


def test_the_host_that_was_waited_for_is_the_last_to_answer():
    step = Timed(name="reach", round=0, begun=103.0, seconds=2.5, heard={0: 0.4, 1: 2.5, 3: 0.5})
    start, reach = told((step,), 4, 100.0, there=(0, 1, 3))
    assert start == Step(name="start", begin=0.0, seconds=3.0, silent=(2,))
    assert reach.begin == 3.0
    assert reach.took == (0.4, 2.5, None, 0.5)
    assert reach.waited_for == (1,)


def test_both_ends_of_a_link_are_busy_and_a_silent_one_was_waited_for():
    heard = {0: 0.4, 1: 0.9}
    step = Timed(
        name="quiet", round=2, begun=100.0, seconds=5.0, heard=heard, pairs=((0, 3), (1, 2), (4, 5)), silent=(4,)
    )
    _, quiet = told((step,), 6, 100.0, there=range(6))
    assert quiet.took == (0.4, 0.9, 0.9, 0.4, None, None)
    assert quiet.waited_for == (4, 5)
    assert quiet.silent == (4,)
    _, quiet = told((msgspec.structs.replace(step, silent=()),), 6, 100.0, there=range(6))
    assert quiet.waited_for == (1, 2)


def test_nobody_was_waited_for_where_all_were_seen_at_the_same_look():
    step = Timed(name="facts", round=0, begun=100.0, seconds=2.0, heard={0: 1.999, 1: 2.0, 2: 1.998})
    assert told((step,), 3, 100.0, there=range(3))[1].waited_for == ()


def test_a_watch_tells_who_was_heard_when():
    watch = Watch()
    with watch.step((0, 1)) as note:
        note(1)
    watch.now("quiet", 3)
    with watch.step((0,), ((0, 1),)) as note:
        note(0)
    facts, quiet = watch.steps
    assert (facts.name, facts.round, facts.silent, list(facts.heard)) == ("facts", 0, (0,), [1])
    assert (quiet.name, quiet.round, quiet.silent, quiet.pairs) == ("quiet", 3, (), ((0, 1),))
    assert 0 <= facts.heard[1] <= facts.seconds
    assert facts.begun <= quiet.begun


def test_nothing_is_made_up_where_no_step_was_taken():
    assert told((), 3, 100.0, there=()) == ()


def test_steps_are_in_the_report_and_read_again():
    report = msgspec.structs.replace(
        cluster(3), steps=(Step(name="reach", begin=0.5, seconds=0.1, took=(0.1, None, 0.05)),)
    )
    assert msgspec.json.decode(rendered(report, "json"), type=ClusterReport).steps == report.steps
