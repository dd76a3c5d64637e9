"""What should happen, against hosts that are made up: the rules of gloo and of the store, one at a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.model.case import Address, HostFacts, Interface, Listener, NameLookup, Route
from commcheck.model.plan import Place
from commcheck.planner import local_plan
from commcheck.predict.model import Outlook, predict
from commcheck.predict.own import predicted

FORMS, FAILS, UNKNOWN, SLOW = Outlook.FORMS, Outlook.FAILS, Outlook.UNKNOWN, Outlook.SLOW


def interface(name, *addresses, up=True):
    loopback = name == "lo"
    return Interface(name=name, up=up, carrier=up, loopback=loopback, mtu=1500, addresses=tuple(
        Address(family="ipv6" if ":" in a else "ipv4", address=a, prefix=64 if ":" in a else 8 if loopback else 24)
        for a in addresses
    ))  # fmt: skip


def host(number, *more, names=(), own=None, **fields):
    """Host hN: 10.77.0.(10+N) and fd00:77::(10+N) on eth0, 172.17.0.1 on docker0; its name is its address."""
    address = f"10.77.0.{10 + number}"
    lookups = [NameLookup(name=f"h{number}", kind="forward", addresses=(own or address,))]
    lookups += [NameLookup(name=n, kind="forward", addresses=tuple(a)) for n, a in names]
    return HostFacts(
        host=f"h{number}",
        hostname=f"h{number}",
        interfaces=(
            interface("lo", "127.0.0.1", "::1"),
            interface("eth0", address, f"fd00:77::{10 + number:x}"),
            interface("docker0", "172.17.0.1"),
            *more,
        ),
        lookups=tuple(lookups),
        **fields,
    )


def outlook(hosts, size=None, master="10.77.0.10", port=29500, **more):
    places = tuple(Place(host=h.host, netns=h.host) for h in hosts)
    plan = local_plan(size=size or len(hosts), base={}, places=places, master_addr=master, master_port=port, **more)
    return predict(plan, hosts)


TWO = (host(0), host(1))
THREE = (host(0), host(1), host(2))


def test_what_is_in_order_forms():
    assert outlook(TWO).outlook is FORMS
    assert outlook(THREE, size=7).outlook is FORMS


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"env": {"GLOO_SOCKET_IFNAME": "nope0"}}, "interface-missing"),
        ({"env": {"GLOO_SOCKET_IFNAME": "eth"}}, "interface-missing"),
        ({"env": {"GLOO_SOCKET_IFNAME": "eth0,nope0"}}, "interface-missing"),
        ({"env": {"GLOO_SOCKET_IFNAME": "lo"}}, "interface-loopback"),
        ({"env": {"GLOO_SOCKET_IFNAME": "docker0"}}, "interface-unroutable"),
        ({"rank_env": {1: {"GLOO_SOCKET_IFNAME": "eth0,lo"}}}, "env-differs-between-ranks"),
        ({"env": {"GLOO_DEVICE_TRANSPORT": "UV"}}, "transport-unavailable"),
        ({"rank_env": {1: {"TORCH_GLOO_LAZY_INIT": "1"}}}, "env-differs-between-ranks"),
        ({"rank_env": {1: {"GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER": "1"}}}, "env-differs-between-ranks"),
        ({"rank_env": {1: {"MASTER_PORT": "29501"}}}, "port-mismatch"),
        ({"port": 65536}, "port-out-of-range"),
        ({"rank_env": {1: {"RANK": "0"}}}, "rank-duplicate"),
        ({"rank_env": {1: {"WORLD_SIZE": "3"}}}, "world-size-mismatch"),
        ({"rank_backend": {0: "gloom"}}, "backend-unknown"),
        ({"rank_backend": {1: "nccl"}}, "backend-mismatch"),
        ({"init_method": {1: "tcp://10.77.0.10:29500"}}, "init-method-mismatch"),
        ({"master": "127.0.0.1"}, "host-resolves-to-loopback"),
        ({"master": "10.77.0.11"}, "host-resolves-to-loopback"),
        ({"master": "10.77.0.99"}, "wrong-master-host"),
    ],
)
def test_what_is_known_to_fail(changes, cause):
    found = outlook(TWO, **changes)
    assert (found.outlook, found.cause) == (FAILS, cause)
    assert found.symptom is not None
    assert found.reason


def test_the_higher_address_connects_so_one_rank_on_loopback_forms_by_luck():
    found = outlook(TWO, rank_env={1: {"GLOO_SOCKET_IFNAME": "lo"}})
    assert (found.outlook, found.cause) == (FORMS, "interface-loopback")
    assert "by luck" in found.reason
    # 172.17.0.1 is above 10.77.0.11, so that nobody has to connect to it.
    assert outlook(TWO, rank_env={0: {"GLOO_SOCKET_IFNAME": "docker0"}}).cause == "interface-unroutable"
    both = outlook(THREE, rank_env={n: {"GLOO_SOCKET_IFNAME": "lo"} for n in (1, 2)})
    assert both.outlook is FAILS


@given(st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None)
def test_of_two_hosts_the_lower_one_may_hide_its_own_address(one, other):
    """An address that only its own host knows does harm where the other rank has to connect to it, and nowhere else."""
    if one == other:
        return
    hidden = interface("priv0", f"10.{70 + one}.0.1")
    hosts = (host(one, hidden), host(other))
    found = outlook(hosts, master=f"10.77.0.{10 + one}", rank_env={0: {"GLOO_SOCKET_IFNAME": "priv0"}})
    # 10.70-75.0.1 is always below 10.77.0.x: the other rank connects, and has no way there.
    assert (found.outlook, found.cause) == (FAILS, "interface-unroutable")


@pytest.mark.parametrize(
    "changes",
    [
        {"env": {"GLOO_SOCKET_IFNAME": "eth0,"}},
        {"env": {"GLOO_SOCKET_IFNAME": ""}},
        {"env": {"GLOO_SOCKET_IFNAME": "eth0,eth0"}},
        {"env": {"MASTER_PORT": " 29_500"}},
        {"env": {"MASTER_PORT": "+029500"}},
        {"master": "::ffff:10.77.0.10"},
        {"rank_backend": {1: "GLOO"}},
        {"rank_backend": {1: "cpu:gloo"}},
        {"rank_env": {1: {"USE_LIBUV": "0"}}},
        {"rank_env": {1: {"GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER": "true"}}},
        {"env": {"TORCH_GLOO_LAZY_INIT": "1"}, "rank_env": {1: {"GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER": "1"}}},
    ],
)
def test_what_looks_wrong_and_was_seen_to_form(changes):
    assert outlook(TWO, **changes).outlook is FORMS


def test_own_name_on_loopback():
    assert outlook((host(0, own="127.0.1.1"), host(1, own="127.0.1.1"))).cause == "host-resolves-to-loopback"


def test_address_families_must_agree():
    v6 = (host(0), host(1, own="fd00:77::b"))
    assert outlook(v6).cause == "address-family-mismatch"


def test_a_port_on_which_another_program_listens():
    taken = (host(0, listeners=(Listener(address="0.0.0.0", port=29500, command="nginx"),)), host(1))
    found = outlook(taken)
    assert found.cause == "port-in-use"
    assert "nginx" in found.reason


def test_names_are_asked_on_each_host():
    known = [(("job",), ("10.77.0.10",)), (("job",), ())]
    hosts = tuple(host(n, names=[(names[0], a)]) for n, (names, a) in enumerate(known))
    assert outlook(hosts, master="job").cause == "host-unresolvable"
    assert outlook(TWO, master="job").outlook is UNKNOWN
    late = NameLookup(name="x", kind="forward", seconds=1.2)
    assert outlook((host(0), replace(host(1), lookups=(*host(1).lookups, late)))).outlook is SLOW


def test_what_nobody_knows_is_unknown():
    assert outlook((HostFacts(host="h0"), HostFacts(host="h1"))).outlook is not FORMS
    routed = replace(
        host(1, own="10.99.0.5"),
        interfaces=(interface("lo", "127.0.0.1"), interface("eth0", "10.99.0.5")),
        routes=(Route(destination="0.0.0.0/0", gateway="10.99.0.1", interface="eth0"),),
    )
    assert outlook((host(0), routed)).outlook is not FORMS
    assert outlook(TWO, store_seconds=0.5).outlook is UNKNOWN
    assert outlook(TWO, init_method={0: "file:///x", 1: "file:///x"}).outlook is UNKNOWN


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_it_always_answers_and_says_why(data):
    from commcheck.generate import strategies as cc

    config = data.draw(cc.configs(TWO[0], max_size=3))
    plan = local_plan(
        size=config.world.size,
        base={},
        env=config.world.env,
        backend=config.world.backend,
        places=tuple(Place(host=h.host, netns=h.host) for h in TWO),
        rank_env={int(r): s.env for r, s in config.ranks.items()},
        init_method={int(r): s.init_method for r, s in config.ranks.items() if s.init_method is not None},
        store_seconds=config.world.timeout,
    )
    found = predict(plan, TWO)
    assert found.reason
    assert (found.cause != "") >= (found.outlook is FAILS)
    assert predict(plan, TWO) == found


@pytest.mark.parametrize(
    ("environment", "cause", "sure"),
    [
        ({"GLOO_SOCKET_IFNAME": "eth0,nope0"}, "interface-missing", True),
        ({"GLOO_DEVICE_TRANSPORT": "tcp"}, "transport-unavailable", True),
        ({"GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, "interface-loopback", True),
        ({"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, "host-resolves-to-loopback", False),
    ],
)
def test_one_process_alone_tells_some_of_it(environment, cause, sure):
    found = predicted(environment, host(0, own="127.0.1.1"))
    assert found is not None
    assert (found[0].cause, found[1] >= 0.5) == (cause, sure)


@pytest.mark.parametrize(
    "environment",
    [{}, {"GLOO_SOCKET_IFNAME": "lo"}, {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, {"GLOO_DEVICE_TRANSPORT": "TCP"}],
)
def test_one_process_alone_is_not_called_wrong_without_need(environment):
    assert predicted(environment, host(0, own="127.0.1.1")) is None
