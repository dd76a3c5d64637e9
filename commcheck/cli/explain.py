"""Show a symptom, a cause, a code, a fix pattern or an environment variable as a manual page; without an id, the list."""

import argparse
import sys
from typing import Any

from commcheck.catalog.fixes import FIXES, FixRow, counts, fix_row, frequency
from commcheck.catalog.symptoms import FRAMEWORKS, SYMPTOMS, SymptomRow, row
from commcheck.errors import UsageError
from commcheck.model.taxonomy import FixPattern, Symptom

Page = dict[str, Any]
"""A manual page as data, ready for JSON: "kind", "id", "title", and what that kind has."""

_RULES = "commcheck.diagnose.rules"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the id and the form of the output."""
    parser.add_argument("id", nargs="?", help="symptom, cause, code (CC101), fix pattern or variable; none: list all")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the page (default: text)")
    parser.add_argument("--output", metavar="FILE", help="write the page to FILE instead of standard output")


def run(args: argparse.Namespace) -> int:
    """Print the page and return 0. Raises UsageError, with the nearest ids, for an id that nothing has."""
    wanted: str | None = args.id
    page = listing() if wanted is None else explain(wanted)
    if args.format == "json":
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(page), indent=2).decode() + "\n"
    else:
        from commcheck.cli.output import text_width
        from commcheck.report.page import list_text, page_text

        text = (list_text if wanted is None else page_text)(page, text_width(sys.stdout))
    if getattr(args, "output", None):
        _write(args.output, text)
    else:
        print(text, end="")
    return 0


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        raise UsageError(f"--output {path}: {e.strerror or e}") from e


def explain(wanted: str) -> Page:
    """The page of one id, in whatever case it is written. Raises UsageError for an unknown one."""
    low, up = wanted.strip().lower(), wanted.strip().upper()
    symptom = next((s for s in Symptom if s.value == low), None)
    if symptom is not None:
        return _symptom(row(symptom))
    pattern = next((p for p in FixPattern if p.value == low), None)
    if pattern is not None:
        return _fix(fix_row(pattern))
    from commcheck.catalog.env import lookup

    variable = lookup(wanted.strip()) or lookup(up)
    if variable is not None:
        return _variable(variable.name)
    for found in _causes(only=low):
        if low == found["id"] or up == found["code"]:
            return found | {"wordings": _wordings(found)}
    raise UsageError(f"nothing is known as {wanted!r}; {_nearest(wanted)}")


def _wordings(page: Page) -> list[Page]:
    """The lines of logs that show a cause, the plainest first: its rule's own, and those that it shares with others."""
    from commcheck import registry

    shared = [
        {"example": s.positive, "source": s.source, "weight": s.weight}
        for module in registry.modules("commcheck.diagnose.signatures")
        for s in getattr(module, "SIGNATURES", {}).get(page["id"], ())
    ]
    return sorted([*page["wordings"], *shared], key=lambda wording: -wording["weight"])


def _nearest(wanted: str) -> str:
    import difflib

    from commcheck.catalog.env import nearest

    ids = [s.value for s in Symptom] + [p.value for p in FixPattern]
    ids += [i for page in _causes() for i in (page["id"], page["code"])]
    near = difflib.get_close_matches(wanted.lower(), [i.lower() for i in ids], n=3, cutoff=0.5)
    near = [i.upper() if i.upper().startswith("CC") and i[2:].isdigit() else i for i in near]
    variable = nearest(wanted)
    if variable is not None:
        near.insert(0, variable)
    return f"the nearest: {', '.join(near)}" if near else "`commcheck explain` lists all ids"


def _causes(only: str = "") -> list[Page]:
    """The pages of the causes, by code. With `only`: that cause's alone where a file has its name, which saves reading
    all the others."""
    from commcheck import registry
    from commcheck.model.rule import Rule

    modules = registry.modules(_RULES) if not only else _module_named(only) or registry.modules(_RULES)
    pages = [_cause(module.RULE, module.__doc__ or "") for module in modules if isinstance(_rule(module), Rule)]
    return sorted(pages, key=lambda page: str(page["code"]))


def _rule(module: object) -> object:
    return getattr(module, "RULE", None)


def _module_named(wanted: str) -> "tuple[Any, ...]":
    """The one rule module whose file is called after a cause or holds a code, imported; () when there is none.

    Files are read as text: importing all rules to find one costs more than the rest of the command."""
    import importlib
    import os

    package = importlib.import_module(_RULES)
    file = wanted.replace("-", "_") + ".py"
    code = f'code="{wanted.upper()}"'.encode()
    for folder in package.__path__:
        for stage in sorted(e.name for e in os.scandir(folder) if e.is_dir()):
            for name in sorted(os.listdir(os.path.join(folder, stage))):
                if name == file or (name.endswith(".py") and _holds(os.path.join(folder, stage, name), code)):
                    return (importlib.import_module(f"{_RULES}.{stage}.{name[:-3]}"),)
    return ()


def _holds(path: str, text: bytes) -> bool:
    with open(path, "rb") as file:
        return text in file.read()


def _cause(rule: Any, text: str) -> Page:
    return {
        "kind": "cause",
        "id": rule.cause,
        "code": rule.code,
        "title": rule.title,
        "stage": rule.stage.value,
        "symptoms": [s.value for s in rule.symptoms],
        "fixes": [{"pattern": p.value, "text": t, "frequency": frequency(rule.symptoms[0], p)} for p, t in rule.fixes],
        "explains": list(rule.explains),
        "wordings": [{"example": s.positive, "source": s.source, "weight": s.weight} for s in rule.signatures],
        "text": text.strip(),
    }


def _symptom(entry: SymptomRow) -> Page:
    # What the rules say beyond the catalogue's usual ones: a symptom never has one cause.
    keys = ("code", "id", "title", "symptoms")
    known = {page["id"]: {k: page[k] for k in keys} for page in _causes() if page["id"] != "unclassified"}
    usual = [known.get(c) or {"code": "", "id": c, "title": "no rule yet", "symptoms": []} for c in entry.causes]
    return {
        "kind": "symptom",
        "id": entry.id.value,
        "title": entry.paper_name,
        "parent": entry.parent,
        "stage": entry.stage.value,
        "faults": entry.faults,
        "distributed": entry.distributed,
        "frameworks": dict(zip(FRAMEWORKS, entry.frameworks, strict=True)),
        "definition": entry.definition,
        "communication": entry.angle,
        "messages": list(entry.messages),
        "look_alikes": [s.value for s in entry.look_alikes],
        "causes": usual,
        "other_causes": [c for c in known.values() if entry.id in c["symptoms"] and c["id"] not in entry.causes],
        "fixes": [{"pattern": p.value, "count": n, "frequency": frequency(entry.id, p)} for p, n in counts(entry.id)],
    }


def _fix(entry: FixRow) -> Page:
    helps = sorted(
        ((n, s.id) for s in SYMPTOMS for p, n in counts(s.id) if p is entry.pattern), key=lambda x: (-x[0], x[1])
    )
    return {
        "kind": "fix",
        "id": entry.pattern.value,
        "title": entry.label,
        "faults": entry.faults,
        "covers": entry.covers,
        "symptoms": [{"symptom": s.value, "count": n, "frequency": frequency(s, entry.pattern)} for n, s in helps],
    }


def _variable(name: str) -> Page:
    from commcheck.catalog.env import known
    from commcheck.catalog.env.interactions import interactions

    entry = known()[name]
    page: Page = {
        "kind": "variable",
        "id": entry.name,
        "title": entry.meaning,
        "owner": entry.owner,
        "values": entry.kind.value,
        "choices": list(entry.choices),
        "low": entry.low,
        "high": entry.high,
        "default": entry.default,
        "read_at": entry.read_at.value,
        "bad_value": "refused with an error" if entry.strict else "ignored, or taken for another one",
        "source": entry.source,
        "interactions": [{"names": list(i.names), "effect": i.effect, "source": i.source} for i in interactions(name)],
    }
    page |= {k: v for k, v in (("since", entry.since), ("until", entry.until), ("instead", entry.instead)) if v}
    return page


def listing() -> Page:
    """All ids with their titles; variables are counted, not listed."""
    from commcheck.catalog.env import known

    return {
        "symptoms": [{"id": s.id.value, "title": s.paper_name, "stage": s.stage.value} for s in SYMPTOMS],
        "causes": [{k: page[k] for k in ("code", "id", "title")} for page in _causes()],
        "fixes": [{"id": f.pattern.value, "title": f.label} for f in FIXES],
        "variables": len(known()),
    }
