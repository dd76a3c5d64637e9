"""One commcheck per rank, started by somebody else, each on a host of its own; merged by `commcheck diagnose DIR`."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, nullcontext

import pytest
from faulty import made
from msgspec.structs import replace

from commcheck.lab import Lab
from commcheck.model.topology import Network, Topology
from commcheck.probe.nccl_find import VARIABLE, find

PORT = "29500"
JOIN_DEADLINE = 8.0
"""Short, so that the tests that must wait for it do not take a minute."""
UNREACHED = 40.0
"""For the tests in which no rank may wait for its join deadline."""
ONE_NETWORK = Topology()
SAID = b"so far: Not all of the 2 ranks"


class Joined:
    """What the ranks and the merge said."""

    def __init__(self, ranks, codes, errors, merged, code, seconds):
        self.ranks, self.codes, self.errors = ranks, codes, errors
        self.merged, self.code, self.seconds = merged, code, seconds

    @property
    def lead(self):
        """Cause and ranks of the merged report's first diagnosis."""
        first = self.merged["diagnoses"][0]
        return first["cause"], first["ranks"]


def join(
    tmp_path, environments, *,
    spoil=None, shared=True, late=None, deadline=UNREACHED, hostname="", topology=ONE_NETWORK, backend="auto",
):  # fmt: skip
    """Start one commcheck per environment (None: that rank is absent) on hosts of a lab, and merge what they left."""
    folder = tmp_path / "reports"
    with Lab(replace(topology, hosts=len(environments))) as lab, ExitStack() as stack:
        stack.enter_context(spoil(lab) if spoil else nullcontext())
        running, begin = [], time.monotonic()
        for number, own in enumerate(environments):
            if own is None:
                continue
            if late == number:
                wait_for(running[0].stderr, SAID)
            environment = {
                **os.environ,
                "RANK": str(number),
                "WORLD_SIZE": str(len(environments)),
                "MASTER_ADDR": "10.77.0.10",
                "MASTER_PORT": PORT,
                **own,
            }
            environment = {name: value for name, value in environment.items() if value is not None}
            options = ["--report-dir", str(folder)] if shared else []
            command = [
                sys.executable, "-m", "commcheck", "preflight", "--format", "json",
                "--join-deadline", str(deadline), "--backend", backend, *options,
            ]  # fmt: skip
            if hostname:
                command = ["unshare", "--uts", "sh", "-c", f'hostname {hostname}; exec "$@"', "sh", *command]
            running.append(lab[number].popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        outputs = [p.communicate() for p in running]
        seconds = time.monotonic() - begin
    merged, code = None, None
    if shared:
        command = [sys.executable, "-m", "commcheck", "diagnose", "--format", "json", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False)
        merged, code = json.loads(done.stdout), done.returncode
    ranks = [json.loads(out) for out, _ in outputs]
    return Joined(ranks, [p.returncode for p in running], [e.decode() for _, e in outputs], merged, code, seconds)


def wait_for(stream, words):
    """Read lines until one has `words`; its absence is a failure, not a wait for ever (the rank ends by itself)."""
    for line in stream:
        if words in line:
            return
    raise AssertionError(f"{words!r} was not said")


def test_a_healthy_world_is_healthy_for_every_rank_and_merged(tmp_path):
    found = join(tmp_path, [{}, {}])
    assert found.codes == [0, 0]
    assert [r["verdict"] for r in found.ranks] == ["healthy", "healthy"]
    assert (found.code, found.merged["verdict"]) == (0, "healthy")
    assert found.merged["world"]["distinct_processes"] == 2
    assert {c["interface"] for c in found.merged["world"]["proof"] if c["purpose"] == "data"} == {"eth0"}


ROWS = {
    "port-dropped": ([{}, {}], lambda lab: made(lab, "drop", hosts=(0,), ports=PORT), [0]),
    "port-refused": ([{}, {}], lambda lab: made(lab, "reject", hosts=(0,), ports=PORT), [0]),
    "port-mismatch": ([{}, {"MASTER_PORT": "29501"}], None, [1]),
    "one-way-blocked": ([{}, {}], lambda lab: made(lab, "drop", hosts=(0,), ports=f"!= {PORT}"), [0]),
    "interface-missing": ([{}, {"GLOO_SOCKET_IFNAME": "nope0"}], None, [1]),
    "world-size-mismatch": ([{}, {"WORLD_SIZE": "3"}], None, [1]),
    "rank-duplicate": ([{}, {"RANK": "0"}], None, [0]),
    "rank-out-of-range": ([{}, {"RANK": "5"}], None, [5]),
    "host-unresolvable": ([{}, {"MASTER_ADDR": "nosuchhost"}], None, [1]),
    "wrong-master-host": ([{}, {"MASTER_ADDR": "10.77.0.11"}], None, [1]),
    "env-missing": ([{}, {"WORLD_SIZE": None}], None, [1]),
    "port-in-use": ([{}, {}], lambda lab: made(lab, "listener", hosts=(0,), port=int(PORT)), [0]),
    "stale-store": ([{}, {}], lambda lab: made(lab, "old-store", hosts=(0,), port=int(PORT)), [0]),
}


FEW = {"port-dropped", "port-mismatch", "one-way-blocked", "interface-missing", "env-missing"}


@pytest.mark.parametrize("cause", [c if c in FEW else pytest.param(c, marks=pytest.mark.whole) for c in ROWS])
def test_ranks_that_could_never_talk_are_judged_together(tmp_path, cause):
    environments, spoil, ranks = ROWS[cause]
    found = join(tmp_path, environments, spoil=spoil)
    assert found.code == 1
    assert found.lead == (cause, ranks)
    # With a shared directory no rank has to wait for its join deadline: all is known before.
    assert max(r["world"]["seconds"] for r in found.ranks) < UNREACHED
    assert set(found.codes) == {1}


def test_hosts_that_share_their_name_are_still_several(tmp_path):
    """Cloned images, and what `ip netns exec` gives. No host knows this name, so that gloo falls back to loopback."""
    found = join(tmp_path, [{}, {}], hostname="clone")
    assert found.lead == ("host-unresolvable", [0, 1])
    assert found.merged["world"]["hosts"] == ["clone(10.77.0.10)", "clone(10.77.0.11)"]


def test_a_run_after_another_in_one_directory_counts_alone(tmp_path):
    assert join(tmp_path, [{}, {"MASTER_PORT": "29501"}]).code == 1
    again = join(tmp_path, [{}, {}])
    assert again.codes == [0, 0]
    assert (again.code, again.merged["verdict"]) == (0, "healthy")


def test_a_late_rank_is_not_a_missing_one(tmp_path):
    # Rank 1 is started when rank 0 has said that somebody is missing: long before it would decide.
    found = join(tmp_path, [{}, {}], late=1)
    assert found.codes == [0, 0]


@pytest.mark.parametrize("absent", [0, pytest.param(1, marks=pytest.mark.whole)])
def test_a_missing_rank_is_missing_after_the_join_deadline(tmp_path, absent):
    there = [{}, {}, {}]
    there[absent] = None
    found = join(tmp_path, there, deadline=JOIN_DEADLINE)
    assert found.lead == ("rank-missing", [absent])
    # The first to reach its deadline takes the store along, or leaves its last word: the others need not wait theirs out.
    assert max(r["world"]["seconds"] for r in found.ranks) >= JOIN_DEADLINE
    assert min(r["world"]["seconds"] for r in found.ranks) >= JOIN_DEADLINE / 2


def test_one_rank_alone_says_what_it_cannot_know(tmp_path):
    """Refused, and nothing known of rank 0: absent, or rejected on the way. Both are named, neither confidently."""
    found = join(tmp_path, [None, {}], shared=False, deadline=JOIN_DEADLINE)
    diagnoses = found.ranks[0]["diagnoses"]
    assert {d["cause"] for d in diagnoses} == {"rank-missing", "port-refused"}
    assert all(d["confidence"] < 0.6 for d in diagnoses)
    assert found.ranks[0]["next"]


def test_a_dropped_port_is_known_without_the_other_ranks_view(tmp_path):
    found = join(
        tmp_path, [{}, {}], spoil=lambda lab: made(lab, "drop", hosts=(0,), ports=PORT), shared=False, deadline=14
    )
    lead = found.ranks[1]["diagnoses"][0]
    assert lead["cause"] == "port-dropped"
    assert any("the host itself is up" in e["text"] for e in lead["evidence"])
    assert found.ranks[1]["world"]["seconds"] < 14


@pytest.mark.whole
def test_reports_of_an_earlier_run_do_not_count(tmp_path):
    """The failed run's files stay in the directory; the healthy run after it is healthy all the same."""
    first = join(tmp_path, [{}, {"MASTER_PORT": "29501"}])
    assert first.code == 1
    for file in (tmp_path / "reports").glob("rank-*.json"):
        old = json.loads(file.read_text())
        old["begun"] -= 3600
        file.write_text(json.dumps(old))
    second = join(tmp_path, [{}, {}])
    assert second.codes == [0, 0]
    assert second.code == 0
    assert any("earlier run" in note for note in second.merged["not_evaluated"])


# --- NCCL's addresses. To ask its library for them takes no GPU; as there is none, the group itself does not form.

NCCL = find(os.environ)
needs_nccl = pytest.mark.skipif(
    not NCCL.path, reason=f"no libnccl here: install nvidia-nccl-cu12, or name one in {VARIABLE}"
)
TWO_NETWORKS = Topology(networks=(Network(), Network(interface="eth1", subnet="10.78.0.0/24")), docker0=True)


def join_with_nccl(tmp_path, environments, **how):
    """gloo and the store stay on the first network: what is wrong is NCCL's alone."""
    own = {VARIABLE: NCCL.path, "GLOO_SOCKET_IFNAME": "eth0"}
    return join(tmp_path, [own | e for e in environments], topology=TWO_NETWORKS, backend="nccl", **how)


def attempts(tmp_path):
    """What the ranks met at NCCL's addresses of the others: by rank, from their reports."""
    ranks = [json.loads(file.read_text())["rank"] for file in (tmp_path / "reports").glob("rank-*.json")]
    return {r["rank"]: [(p["target"], p["outcome"]) for p in r["probes"] if p["kind"] == "nccl"] for r in ranks}


def of_nccl(report):
    return [d for d in report["diagnoses"] if d["cause"].startswith("nccl-")]


@needs_nccl
def test_ranks_try_the_addresses_that_nccl_takes_of_each_other(tmp_path):
    found = join_with_nccl(tmp_path, [{}, {"NCCL_SOCKET_IFNAME": "=eth1"}])
    assert attempts(tmp_path) == {0: [("10.78.0.11", "ok")], 1: [("10.77.0.10", "ok")]}
    assert not of_nccl(found.merged)


def closed_to_nccl(lab):
    """The second host's firewall knows the first network alone."""
    lab[1].nft("table inet closed { chain in { type filter hook input priority 0; iifname eth1 ct state new drop; }; }")
    return nullcontext()  # it goes with the lab


@needs_nccl
@pytest.mark.parametrize(
    ("environments", "spoil", "rank", "tried"),
    [
        ([{}, {"NCCL_SOCKET_IFNAME": "docker"}], None, 1, ("172.17.0.1", "refused")),
        ([{}, {"NCCL_SOCKET_IFNAME": "=eth1"}], closed_to_nccl, 1, ("10.78.0.11", "timed-out")),
    ],
    ids=["an interface of one host alone", "a dropped port"],
)
def test_an_address_of_nccl_that_another_rank_cannot_reach_is_named(tmp_path, environments, spoil, rank, tried):
    found = join_with_nccl(tmp_path, environments, spoil=spoil)
    assert attempts(tmp_path) == {0: [tried], 1: [("10.77.0.10", "ok")]}
    (named,) = of_nccl(found.merged)
    assert (named["cause"], named["ranks"], named["hosts"]) == ("nccl-address-unreachable", [rank], [f"h{rank}"])
    assert [(link["source"], link["target"]) for link in named["links"]] == [("h0", "h1")]
    assert f"takes {tried[0]}" in named["title"]
    # Without a GPU no world of NCCL's shows that it fails for that, and something else ended this one.
    assert named["confidence"] <= 0.6


@needs_nccl
@pytest.mark.whole
def test_one_rank_alone_names_the_address_that_it_could_not_reach(tmp_path):
    found = join_with_nccl(tmp_path, [{}, {"NCCL_SOCKET_IFNAME": "=eth1"}], spoil=closed_to_nccl, shared=False)
    (named,) = of_nccl(found.ranks[0])
    assert (named["cause"], named["ranks"]) == ("nccl-address-unreachable", [1])
    assert "10.78.0.11, which h0 cannot reach" in named["title"]
    assert not of_nccl(found.ranks[1])
