"""Bundles run again: as declared, on virtual hosts that are rebuilt from facts, with other numbers of ranks; nothing is left."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from census import descendants, gone, machine, wait_until
from msgspec.structs import replace

import commcheck
from commcheck import api
from commcheck.lab.lab import Lab
from commcheck.model.diagnosis import Verdict
from commcheck.model.fault import FaultSpec
from commcheck.model.topology import Network, Topology
from commcheck.planner import local_plan
from commcheck.replay.again import Wish, replay
from commcheck.replay.bundle import bundle_of
from commcheck.replay.compare import lead
from commcheck.replay.dressed import dressed
from commcheck.replay.file import from_bytes, load, to_bytes
from commcheck.replay.hosts import rebuilt
from commcheck.scenarios.kinds import specs
from commcheck.scenarios.load import folder, load_all
from commcheck.scenarios.plan import BASE
from commcheck.scenarios.run import Runner
from commcheck.scenarios.strike import Strikes

torch = pytest.importorskip("torch")

EVERY = {f.name: f.scenario for f in load_all(folder(str(Path(__file__).parents[2] / "scenarios")))}
COMMAND = ("commcheck", "replay")


@pytest.fixture(scope="module", autouse=True)
def nothing_left_on_the_machine():
    before, ours = machine(), descendants(os.getpid())
    yield
    assert wait_until(lambda: gone(descendants(os.getpid()) - ours)), "processes are left"
    assert machine() == before


@contextmanager
def hosts_of(topology, faults=()):
    """A lab with faults, and the facts of its hosts."""
    with Lab(topology) as lab, Strikes(lab, faults):
        plan = local_plan(size=len(lab), base=BASE, places=lab.places, master_addr="h0", master_port=29500)
        yield plan, api.host_facts(plan)


def shown(facts):
    """What of a host's facts has to be the same again."""
    return {
        "host": facts.host,
        "hostname": facts.hostname,
        "interfaces": {
            i.name: (i.up, i.carrier, i.mtu, {(a.address, a.prefix) for a in i.addresses if not a.address.startswith("fe80")})
            for i in facts.interfaces
        },
        "routes": {
            (r.destination, r.gateway, r.interface)
            for r in facts.routes
            if not r.destination.startswith(("fe80", "ff00")) and r.interface != "lo"
        },
        "names": {(n.name, n.addresses, bool(n.error)) for n in facts.lookups},
        "ports": facts.port_range,
    }  # fmt: skip


TWO = Topology(networks=(Network(), Network(interface="ib0", subnet="10.88.0.0/24", mtu=9000)))
TOPOLOGIES = {
    "plain": (Topology(), ()),
    "two networks, docker0, a down and a bare interface": (replace(TWO, hosts=3, docker0=True, down="eth5", bare="eth6"), ()),
    "another name for each subnet": (
        Topology(networks=(Network(interface="ens5", subnet="192.168.3.0/25"), Network(interface="eno1", subnet="172.30.0.0/16"))),
        (),
    ),
    "routed": (Topology(hosts=3, networks=(Network(kind="routed", subnet="10.80.0.0/16"),)), ()),
    "a gateway": (Topology(gateway=True), ()),
    "both families": (Topology(networks=(Network(subnet6="fd77::/64"),)), ()),
    "the sixth version alone": (Topology(networks=(Network(subnet=None, subnet6="fd77::/64"),)), ()),
    "one host has no second network": (
        Topology(hosts=3, networks=(Network(), Network(interface="eth1", subnet="10.88.0.0/24", hosts=(0, 2)))),
        (),
    ),
    "a link is down": (TWO, (("link-down", {"hosts": (1,), "interface": "ib0"}),)),
    "a cable is out": (Topology(), (("unplug", {"hosts": (1,)}),)),
    "an address is missing": (TWO, (("address-missing", {"hosts": (0,), "interface": "ib0"}),)),
    "no name": (Topology(), (("unresolvable", {"hosts": (1,), "name": "h0"}),)),
    "the own name is loopback": (Topology(), (("own-name-is-loopback", {"hosts": (0,)}),)),
    "few ports": (Topology(), (("narrow-ports", {"hosts": (0,)}),)),
}  # fmt: skip


@pytest.mark.parametrize("what", TOPOLOGIES)
def test_rebuilt_hosts_show_the_same_facts(what):
    topology, faults = TOPOLOGIES[what]
    made: tuple[FaultSpec, ...] = tuple(specs()[kind](**more) for kind, more in faults)
    with hosts_of(topology, made) as (plan, before):
        pass
    wanted = rebuilt(before)
    with dressed(wanted) as (lab, notes):
        assert notes == []
        again = replace(plan, ranks=tuple(replace(r, place=p) for r, p in zip(plan.ranks, lab.places, strict=True)))
        after = api.host_facts(again)
    assert [shown(f) for f in after] == [shown(f) for f in before]


DECLARED = (
    "links/data-ports-dropped",
    "collectives/other-shape-in-verify-of-1",
    "rendezvous/port-mismatch",
    "interfaces/interface-missing",
    "ranks/kill-in-group",
)


@pytest.fixture(scope="module")
def runner():
    with Runner(idle_labs=0) as warm:
        yield warm


def saved(runner, name):
    """The bundle of a scenario that was run, through its file's bytes."""
    scenario = EVERY[name]
    ran = runner.make(scenario)
    made = bundle_of(ran.plan, ran.case, ran.report, origin="scenario", name=name, scenario=scenario)
    return from_bytes(to_bytes(made), name)


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_world_does_the_same_again(name, runner):
    bundle = saved(runner, name)
    played = replay(bundle, Wish(try_fixes=False), command=COMMAND, say=lambda _: None)
    assert played.report.notes[0].startswith("again: the same cause on the same ranks")
    assert lead(played.report).cause == EVERY[name].expect.cause
    assert lead(played.report).ranks == EVERY[name].expect.ranks


def test_what_facts_show_is_rebuilt_from_them(runner):
    """Without its declaration: an interface without an address, on hosts that are built from what was seen of them."""
    bundle = replace(saved(runner, "interfaces/interface-without-address"), scenario=None)
    played = replay(bundle, Wish(try_fixes=False), command=COMMAND, say=lambda _: None)
    assert played.report.notes[0].startswith("again: the same cause on the same ranks (interface-without-address")
    larger = replay(bundle, Wish(try_fixes=False, world_size=4), command=COMMAND, say=lambda _: None)
    assert lead(larger.report).cause == "interface-without-address"
    assert larger.report.world.size == 4


def test_what_facts_do_not_show_is_made_only_when_asked(runner):
    bundle = replace(saved(runner, "links/data-ports-dropped"), scenario=None)
    healthy = replay(bundle, Wish(try_fixes=False), command=COMMAND, say=lambda _: None)
    assert healthy.report.verdict is Verdict.HEALTHY
    assert healthy.report.notes[0].startswith("differs: healthy, and data-ports-dropped")
    assert any("--with-cause" in n for n in healthy.report.notes)
    made = replay(bundle, Wish(try_fixes=False, with_cause=True), command=COMMAND, say=lambda _: None)
    assert made.report.notes[0].startswith("again: the same cause on the same ranks (data-ports-dropped")
    assert any("because that was concluded" in n for n in made.report.notes)


def commcheck_(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "commcheck", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(commcheck.__file__).parents[1])},
        capture_output=True, text=True, timeout=100, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A preflight that failed: its report, its bundle, and the directory of its ranks' reports."""
    folder = tmp_path_factory.mktemp("failed")
    done = commcheck_(
        "preflight", "--rank-env", "1:GLOO_SOCKET_IFNAME=nope0", "--env", "WANDB_API_KEY=q1w2e3r4t5z6", "--no-fix", "--save",
        folder / "case.zip", "--report-dir", folder / "left", "--format", "json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return json.loads(done.stdout), folder


def test_a_failed_preflight_s_report_names_its_bundle(failed):
    report, folder = failed
    assert report["replay"] == f"commcheck replay {folder / 'case.zip'}"
    assert b"q1w2e3r4t5z6" not in (folder / "case.zip").read_bytes()
    assert load(folder / "case.zip").head.origin == "preflight"


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("case.zip", ("--lab",)),
        ("case.zip", ("--here",)),
        ("case.zip", ("--here", "--world-size", "4")),
        ("left", ("--lab",)),  # what the ranks of a cluster have left in a directory will do as well
    ],
)
def test_it_is_replayed_here_and_on_virtual_hosts(failed, source, how):
    again = commcheck_("replay", failed[1] / source, *how, "--no-fix", "--format", "json", "--quiet")
    told = json.loads(again.stdout)
    assert again.returncode == 1
    assert told["notes"][0] == "again: the same cause on the same ranks (interface-missing on rank 1)"
    assert (told["diagnoses"][0]["cause"], told["diagnoses"][0]["ranks"]) == ("interface-missing", [1])
    assert told["world"]["size"] == (4 if "4" in how else 2)


def test_a_bundle_with_a_command_asks_for_trust(tmp_path):
    file = tmp_path / "case.zip"
    mark = tmp_path / "mark"
    made = commcheck_("preflight", "--inject", f"1:shell@group=touch {mark}", "--no-fix", "--save", file, "--quiet")
    assert made.returncode == 0, made.stderr
    mark.unlink()
    refused = commcheck_("replay", file, "--here", "--quiet")
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
    assert not mark.exists()
    assert commcheck_("replay", file, "--here", "--trust", "--quiet").returncode == 0
    assert mark.exists()
