"""`commcheck explore` on this machine: real worlds, the truth about them, and the exit codes."""

import json
import os
import signal
import subprocess
import sys
import xml.dom.minidom

import pytest

from commcheck.explore.drive import Budget, explore
from commcheck.explore.search import Search
from commcheck.explore.worlds import Worlds
from commcheck.generate.space import chosen, host_space
from commcheck.model.plan import FaultAt
from commcheck.probe.facts import host_facts

pytestmark = pytest.mark.timeout(300)


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "explore", *arguments, "--quiet"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout, done.stderr


def settings_of(exploration):
    return [f["settings"] for g in exploration["groups"] for f in g["findings"]]


@pytest.mark.whole
def test_addresses_of_one_host():
    code, out, err = command("--focus", "size", "address", "--budget", "200", "--format", "json")
    assert code == 0, err + out
    done = json.loads(out)
    assert done["ended"] == "nothing is left to try"
    assert done["coverage"]["open"] == 0
    failing = {s["address"] for s in settings_of(done)}
    # A literal in brackets is a name that nobody knows; 0.0.0.0 is this host.
    assert {"absent", "padded"} <= failing <= {"absent", "padded", "[::1]"}
    assert done["agreed"] == done["predicted"] > 20


def test_a_bug_that_two_settings_wake_is_found_and_shrunk_to_them_the_same_each_time():
    """The rank's program dies where the timeout is 30 and the init method is a file; nothing in the search knows."""
    space = chosen(host_space(host_facts(os.uname().nodename)), ["size", "init", "timeout", "backend", "USE_LIBUV"])
    space = space.cut({"backend": ["cpu:gloo"], "timeout": ["30"], "USE_LIBUV": ["0"], "size": ["3"]})

    def bug(config):
        own = config.ranks.get("1")
        woken = config.world.timeout == 30 and own is not None and (own.init_method or "").startswith("file")
        return {1: (FaultAt(name="exit", phase="verify"),)} if woken else {}

    found = []
    for _ in range(2):
        search = Search(space, seed=7)
        with Worlds(None, rank_faults=bug) as worlds:
            done = explore(search, worlds, Budget(worlds=80), lambda _: None)
        found.append(([f.settings for g in done.groups for f in g.findings], done.worlds, search.working))
        assert done.groups[0].cause == "rank-exited"
    assert found[0][0] == [{"timeout": "30", "init": "file"}]
    assert found[0] == found[1]


def test_variables_of_gloo_that_must_be_the_same_on_all_ranks():
    """Nothing documents it: ranks that number their connections in different ways crash."""
    focus = ("GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER", "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER@last")
    code, out, _ = command("--focus", *focus, "--budget", "200", "--format", "json")
    assert code in {0, 1}
    alone = [s for s in settings_of(json.loads(out)) if set(s) == {focus[1]}]
    assert {focus[1]: "1"} in alone
    assert {focus[1]: "0"} not in alone


def test_a_picture_a_page_and_a_text(tmp_path):
    for form in ("svg", "html", "text"):
        file = tmp_path / form
        code, _, err = command("--focus", "init", "--budget", "60", "--format", form, "--output", str(file))
        assert code == 0, err
        text = file.read_text()
        assert "file" in text
        if form == "svg":
            xml.dom.minidom.parseString(text)


def test_an_interrupted_search_tells_what_it_has_learnt_and_leaves_nothing():
    running = subprocess.Popen(
        [sys.executable, "-m", "commcheck", "explore", "--budget", "10m"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    for line in running.stderr:
        if " worlds, " in line:
            break
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted" in out
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--budget", "soon"), "give a number of worlds"),
        (("--focus", "GLOO_SOCKET_IFNAM"), "did you mean 'GLOO_SOCKET_IFNAME'?"),
        (("--lab", "nowhere.toml"), "nowhere.toml"),
        (("--jobs", "0"), "at least 1"),
    ],
)
def test_wrong_usage(arguments, says):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_the_parameters_can_be_listed_without_a_world():
    code, out, _ = command("--list", "--focus", "NCCL_SOCKET_IFNAME")
    assert code == 0
    assert out.startswith("NCCL_SOCKET_IFNAME: unset, ")
