"""NCCL's configuration file does not do what it says.

**What you see**

Nothing: NCCL says at most, with NCCL_DEBUG=INFO and NCCL_DEBUG_SUBSYS=ENV, which values it has. A setting of the file has no
effect, or one that nobody remembers has.

**Why it happens**

NCCL reads NCCL_CONF_FILE (since 2.23) or else ~/.nccl.conf (before 2.30 in the account's home, whatever HOME says), then /etc/nccl.conf, and never replaces what is set: the environment
counts first, then the first line of the first file. A line is NAME=VALUE as it stands: blanks, quotes and `export` become part
of the name or value. NCCL_CONF_FILE takes no `~`, and a file that is not there is passed over in silence.

**How to fix**

Write NAME=VALUE without anything around it, and set each variable in one place.

**How to confirm**

`commcheck lint --backend nccl` shows what is set where; `NCCL_DEBUG=INFO NCCL_DEBUG_SUBSYS=ENV` what NCCL made of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from commcheck.catalog.env import known, lookup, nccl_versions, nearest
from commcheck.diagnose.rules.environment.env_malformed import expectation
from commcheck.diagnose.rules.nccl.shared import Asked, asked
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.nccl import NcclFile, NcclSetting
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

NO_EFFECT = 0.45
"""What the file says has no effect: worth a look, and no reason by itself for a job to fail."""
HIDDEN = 0.35
"""It may well be meant that the environment counts."""

Finding = tuple[float, str, str, str]
"""How sure, the title, the evidence, what to do."""


def match(case: Case) -> Match | None:
    """Files that cannot be read, lines that set nothing or something else, and settings that another one hides."""
    for one in asked(case):
        found = sorted(_findings(one), key=lambda f: -f[0])
        if not found:
            continue
        confidence, title, _, _ = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return Match(
            symptom=Symptom.SETUP_UNEXPECTED_PROTOCOL,
            title=f"{title}{more}{one.where}",
            confidence=confidence,
            ranks=one.ranks,
            hosts=(one.host.host,),
            evidence=tuple(Evidence(kind=EvidenceKind.FACT, text=text, source="file") for _, _, text, _ in found[:12]),
            fixes=tuple(
                Fix(pattern=FixPattern.COMMUNICATION_CONFIGURATION, text=text, applies_to_ranks=one.ranks)
                for text in dict.fromkeys(f[3] for f in found[:4])
            ),
        )
    return None


def _findings(one: Asked) -> Iterator[Finding]:
    library = one.nccl.library
    named = one.nccl.environment.get("NCCL_CONF_FILE", "")
    if named and library is not None and nccl_versions.since()["NCCL_CONF_FILE"] > library.version // 100 % 100:
        title = f"NCCL_CONF_FILE is read since 2.23, and this is NCCL {library.text}"
        yield NO_EFFECT, title, f"NCCL_CONF_FILE={named}", "use ~/.nccl.conf or /etc/nccl.conf"
    for file in one.nccl.files:
        if file.error:
            tilde = ": ~ is not expanded" if file.path.startswith("~") else ""
            by = f"{file.wanted_by}={file.path}" if file.wanted_by else file.path
            title = f"{by} cannot be read ({file.error}){tilde}, and NCCL says nothing"
            yield NO_EFFECT, title, f"{file.path}: {file.error}", "give the whole path of a file that can be read"
        for number, text in file.ignored:
            title = f"{file.path}, line {number} sets nothing: {text!r} is not NAME=VALUE"
            yield NO_EFFECT, title, f"line {number}: {text}", "write NAME=VALUE, or # before a comment"
        for setting in file.settings:
            yield from _setting(one, file, setting)


def _setting(one: Asked, file: NcclFile, setting: NcclSetting) -> Iterator[Finding]:
    where = f"{file.path}, line {setting.line}"
    shown = f"{where}: {setting.name}={setting.value}"
    name = setting.name
    plain = name.strip().removeprefix("export ").strip()
    if setting.name.startswith("#"):
        return
    if plain != name:
        title = f"{where} sets {name!r} and not {plain}: what stands around the name is part of it"
        yield NO_EFFECT, title, shown, f"write {plain}= at the begin of the line, without anything before or after it"
        return
    value = setting.value
    if value != value.strip() or (len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"):
        title = f"{where}: blanks and quotes belong to the value of {name}, which is {value!r}"
        yield NO_EFFECT, title, shown, f"write {name}={value.strip().strip(chr(34) + chr(39))}"
        return
    if setting.hidden_by and one.nccl.environment.get(name) != value:
        counts = one.nccl.environment.get(name, "")
        title = f"{name}={value} of {file.path} has no effect: {setting.hidden_by} has {name}={counts}"
        yield HIDDEN, title, shown, f"set {name} in one place"
        return
    if not setting.hidden_by:
        yield from _meaning(one, name, value, where, shown)


def _meaning(one: Asked, name: str, value: str, where: str, shown: str) -> Iterator[Finding]:
    """As for variables of the environment, of which other rules speak: names that nobody reads, values out of range."""
    row = lookup(name)
    expected = expectation(row, value) if row is not None else ""
    if expected:
        yield NO_EFFECT, f"{where}: {name}={value} is not {expected}", shown, f"set {name} to {expected}"
    library = one.nccl.library
    if name.startswith("NCCL_") and name not in known() and (library is None or name not in library.names):
        meant = nearest(name)
        title = f"{where}: {name} is read by nothing" + (f"; did you mean {meant}?" if meant else "")
        yield NO_EFFECT, title, shown, f"rename it to {meant}" if meant else "check the name, or take the line out"


RULE = Rule(
    cause="nccl-config-file",
    code="CC183",
    title="NCCL's configuration file does not do what it says",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_UNEXPECTED_PROTOCOL, Symptom.SETUP_FAILURE),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "write plain NAME=VALUE lines, and set each variable in one place"),
    ),
    match=match,
    needs=("hosts",),
)
