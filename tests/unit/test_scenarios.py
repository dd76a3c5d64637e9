"""Scenario files: what is read, what is refused and with which words; who is chosen; how is scored."""

import json
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.errors import InputError, UsageError
from commcheck.model.diagnosis import Verdict
from commcheck.model.scenario import Expect
from commcheck.scenarios import choose, load, picture, schema, template, to_text
from commcheck.scenarios.kinds import host_kinds, specs
from commcheck.scenarios.lines import line_of
from commcheck.scenarios.score import Outcome, board

ROOT = Path(__file__).parents[2]
FILES = load.files(ROOT / "scenarios")
EVERY = load.load_all(ROOT / "scenarios")
VALIDATOR = jsonschema.Draft202012Validator(schema.schema())

GOOD = """\
title = "The port is closed"

[lab]
hosts = 3

[world]
size = 3
env = { MASTER_ADDR = "{h0}" }

[ranks.1]
env = { NOTE = "{h2.eth0}" }

[[fault]]
kind = "drop"
hosts = [0]

[[fault]]
kind = "kill"
rank = 1

[expect]
verdict = "unhealthy"
cause = "port-dropped"
symptoms = ["setup-hang-timeout"]
ranks = [0]
"""


def refused(old: str, new: str) -> str:
    """What is said of GOOD with `old` replaced."""
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        load.parse(GOOD.replace(old, new), "mine.toml")
    return str(caught.value)


def test_a_good_one_is_read() -> None:
    scenario = load.parse(GOOD, "mine.toml")
    assert [type(f).__struct_config__.tag for f in scenario.fault] == ["drop", "kill"]
    assert scenario.lab is not None
    assert scenario.lab.hosts == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("hosts = 3", 'hosts = "3"', 4, ("lab.hosts", "a whole number")),
        ("hosts = 3", "hots = 3", 4, ("lab.hots", "no such field", "'hosts'")),
        ("size = 3", "size = 0", 7, ("world.size", ">= 1")),
        ("[world]", "[wrold]", 6, ("wrold", "'world'")),
        ('kind = "drop"', 'kind = "dorp"', 14, ("fault[0].kind", "'drop'")),
        ('kind = "drop"', "", 13, ("kind",)),
        ("hosts = [0]", "hosts = [3]", 15, ("fault[0].hosts", "no host 3")),
        ("hosts = [0]", "host = [0]", 15, ("fault[0].host", "'hosts'")),
        ("rank = 1", "rank = 3", 19, ("fault[1].rank", "no rank 3")),
        ("rank = 1", 'rank = 1\nphase = "stedy"', 20, ("fault[1].phase", "steady")),
        ("[ranks.1]", "[ranks.7]", 10, ("ranks.7", "no rank")),
        ("env = { NOTE", "evn = { NOTE", 11, ("ranks.1.evn", "'env'")),
        ('"{h2.eth0}"', '"{h2.eth9}"', 11, ("eth9", "eth0")),
        ('"{h0}"', '"{h9}"', 8, ("no host 9",)),
        ('cause = "port-dropped"', 'cause = "port-droped"', 23, ("expect.cause", "'port-dropped'")),
        ('"setup-hang-timeout"', '"setup-hang"', 24, ("expect.symptoms", "'setup-hang-timeout'")),
        ('verdict = "unhealthy"', 'verdict = "broken"', 22, ("expect.verdict", "healthy")),
        ('cause = "port-dropped"', "", 21, ("expect", "needs a cause")),
        ('title = "The port is closed"', "", None, ("lacks", "'title'")),
        ('title = "The port is closed"', "title = The", 1, ("not TOML",)),
        ('title = "The port is closed"', 'title = "x"\nrequires = ["tpu"]', 2, ("requires", "'tpu'", "gpu")),
    ],
)
def test_a_wrong_one_is_refused_with_line_field_and_remedy(
    old: str, new: str, line: int | None, words: tuple[str, ...]
) -> None:
    said = refused(old, new)
    assert said.startswith("mine.toml")
    assert line is None or f":{line}:" in said or f"line {line}" in said, said
    for word in words:
        assert word in said, said


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text"):
        load.load(path)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        said = type(load.parse(text, "x.toml")).__name__
    except InputError as error:
        said = str(error)
    assert said.startswith(("x.toml", "ScenarioFile"))


KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)


@given(
    st.lists(
        st.tuples(KEYS, st.lists(KEYS, min_size=1, max_size=4, unique=True)),
        min_size=1,
        max_size=5,
        unique_by=lambda t: t[0],
    )
)
def test_the_line_of_a_value_is_where_it_was_written(tables: list[tuple[str, list[str]]]) -> None:
    lines: list[str] = []
    where: dict[tuple[str | int, ...], int] = {}
    for number, (name, keys) in enumerate(tables):
        array = number % 2 == 1
        lines.append(f"[[{name}]]" if array else f"[{name}]")
        path: tuple[str | int, ...] = (name, 0) if array else (name,)
        where[path] = len(lines)
        for key in keys:
            lines.append(f"{key} = 1")
            where[*path, key] = len(lines)
    text = "\n".join(lines)
    tomllib.loads(text)
    for path, line in where.items():
        assert line_of(text, path) == line
        assert line_of(text, (*path, "nowhere")) == line


# --- the shipped ones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_shipped_scenario_is_in_order(name: str) -> None:
    scenario = next(f.scenario for f in EVERY if f.name == name)
    assert scenario.title.rstrip(".") == scenario.title
    raw = tomllib.loads(FILES[name].read_text(encoding="utf-8"))
    VALIDATOR.validate(raw)
    first = FILES[name].read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("#:schema ")
    assert (FILES[name].parent / first.removeprefix("#:schema ")).resolve() == schema.FILE


def test_the_published_schema_is_current() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.text()
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.text()))


def test_there_are_enough_and_their_titles_differ() -> None:
    every = EVERY
    assert len(every) >= 150
    assert sum(f.scenario.expect.verdict is Verdict.HEALTHY for f in every) >= 25
    assert len({f.scenario.expect.cause for f in every}) >= 50


def test_every_kind_of_fault_of_hosts_is_in_some_scenario() -> None:
    used = {f.__struct_config__.tag for found in EVERY for f in found.scenario.fault}
    assert sorted(set(host_kinds()) - used) == []


@pytest.mark.parametrize("kind", specs())
def test_a_new_file_is_a_scenario_once_its_blanks_are_filled(kind: str) -> None:
    text = template.text(kind)
    blanks = [line for line in text.splitlines() if line.endswith("# this has to be filled in")]
    assert f'kind = "{kind}"' in text
    if not blanks:
        load.parse(text, "new.toml")


# --- choosing ---------------------------------------------------------------------------------------------------


def test_names_folders_patterns_and_tags_choose() -> None:
    every = EVERY
    assert [f.name for f in choose.choose(every, ["port-dropped"], [])] == ["rendezvous/port-dropped"]
    assert {f.name.split("/")[0] for f in choose.choose(every, ["ranks"], [])} == {"ranks"}
    assert len(choose.choose(every, ["rendezvous/port-*"], [])) > 3
    assert {f.scenario.expect.cause for f in choose.choose(every, [], ["port-dropped"])} == {"port-dropped"}
    with pytest.raises(UsageError, match="did you mean"):
        choose.choose(every, ["rendezvous/port-droped"], [])
    with pytest.raises(UsageError, match="tag"):
        choose.choose(every, [], ["no-such-tag"])


def test_a_sample_has_every_cause_and_every_family() -> None:
    every = EVERY
    sample = choose.choose(every, [], [], sample=True)
    assert len(sample) < len(every)
    for key in (lambda f: f.scenario.expect.cause, lambda f: f.scenario.family):
        assert {key(f) for f in sample} == {key(f) for f in every}


# --- the scoreboard -----------------------------------------------------------------------------------------------


def row(name: str, expected: str, said: str, **more: object) -> Outcome:
    return msgspec.structs.replace(
        Outcome(name=name, title=name, expected=expected, said=said, verdict="unhealthy"), **more
    )


ROWS = (
    row("a", "port-dropped", "port-dropped", cause_at_1=True, cause_in_3=True, culprit=True, symptom_right=True, seconds=1.0,
        mendable=True, fix_verified=True, family="f"),
    row("b", "port-refused", "port-dropped", cause_in_3=True, seconds=3.0, family="f", problems=("cause",), mendable=True),
    row("c", "healthy", "healthy", healthy=True),
    row("d", "healthy", "wrong-values", healthy=True, false_alarm=True, problems=("verdict",)),
    row("e", "mtu", "unsure", unknown=True, problems=("cause",)),
    row("f", "x", "", skipped="no GPU | here"),
)  # fmt: skip


def test_the_sum_counts_what_it_says() -> None:
    total = board(ROWS, 10.0).sum
    assert (total.scenarios, total.healthy, total.skipped, total.as_expected) == (5, 2, 1, 2)
    assert (total.cause_at_1, total.cause_in_3, total.culprit, total.symptom) == (1, 2, 1, 1)
    assert (total.mendable, total.fix_verified, total.false_alarms, total.unknown) == (2, 1, 1, 1)
    assert (total.seconds, total.slowest) == (2.0, 3.0)


def test_the_confusion_matrix_and_the_families() -> None:
    made = board(ROWS, 10.0)
    assert made.confusion["port-refused"] == {"port-dropped": 1}
    assert made.confusion["healthy"] == {"healthy": 1, "wrong-values": 1}
    assert [(f.name, f.scenarios, f.cause_at_1) for f in made.families] == [("f", 2, 1)]


def test_the_scoreboard_can_be_drawn_in_every_form() -> None:
    made = board(ROWS, 10.0)
    text = to_text.text(made)
    assert "1 of 3 (33.3 %)" in text
    assert "b: cause" in text
    markdown = to_text.markdown(made)
    assert "| port-refused | port-dropped | 1 |" in markdown
    tables = [line for line in markdown.splitlines() if line.startswith("| ") and "no GPU" in line]
    assert tables[0].replace("\\|", "").count("|") == 9
    drawn = picture.svg(made)
    assert drawn.startswith("<svg ")
    assert "port-refused called port-dropped: 1" in drawn
    assert msgspec.json.decode(msgspec.json.encode(made))["sum"]["scenarios"] == 5


def test_expectations_are_strict() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"verdict": "healthy", "ranks": ["a"]}, Expect)
