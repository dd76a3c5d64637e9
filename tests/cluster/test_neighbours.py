"""What the kernel's table of neighbours tells of an address, in a network that has one."""

import pytest
from faulty import made

from commcheck.lab.lab import Lab
from commcheck.model.topology import Topology
from commcheck.probe.neighbours import answers, fixed, sent_back, unanswered

WRONG = "02:00:00:00:de:ad"


@pytest.fixture(scope="module")
def lab():
    with Lab(Topology(hosts=3)) as made_:
        yield made_


def told(lab, number):
    """By host 0 of another one, which it has tried to reach."""
    address = lab[number].address
    lab[0].connect(address, 9, 0.3)
    return lab[0].inside(lambda: (answers(address), fixed(address), unanswered(address)))


def test_a_neighbour_that_answers(lab):
    assert told(lab, 1) == (True, "", False)


def test_an_address_that_nobody_has(lab):
    lab[0].connect("10.77.0.99", 9, 3.5)
    assert lab[0].inside(lambda: (answers("10.77.0.99"), fixed("10.77.0.99"), unanswered("10.77.0.99"))) == (
        False,
        "",
        True,
    )


@pytest.mark.parametrize("hardware", [WRONG, ""])
def test_what_was_set_is_no_answer_right_or_wrong(lab, hardware):
    with made(lab, "neighbour-fixed", hosts=(0,), other=2, hardware=hardware):
        answered, set_to, silent = told(lab, 2)
    own = lab[2].path("/sys/class/net/eth0/address").read_text().strip()
    assert (answered, set_to, silent) == (False, hardware or own, False)
    assert told(lab, 2) == (True, "", False)


def test_an_address_for_which_this_host_answers_itself_was_not_set(lab):
    address = "10.77.0.77"
    lab[0].ip("neigh", "add", "proxy", address, "dev", "eth0")
    try:
        assert lab[0].inside(lambda: fixed(address)) == ""
    finally:
        lab[0].ip("neigh", "del", "proxy", address, "dev", "eth0")


def test_an_address_in_no_table_says_nothing(lab):
    assert lab[0].inside(lambda: (answers("192.0.2.1"), fixed("192.0.2.1"), sent_back(2, ("192.0.2.1", 9), 113))) == (
        False, "", False,
    )  # fmt: skip
