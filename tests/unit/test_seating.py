"""Which host a process is on that has come through what started it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.errors import UsageError
from commcheck.runtime import seating
from commcheck.runtime.board import Member
from commcheck.runtime.seating import Arrival

HOSTS = ("h0", "h1", "h2", "h3")


def member(number, hostname="", rank=-1):
    return Member(id=f"id{number}", rank=rank, network=f"n{number}", hostname=hostname, begun=float(number))


def seated(hosts, arrivals, expected=None):
    return seating.seated(hosts, arrivals, range(len(hosts)) if expected is None else expected)


def places(found):
    return {m.id: m.rank for m in found.members}


@given(st.sets(st.integers(0, 3)), st.randoms())
def test_a_pipe_of_its_own_says_it_all(there, chance):
    arrivals = [Arrival(member=member(n, hostname="h0"), pipe=n) for n in there]
    chance.shuffle(arrivals)
    found = seated(HOSTS, arrivals)
    assert places(found) == {f"id{n}": n for n in there}
    assert found.hosts == HOSTS
    assert [m.rank for m in found.members] == sorted(there)


@given(st.sets(st.integers(0, 3)), st.randoms(), st.sampled_from(["", ".cluster.local"]), st.sampled_from([-1, 0, 9]))
def test_a_name_says_it_whatever_the_launcher_counts(there, chance, domain, number):
    arrivals = [Arrival(member=member(n, f"H{n}{domain}", number)) for n in there]
    chance.shuffle(arrivals)
    found = seated(HOSTS, arrivals)
    assert (places(found), found.hosts) == ({f"id{n}": n for n in there}, HOSTS)


@given(st.sets(st.integers(0, 3)))
def test_the_launcher_s_number_says_it_where_names_do_not(there):
    found = seated(
        ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"), [Arrival(member=member(n, f"x{n}", n)) for n in there]
    )
    assert places(found) == {f"id{n}": n for n in there}
    assert found.hosts[0] == "10.0.0.1"


def test_the_launcher_numbers_those_that_it_starts():
    """h1 is known to be away, and no process was started for it."""
    found = seated(HOSTS, [Arrival(member=member(n, f"x{n}", n)) for n in range(3)], (0, 2, 3))
    assert (places(found), found.hosts) == ({"id0": 0, "id1": 2, "id2": 3}, HOSTS)


def test_of_hosts_that_nothing_tells_apart_no_absent_one_is_named():
    """Who has not come cannot be known, and is not to be blamed."""
    found = seated(("10.0.0.1", "10.0.0.2", "10.0.0.3"), [Arrival(member=member(n, f"x{n}")) for n in (0, 1)])
    assert sorted(places(found).values()) == [0, 1]
    assert found.hosts == ("10.0.0.1", "10.0.0.2", "a host of which nothing is known (1)")


@given(st.lists(st.tuples(st.sampled_from(["h0", "h1", "x", ""]), st.integers(-1, 5)), max_size=4))
def test_each_has_a_place_of_its_own_whatever_it_says(said):
    found = seated(HOSTS, [Arrival(member=member(n, name, rank)) for n, (name, rank) in enumerate(said)])
    assert len({m.rank for m in found.members}) == len(said) == len(found.members)
    assert len(set(found.hosts)) == 4


def test_names_that_are_alike_without_their_domain_tell_nothing():
    found = seated(("n1.a", "n1.b"), [Arrival(member=member(0, "n1", 1)), Arrival(member=member(1, "n1", 0))])
    assert places(found) == {"id0": 1, "id1": 0}


@pytest.mark.parametrize(
    ("arrivals", "said"),
    [
        ([Arrival(member=member(n), pipe=2) for n in (0, 1)], "h2: more than one process"),
        ([Arrival(member=member(n)) for n in range(5)], "5 processes came from 4 hosts"),
    ],
)
def test_too_many_are_refused(arrivals, said):
    with pytest.raises(UsageError, match=said):
        seated(HOSTS, arrivals)
