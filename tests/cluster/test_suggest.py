"""The settings that work between virtual hosts: they form the world, nothing of them can be left out, and nothing else is
named."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from faulty import made
from msgspec.structs import replace

from commcheck import api
from commcheck.lab import Lab
from commcheck.model.case import Ended
from commcheck.model.diagnosis import Verdict
from commcheck.model.plan import FaultAt
from commcheck.model.topology import Network, Topology
from commcheck.probe.nccl_find import VARIABLE, find
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms
from commcheck.suggest.answer import answer
from commcheck.suggest.choices import world_plan
from commcheck.suggest.survey import from_here, survey
from commcheck.suggest.text import form_named, render
from commcheck.suggest.trials import Budget, forked

BASE = {"PATH": os.environ["PATH"]}
TWO_NETWORKS = (Network(), Network(interface="eth1", subnet="10.88.0.0/24"))
IPV6_ONLY = (Network(subnet=None, subnet6="fd77::/64"),)
BOTH = (0, 1)


@pytest.fixture(scope="module")
def launcher():
    with Launcher(BASE) as one:
        one.warm()
        yield one


def renamed(lab):
    """The second host calls its interface otherwise."""
    lab[1].ip("link", "set", "eth0", "down")
    lab[1].ip("link", "set", "eth0", "name", "ens3")
    lab[1].ip("link", "set", "ens3", "up")


def fault(kind, **given):
    return lambda lab: made(lab, kind, **given)


OWN_NAMES = fault("own-name-is-loopback", hosts=BOTH)


def docker_names(number):
    return fault("resolves-to", hosts=(number,), name=f"h{number}", address="172.17.0.1")


NAME = {"MASTER_ADDR": ("h0", "h0")}
ETH0 = {"GLOO_SOCKET_IFNAME": ("eth0", "eth0")}
# What is wrong, and then, by variable, the value on each host; a set: any of these.
CASES = {
    "healthy": (Topology(), [], NAME),
    "own names on loopback": (Topology(), [OWN_NAMES], NAME | ETH0),
    "one of three own names on loopback": (
        Topology(hosts=3),
        [fault("own-name-is-loopback", hosts=(1,))],
        {"MASTER_ADDR": ("h0",) * 3, "GLOO_SOCKET_IFNAME": ("eth0",) * 3},
    ),
    "docker0 is there": (Topology(docker0=True), [], NAME),
    "own names on docker0": (
        Topology(docker0=True),
        [docker_names(0), docker_names(1)],
        {"MASTER_ADDR": ("10.77.0.10",) * 2} | ETH0,
    ),
    "two networks, one of which is routed": (
        Topology(networks=TWO_NETWORKS),
        [fault("route-missing", hosts=BOTH, destination="10.77.0.0/24")],
        {"MASTER_ADDR": ("10.88.0.10",) * 2, "GLOO_SOCKET_IFNAME": ("eth1", "eth1")},
    ),
    "IPv6 only": (Topology(networks=IPV6_ONLY), [], NAME),
    "IPv6 only, without names": (
        Topology(networks=IPV6_ONLY, names=False),
        [],
        {"MASTER_ADDR": ("fd77::a",) * 2} | ETH0,
    ),
    "a range of ports is blocked": (
        Topology(),
        [fault("drop", hosts=BOTH, ports="29400-29600")],
        NAME | {"MASTER_PORT": ({"29628", "29372"},) * 2},
    ),
    "other interface names": (
        Topology(),
        [renamed, OWN_NAMES],
        NAME | {"GLOO_SOCKET_IFNAME": ("eth0", "ens3")},
    ),
    "a slow resolver": (
        Topology(),
        [fault("slow-resolver", hosts=BOTH, seconds=4.0, lookups="reverse", hosts_files=True)],
        NAME | {"RES_OPTIONS": ("timeout:1 attempts:1",) * 2},
    ),
    "one host": (Topology(hosts=1), [], {}),
    "one host whose port is taken": (
        Topology(hosts=1),
        [fault("listener", hosts=(0,), port=29500)],
        {"MASTER_PORT": ("29501",)},
    ),
}


def suggested(lab, launcher, stack, faults, **more):
    for one in faults:
        entered = one(lab)
        if entered is not None:
            stack.enter_context(entered)
    where = survey(lab.places, size=max(2, len(lab)), backend="gloo", base=BASE)
    worlds = []
    run = forked(launcher)

    def seen(cluster, candidate, order, extra):
        case = run(cluster, candidate, order, extra)
        worlds.append((candidate, order, case.ended is Ended.FINISHED))
        return case

    return answer(where, seen, **more), worlds


FEW = {
    "healthy",
    "own names on loopback",
    "IPv6 only",
    "a range of ports is blocked",
    "other interface names",
    "one host",
}


@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.whole) for n in CASES])
def test_the_settings_form_the_world_and_none_is_too_many(name, launcher, cores):
    topology, faults, expected = CASES[name]
    with cores(), Lab(topology) as lab, ExitStack() as stack:
        found, worlds = suggested(lab, launcher, stack, faults)
    print(f"{name}: {found.worlds} worlds, {found.seconds:.1f} s")
    assert found.verdict is Verdict.HEALTHY
    assert {s.name for s in found.settings} == set(expected)
    for number, host in enumerate(found.hosts):
        told = found.environment(host)
        assert told.keys() == expected.keys()
        for variable, values in expected.items():
            assert (
                told[variable] in values[number]
                if isinstance(values[number], set)
                else told[variable] == values[number]
            )
    # It was run with exactly these, in every order of the hosts, and without each of them.
    assert {order for c, order, good in worlds if c == found.settings and good} == {found.hosts, found.hosts[::-1]}
    for setting in found.settings:
        without = tuple(s for s in found.settings if s != setting)
        assert False in [good for c, _, good in worlds if c == without]
    assert {r.setting for r in found.removals} == set(expected)
    assert not found.not_proven
    assert not found.fixed_order
    assert found.values_checked > 0
    assert found.worlds == len(worlds) <= 10


def test_what_works_by_luck_of_the_order_alone_is_kept_and_said_to_be(launcher):
    """Behind h1's firewall only high ports are open: with rank 0 on h0 the usual port does, the other way round not."""
    with Lab() as lab, ExitStack() as stack:
        found, _ = suggested(lab, launcher, stack, [fault("drop", hosts=(1,), ports="1024-32767")])
    assert {s.name for s in found.settings} == {"MASTER_ADDR", "MASTER_PORT"}
    luck = {r.setting: (r.luck, r.cause, r.order) for r in found.removals}
    assert luck["MASTER_PORT"] == (True, "port-dropped", ("h1", "h0"))
    assert luck["MASTER_ADDR"][0] is False
    assert "by luck: with rank 0 on h1 it fails" in " ".join(
        render(found, form_named("shell"), commented=False).split()
    )


@pytest.mark.whole
def test_where_rank_0_has_to_be_where_it_is_that_is_said(launcher):
    """Behind h1's firewall no port of a store is open at all."""
    shut = [fault("drop", hosts=(1,), ports=ports) for ports in ("1024-32767", "61000-65535")]
    with Lab() as lab, ExitStack() as stack:
        found, worlds = suggested(lab, launcher, stack, shut)
    assert [s.name for s in found.settings] == ["MASTER_ADDR"]
    assert "to the store's port 29500 on h1 are dropped" in found.fixed_order
    assert {order for c, order, good in worlds if c == found.settings and good} == {found.hosts}
    assert "rank 0 has to be on h0" in render(found, form_named("shell"), commented=False)


def test_a_timeout_of_the_job_that_is_too_short_here_is_made_longer(launcher):
    def last_is_late(cluster, candidate, order, extra):
        plan = world_plan(cluster, candidate, order, dict(extra))
        *others, last = plan.ranks
        late = replace(last, faults=(FaultAt(name="late", phase="store", argument="1.6"),))
        plan = replace(plan, ranks=(*others, late))
        return api.observe(plan, launcher, cluster.hosts, Terms(), lambda _: None)

    with Lab() as lab:
        found = answer(survey(lab.places, size=2, backend="gloo", base=BASE, timeout=0.4), last_is_late)
    assert {s.name: s.value("h1", "h0") for s in found.settings} == {"MASTER_ADDR": "h0", "timeout": "30"}
    assert {r.setting: r.cause for r in found.removals}["timeout"] == "store-timeout-too-short"
    assert form_named("shell").render(found) == "export MASTER_ADDR=h0\n"
    assert "init_process_group(timeout=" in render(found, form_named("shell"), commented=True)


def test_where_no_setting_helps_the_nearest_try_is_diagnosed(launcher):
    with Lab() as lab, ExitStack() as stack:
        found, worlds = suggested(lab, launcher, stack, [fault("drop", hosts=BOTH, ports="30000-65535")])
    assert (found.verdict, found.settings) == (Verdict.UNHEALTHY, ())
    assert found.diagnosis.cause == "data-ports-dropped"
    assert not any(good for _, _, good in worlds)
    text = render(found, form_named("shell"), commented=True)
    assert "NOTHING FORMS" in text
    assert all(line.startswith("#") for line in text.splitlines())


def test_the_budget_ends_the_search(launcher):
    with Lab() as lab, ExitStack() as stack:
        found, worlds = suggested(lab, launcher, stack, [OWN_NAMES], budget=Budget(worlds=2))
        assert len(worlds) == 2
        assert found.not_proven or found.verdict is not Verdict.HEALTHY
        none, _ = suggested(lab, launcher, stack, [], budget=Budget(worlds=1))
    assert none.verdict is Verdict.INCONCLUSIVE
    text = render(none, form_named("shell"), commented=False)
    assert "the budget was used up" in text.splitlines()[0]
    assert "wrong-master-host" in text


def test_the_lines_for_a_shell_are_what_a_preflight_needs(launcher):
    """Copied into a shell on each host they make the world form; that it does not without them, the search has shown."""
    with Lab() as lab, ExitStack() as stack:
        found, _ = suggested(lab, launcher, stack, [renamed, OWN_NAMES])
        script = render(found, form_named("shell"), commented=True)

        def joined(setup):
            running = []
            for number, host in enumerate(lab):
                env = {
                    **os.environ,
                    "RANK": str(number),
                    "WORLD_SIZE": "2",
                    "MASTER_ADDR": "h0",
                    "MASTER_PORT": "29500",
                }
                command = (
                    f"{setup}\nexec {sys.executable} -m commcheck preflight --quiet --format json --join-deadline 8"
                )
                running.append(host.popen(["bash", "-c", command], env=env, stdout=subprocess.PIPE))
            ended = [p.communicate() for p in running]
            assert all(out for out, _ in ended), ended
            return [json.loads(out)["verdict"] for out, _ in ended]

        assert joined(script) == ["healthy", "healthy"]


def command(host, *arguments, **env):
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RES_OPTIONS"}
    }
    argv = [sys.executable, "-m", "commcheck", "suggest", *arguments]
    return host.run(argv, timeout=60, env={**kept, **env})


def test_the_command_says_that_nothing_is_needed_and_what_of_the_shell_does_harm():
    with Lab(Topology(hosts=1)) as lab:
        plain = command(lab[0])
        assert (plain.returncode, plain.stdout.splitlines()[0].split(" (")[0]) == (
            0,
            "NOTHING NEEDS TO BE SET for 2 ranks on this host with gloo",
        )
        harmed = command(lab[0], "--format", "json", "--quiet", GLOO_SOCKET_IFNAME="nope0", TORCH_GLOO_LAZY_INIT="1")
    found = json.loads(harmed.stdout)
    assert harmed.stderr == ""
    assert {x["name"]: x["harmless"] for x in found["leftovers"]} == {
        "GLOO_SOCKET_IFNAME": False,
        "TORCH_GLOO_LAZY_INIT": True,
    }


def started(lab, folder, *arguments, per_host=1, absent=()):
    """One command per rank, as a launcher starts them; exit code, output and errors of each."""
    running = []
    size = per_host * len(lab)
    for rank in (r for r in range(size) if r not in absent):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MASTER_", "RES_"))}
        env |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank % per_host)}
        argv = [sys.executable, "-m", "commcheck", "suggest", "--report-dir", str(folder), *arguments]
        running.append(lab[rank // per_host].popen(argv, env=env))
    ended = [(p, *p.communicate(timeout=100)) for p in running]
    return [(p.returncode, out.decode(), err.decode()) for p, out, err in ended]


@pytest.mark.parametrize("per_host", [1, 2])
def test_ranks_of_a_launcher_find_the_settings_together(tmp_path, per_host):
    with Lab() as lab, ExitStack() as stack:
        renamed(lab)
        stack.enter_context(OWN_NAMES(lab))
        first, *others = started(lab, tmp_path, "--format", "json", per_host=per_host)
    assert [code for code, _, _ in (first, *others)] == [0] * (2 * per_host), first[2]
    assert [out for _, out, _ in others] == [""] * len(others)
    found = json.loads(first[1])
    told = {s["name"]: s["values"] for s in found["settings"]}
    assert told == {
        "GLOO_SOCKET_IFNAME": {"h0": "eth0", "h1": "ens3"},
        "MASTER_ADDR": {"h0": "h0", "h1": "h1"},
    }
    assert {r["setting"]: r["cause"] for r in found["removals"]}.keys() == told.keys()
    assert {h: len(ranks) for h, ranks in found["ranks"].items()} == {"h0": per_host, "h1": per_host}
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_does_not_come_is_named_and_nothing_is_said_of_the_settings(tmp_path):
    with Lab() as lab:
        ((code, out, err),) = started(lab, tmp_path, "--join-deadline", "1", absent=(1,))
    assert (code, out) == (3, "")
    assert "no process of rank 1 came to" in err
    assert list(tmp_path.iterdir()) == []


# --- NCCL, of which the library is asked, and its addresses are tried by worlds of gloo's

NCCL = find(os.environ)
needs_nccl = pytest.mark.skipif(
    not NCCL.path, reason=f"no libnccl here: install nvidia-nccl-cu12, or name one in {VARIABLE}"
)


def with_ib(host):
    """An interface that NCCL prefers for its name, on a network that no other host is on."""
    host.ip("link", "add", "ib0", "type", "veth", "peer", "name", "far0")
    host.ip("addr", "add", "192.168.9.1/24", "dev", "ib0")
    for name in ("ib0", "far0"):
        host.ip("link", "set", name, "up")


def suggested_for_nccl(lab, launcher, hosts=(), **given):
    """`hosts`: variables that are as fixed as those of /etc/nccl.conf."""
    where = survey(lab.places, size=len(lab), backend="nccl", base=BASE | {VARIABLE: NCCL.path} | dict(hosts))
    return answer(where, forked(launcher), ask=from_here, given=given)


@needs_nccl
def test_nccl_is_told_an_interface_where_its_own_choice_is_not_reached(launcher):
    with Lab() as lab:
        left = suggested_for_nccl(
            lab, launcher, NCCL_SOCKET_IFNAME="lo", NCCL_SOCKET_FAMILY="AF_INET", NCCL_ALGO="Ring"
        )
        with_ib(lab[1])
        told = suggested_for_nccl(lab, launcher)
    # Nothing is needed, which the library's own choice and the hosts' connections to it show; what the shell has does harm.
    assert (left.advice, [s.name for s in left.settings]) == ((), ["MASTER_ADDR"])
    assert "takes eth0 10.77.0.10 on h0, eth0 10.77.0.11 on h1, and the hosts reach each other" in left.nccl
    assert {x.name: x.harmless for x in left.leftovers} == {
        "NCCL_SOCKET_IFNAME": False,
        "NCCL_SOCKET_FAMILY": True,
        "NCCL_ALGO": None,
    }
    assert "127.0.0.1 (lo)" in left.leftovers[0].why
    assert form_named("shell").render(left) == "unset NCCL_SOCKET_IFNAME\nexport MASTER_ADDR=h0\n"
    (setting,) = told.advice
    assert (setting.name, set(setting.values.values())) == ("NCCL_SOCKET_IFNAME", {"=eth0"})
    assert "by itself NCCL takes 192.168.9.1 (ib0) on h1, which h0 cannot reach" in setting.why
    assert "takes eth0 10.77.0.10 on h0" in told.nccl
    page = " ".join(render(told, form_named("shell"), commented=False).split())
    assert "its transports and its collectives were not" in page
    assert "export NCCL_SOCKET_IFNAME==eth0" in page


@needs_nccl
@pytest.mark.whole
def test_where_nccl_takes_an_address_with_no_setting_that_is_no_answer(launcher, tmp_path):
    conf = tmp_path / "nccl.conf"
    conf.write_text("NCCL_COMM_ID=10.99.0.1:5000\n")
    with Lab() as lab:
        found = suggested_for_nccl(lab, launcher, hosts={"NCCL_CONF_FILE": str(conf)})
    assert (found.verdict, found.advice) == (Verdict.INCONCLUSIVE, ())
    assert "NCCL takes no address on h0" in found.not_proven
    assert render(found, form_named("shell"), commented=True).startswith("# NOT KNOWN for 2 ranks on h0, h1")


@needs_nccl
@pytest.mark.whole
def test_ranks_of_a_launcher_ask_nccl_each_on_its_host(tmp_path):
    with Lab() as lab:
        with_ib(lab[1])
        first, second = started(lab, tmp_path, "--format", "json", "--backend", "nccl")
    assert (first[0], second[0]) == (0, 0), first[2]
    found = json.loads(first[1])
    assert [(s["name"], s["values"]) for s in found["advice"]] == [
        ("NCCL_SOCKET_IFNAME", {"h0": "=eth0", "h1": "=eth0"})
    ]
    assert "takes eth0 10.77.0.10 on h0, eth0 10.77.0.11 on h1" in found["nccl"]
