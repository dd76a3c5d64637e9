"""`commcheck explore` in a lab with faults that it is not told of."""

import os

import pytest
from census import descendants, machine, wait_until

from commcheck.errors import InputError
from commcheck.explore.drive import Budget, explore
from commcheck.explore.labfile import load
from commcheck.explore.search import Search
from commcheck.explore.worlds import Worlds
from commcheck.generate.space import chosen, lab_space

pytestmark = pytest.mark.timeout(300)

LAB = """
[lab]
hosts = 2

[[lab.networks]]
subnet6 = "fd00:77::/64"

[[lab.networks]]
interface = "eth1"
subnet = "10.78.0.0/24"

[[fault]]
kind = "drop"
hosts = [1]
ports = "29501"

[[fault]]
kind = "mtu"
hosts = [1]
interface = "eth1"
"""


def test_faults_that_lie_in_a_lab_are_found_and_shrunk_to_what_meets_them(tmp_path):
    file = tmp_path / "lab.toml"
    file.write_text(LAB)
    topology, faults = load(file)
    assert [f.__struct_config__.tag for f in faults] == ["drop", "mtu"]
    space = chosen(lab_space(topology), ["start", "address", "port", "GLOO_SOCKET_IFNAME"])
    space = space.cut({"address": ["ipv6"], "port": ["29501"], "GLOO_SOCKET_IFNAME": ["eth0", "eth1"]})
    search = Search(space, seed=3)
    before, running = machine(), descendants(os.getpid())
    with Worlds(topology, faults=faults) as worlds:
        done = explore(search, worlds, Budget(worlds=250), lambda _: None)
    assert wait_until(lambda: descendants(os.getpid()) <= running)
    assert machine() == before
    assert done.base == "healthy"
    assert done.coverage.open == 0
    surprises = [f.settings for g in done.groups for f in g.findings if f.surprise]
    assert surprises == [{"GLOO_SOCKET_IFNAME": "eth1"}, {"start": "h1", "port": "29501"}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hosts = 2\nhost = 3\n", "host"),
        ("[lab]\nhosts = 2\n[[fault]]\nkind = 'exit'\nrank = 1\n", "only faults of hosts"),
        ("hosts = 1\n[[networks]]\nsubnet = 'x'\n", "lab.toml"),
        ("[lab]\nhosts = 2\n[[faults]]\nkind = 'mtu'\n", "did you mean 'fault'"),
        ("hosts = ", "not TOML"),
    ],
)
def test_a_file_that_is_not_in_order(tmp_path, text, says):
    file = tmp_path / "lab.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        load(file)
