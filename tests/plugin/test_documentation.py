"""The examples of docs/pytest.md are run as they stand there; the assertions about configurations."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from commcheck.errors import UsageError
from commcheck.generate.config import Config
from commcheck.model.scenario import World
from commcheck.testing import fails_with, forms

PAGE = Path(__file__).parents[2] / "docs" / "pytest.md"


def test_the_examples_work(run, tmp_path):
    examples = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = run(tmp_path, {f"test_{number}.py": text for number, text in enumerate(examples)}, "--strict-markers")
    assert done.returncode == 0, done.text
    assert len(examples) == 5
    assert "7 passed" in done.text


def test_every_argument_of_the_mark_is_documented():
    from commcheck.scenarios.spec import FIELDS

    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} >= set(FIELDS)


class TestAssertions:
    def test_a_good_world(self):
        report = forms(world_size=2, env={"GLOO_SOCKET_IFNAME": "lo"})
        assert report.world is not None
        assert report.world.distinct_processes == 2

    def test_a_config(self):
        forms(Config(world=World(size=3)))

    def test_a_bad_world_does_not_form(self):
        with pytest.raises(AssertionError, match="There is no interface nope0"):
            forms(env={"GLOO_SOCKET_IFNAME": "nope0"})

    def test_it_fails_as_expected(self):
        wrong = {1: {"env": {"MASTER_PORT": "1"}}}
        fails_with(per_rank=wrong, cause="port-mismatch", symptom="setup-hang-timeout", ranks=[1])
        with pytest.raises(AssertionError, match="cause is port-mismatch, not port-in-use"):
            fails_with(per_rank=wrong, cause="port-in-use")
        with pytest.raises(AssertionError, match=r"the ranks are \[1\], not \[0\]"):
            fails_with(per_rank=wrong, ranks=[0])

    def test_a_good_world_does_not_fail(self):
        with pytest.raises(AssertionError, match="the world is healthy"):
            fails_with(world_size=1)

    def test_wrong_arguments(self):
        with pytest.raises(UsageError, match="did you mean 'backend'"):
            forms(bakend="gloo")

    def test_a_failure_shrinks_to_the_settings_that_matter(self):
        seen = []

        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(size=st.integers(1, 3), interface=st.sampled_from(["lo", "nope0"]), debug=st.booleans())
        def check(size, interface, debug):
            seen.append((size, interface, debug))
            more = {"TORCH_CPP_LOG_LEVEL": "ERROR"} if debug else {}
            forms(world_size=size, env={"GLOO_SOCKET_IFNAME": interface, **more})

        with pytest.raises(AssertionError) as failure:
            check()
        assert "size=1," in str(failure.value.__notes__)
        assert "interface='nope0'" in str(failure.value.__notes__)
        assert "debug=False" in str(failure.value.__notes__)
