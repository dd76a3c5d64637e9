"""`commcheck cluster` by group testing, between virtual hosts: few links are timed, what is bad is found, and what was not
measured is said."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
from faulty import made

from commcheck.cluster.group_testing import PAIRS
from commcheck.cluster.inlab import measured
from commcheck.cluster.judge import report
from commcheck.cluster.lead import Options
from commcheck.lab.lab import Lab
from commcheck.model.cluster import Reach
from commcheck.model.diagnosis import Verdict
from commcheck.model.topology import Topology

FEW = 4
"""Hosts up to which every pair would be timed here."""


@contextmanager
def slow_link(lab, a, b, rate):
    """What one host sends to one other is capped; all else is as it was."""
    device = ["dev", "eth0"]
    to = ["match", "ip", "dst", f"10.77.0.{10 + b}/32"]
    for words in (
        ["qdisc", "add", *device, "root", "handle", "1:", "htb", "default", "1"],
        ["class", "add", *device, "parent", "1:", "classid", "1:1", "htb", "rate", "100gbit"],
        ["class", "add", *device, "parent", "1:", "classid", "1:2", "htb", "rate", rate],
        ["filter", "add", *device, "parent", "1:", "protocol", "ip", "u32", *to, "flowid", "1:2"],
    ):
        lab[a].command(["tc", *words])
    try:
        yield
    finally:
        lab[a].command(["tc", "qdisc", "del", *device, "root"])


def checked(hosts, fault):
    with Lab(Topology(hosts=hosts)) as lab, fault(lab):
        begun = time.time()
        found = measured(lab, lambda _: None, Options(all_pairs_up_to=FEW))
        done = report(found, command=("commcheck", "cluster"), begun=begun, seconds=time.time() - begun)
    print(
        f"{hosts} hosts: {done.seconds:.1f} s, {done.rounds} rounds; {found.isolated}; {[d.title for d in done.diagnoses]}"
    )
    timed = sum(x is not None for row in done.latency_us for x in row) // 2
    assert hosts // 2 * PAIRS - 1 <= timed < hosts * (hosts - 1) // 2
    assert any(f"of {hosts * (hosts - 1) // 2} links: not measured" in text for text in done.not_evaluated)
    return done


LINK = partial(slow_link, a=2, b=7, rate="20mbit")
FAULTS = {
    "slow link": (LINK, "link-slow", ("h2", "h7")),
    "slow host": (partial(made, kind="bandwidth", hosts=(3,), rate="20mbit"), "link-slow", ("h3",)),
    "dead port range": (partial(made, kind="drop", hosts=(5,), ports="40000-50000"), "data-ports-dropped", ("h5",)),
    "lossy link": (partial(made, kind="loss", hosts=(2,), percent=2), "link-lossy", ("h2",)),
    "dead host": (partial(made, kind="drop", hosts=(4,)), "one-way-blocked", ("h4",)),
}
WHOLE = pytest.mark.whole


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        pytest.param("slow link", 8),
        *(pytest.param(name, hosts, marks=[WHOLE]) for name in FAULTS for hosts in (12, 16)),
    ],
)
def test_a_fault_is_found_among_links_of_which_few_are_timed(cores, name, hosts):
    fault, cause, where = FAULTS[name]
    with cores(alone=True):
        done = checked(hosts, fault)
    assert [(d.cause, set(d.hosts)) for d in done.diagnoses] == [(cause, set(where))]
    assert done.bad_hosts == (where if len(where) == 1 else ())
    links = {(k.source, k.target) for k in done.diagnoses[0].links}
    assert links == {("h2", "h7")} if name == "slow link" else all(where[0] in k for k in links)


@pytest.mark.whole
@pytest.mark.parametrize("hosts", [12, 13, 16])
def test_hosts_in_order_are_called_so(cores, hosts):
    with cores(alone=True):
        done = checked(hosts, lambda _: nullcontext())
    assert (done.verdict, done.diagnoses) == (Verdict.HEALTHY, ())
    assert [row.count(Reach.OK) for row in done.reach] == [hosts - 1] * hosts, "every link was part of a test"


@pytest.mark.whole
def test_the_command_takes_the_number_of_hosts_and_says_how_it_went(cores, tmp_path):
    lab = tmp_path / "lab.toml"
    lab.write_text('lab.hosts = 12\n[[fault]]\nkind = "drop"\nhosts = [5]\n')
    words = [
        sys.executable,
        "-m",
        "commcheck",
        "cluster",
        "--lab",
        str(lab),
        "--all-pairs-up-to",
        "11",
        "--format",
        "json",
    ]
    environment = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE"}}
    with cores(alone=True):
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["grouped"], found["bad_hosts"]) == (True, ["h5"])
    assert any("links were not tried: those of h5" in text for text in found["not_evaluated"])
    assert f"round {found['rounds']}:" in done.stderr
