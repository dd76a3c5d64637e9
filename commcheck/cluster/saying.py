"""A diagnosis in the words of the catalogue: what the cluster's own measurements add is title, hosts, links and evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from commcheck.catalog.fixes import frequency
from commcheck.diagnose.documented import how_to_confirm
from commcheck.diagnose.index import rules
from commcheck.model.diagnosis import Diagnosis, Evidence, EvidenceKind, Fix, Link, Role
from commcheck.model.taxonomy import FixPattern, Symptom

SHOWN = 8
"""Pieces of evidence of one kind: a host that a thousand others cannot reach is not shown a thousand times."""
NAMED = 6
"""Hosts that a sentence names."""


def diagnosis(
    cause: str,
    title: str,
    confidence: float,
    *,
    hosts: Iterable[str] = (),
    links: Iterable[Link] = (),
    evidence: Iterable[Evidence] = (),
    against: Iterable[Evidence] = (),
    fixes: Iterable[Fix] = (),
    symptom: Symptom | None = None,
    role: Role = Role.ROOT,
) -> Diagnosis:
    """With the cause's code, stage and usual symptom."""
    rule = rules()[cause]
    shown = symptom or rule.symptoms[0]
    return Diagnosis(
        symptom=shown,
        cause=cause,
        code=rule.code,
        title=title.replace("the ", "The ", 1) if title.startswith("the ") else title,
        confidence=confidence,
        role=role,
        stage=rule.stage,
        hosts=tuple(hosts),
        links=tuple(links),
        evidence=tuple(evidence),
        against=tuple(against),
        fixes=tuple(_with_frequency(fix, shown) for fix in fixes),
        confirm=how_to_confirm(cause) if role is Role.ROOT else "",
    )


def _with_frequency(fix: Fix, symptom: Symptom) -> Fix:
    from msgspec.structs import replace

    return replace(fix, frequency=frequency(symptom, fix.pattern))


def network_fix(text: str, *commands: str) -> Fix:
    """A repair of the network's or a host's settings."""
    return Fix(pattern=FixPattern.NETWORK_SETTING, text=text, commands=commands)


def seen(text: str, source: str, kind: EvidenceKind = EvidenceKind.PROBE) -> Evidence:
    """One observation."""
    return Evidence(kind=kind, text=text, source=source)


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """`h1`, `h1 and h2`, `h1, h2 and 14 others`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def some(found: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """As many as a reader looks at, and how many more there are."""
    if len(found) <= SHOWN:
        return tuple(found)
    more = Evidence(kind=found[0].kind, text=f"and {len(found) - SHOWN} more of the kind", source=found[0].source)
    return (*found[:SHOWN], more)
