"""Scenario files: find them, read them, and say in one sentence what is wrong with one: file, line, field, remedy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from commcheck.errors import InputError, did_you_mean
from commcheck.model.scenario import RankSettings, Scenario
from commcheck.scenarios.kinds import file_type, specs
from commcheck.scenarios.lines import Key, line_of

_HERE = Path(__file__).parent
_PLACES = (_HERE / "files", _HERE.parents[1] / "scenarios")
"""Where the shipped ones are: in an installed package, in a checkout."""

_FIELD = re.compile(r" - at `\$([^`]*)`")
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")
_HINTS = {
    "int": "a whole number",
    "float": "a number",
    "str": 'a text in quotes: "..."',
    "array": "a list: [ ... ]",
    "object": "a table",
    "bool": "true or false",
}


class Found(msgspec.Struct, frozen=True):
    """A scenario and where it came from. `name`: its path below the folder of scenarios, without ".toml"."""

    name: str
    path: Path
    scenario: Scenario


def folder(given: str | None) -> Path:
    """The folder of scenarios: the given one, or the shipped one. Raises InputError when it is not there."""
    if given is not None:
        if not Path(given).is_dir():
            raise InputError(f"--dir {given}: there is no such folder")
        return Path(given)
    for place in _PLACES:
        if place.is_dir():
            return place
    raise InputError("no scenarios are installed here: name a folder with --dir")


def files(root: Path) -> dict[str, Path]:
    """All scenario files below `root` by name."""
    return {str(p.relative_to(root).with_suffix("")): p for p in sorted(root.rglob("*.toml"))}


def load_all(root: Path) -> tuple[Found, ...]:
    """Every scenario below `root`, by name. Raises InputError for the first that cannot be read."""
    return tuple(Found(name, path, load(path)) for name, path in files(root).items())


def load(path: Path) -> Scenario:
    """One file. Raises InputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 (byte {error.start}); is it a scenario?") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Scenario:
    """The scenario that a text declares; `source` names it in errors. Raises InputError."""
    from commcheck.scenarios.check import problems

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source}: not TOML: {error}") from error
    scenario = _convert(raw, text, source)
    for problem in problems(scenario):
        raise InputError(_located(text, source, problem.path, problem.text))
    return scenario


def _convert(raw: dict[str, Any], text: str, source: str) -> Scenario:
    # A mapping's keys are not in msgspec's path, so its values are looked at one by one first.
    ranks = raw.get("ranks")
    for key, value in ranks.items() if isinstance(ranks, dict) else ():
        try:
            msgspec.convert(value, RankSettings)
        except msgspec.ValidationError as error:
            said, path = _said(error)
            raise InputError(_explained(text, source, ("ranks", key, *path), said, raw)) from error
    try:
        return msgspec.convert(raw, file_type())
    except msgspec.ValidationError as error:
        said, path = _said(error)
        raise InputError(_explained(text, source, path, said, raw)) from error


def _said(error: msgspec.ValidationError) -> tuple[str, tuple[Key, ...]]:
    """msgspec's words without the place, and the place."""
    message = str(error)
    where = _FIELD.search(message)
    steps = _STEP.findall(where[1]) if where else []
    path: tuple[Key, ...] = tuple(name or int(index) for name, index in steps)
    return (message[: where.start()] if where else message), path


def _explained(text: str, source: str, path: tuple[Key, ...], said: str, raw: dict[str, Any]) -> str:
    """The error with its remedy."""
    unknown = re.search(r"unknown field `(.+)`", said)
    missing = re.search(r"missing required field `(.+)`", said)
    expected = re.search(r"Expected `([a-z]+)[^`]*`(?:.*got `([a-z]+)`)?", said)
    if unknown:
        path = (*path, unknown[1])
        return _located(text, source, path, f"there is no such field; {_nearest(unknown[1], _names(path[:-1], raw))}")
    if missing:
        table = ".".join(map(str, path)) or "the scenario"
        return _located(text, source, path, f"{table} lacks the field {missing[1]!r}", field=False)
    if said.startswith("Invalid value") and path and path[-1] == "kind":
        wrong = said.partition("'")[2].rpartition("'")[0]
        return _located(text, source, path, f"no fault is called {wrong!r}; {_nearest(wrong, tuple(specs()))}")
    if said.startswith("Invalid enum value"):
        wrong = said.partition("'")[2].rpartition("'")[0]
        return _located(text, source, path, f"{wrong!r} is not known; {_nearest(wrong, _enum(path))}")
    if expected and expected[1] in _HINTS and expected[2]:
        return _located(
            text, source, path, f"write {_HINTS[expected[1]]} here, not {_HINTS.get(expected[2], expected[2])}"
        )
    return _located(text, source, path, said)


def _enum(path: tuple[Key, ...]) -> tuple[str, ...]:
    from commcheck.model.diagnosis import Verdict
    from commcheck.model.taxonomy import FixPattern, Symptom

    name = next((str(p) for p in reversed(path) if isinstance(p, str)), "")
    known = {"symptoms": Symptom, "fixes": FixPattern, "verdict": Verdict}.get(name, ())
    return tuple(e.value for e in known)


def _names(path: tuple[Key, ...], raw: dict[str, Any]) -> tuple[str, ...]:
    """The fields that the struct at `path` has."""
    kind: Any = file_type()
    here: Any = raw
    for step in path:
        here = here[step]
        if isinstance(step, int):
            continue
        if step == "fault":
            kind = None
        elif step == "ranks" or kind is RankSettings:
            kind = RankSettings
        elif kind is not None and isinstance(kind, type):
            kind = _struct(next((f.type for f in msgspec.structs.fields(kind) if f.encode_name == step), None))
    if path[:1] == ("fault",) and len(path) == 2 and isinstance(here, dict):
        kind = specs().get(str(here.get("kind")))
    if kind is None:
        return ()
    return tuple(f.encode_name for f in msgspec.structs.fields(kind))


def _struct(annotation: Any) -> Any:
    """The struct inside `X`, `X | None` or `tuple[X, ...]`; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _struct(argument)
        if found is not None:
            return found
    return None


def _nearest(wrong: str, known: tuple[str, ...]) -> str:
    every = f"there are {', '.join(known)}" if known else "see the schema: commcheck scenario check --schema"
    return did_you_mean(wrong, known, every)


def _located(text: str, source: str, path: tuple[Key, ...], what: str, *, field: bool = True) -> str:
    """`FILE:LINE: FIELD: what`."""
    line = line_of(text, path)
    where = f"{source}:{line}" if line else source
    name = ""
    for step in path:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else str(step)
    return f"{where}: {name}: {what}" if field and name else f"{where}: {what}"
