"""A variable that nothing reads: a misspelt, obsolete or made-up name.

**What you see**

Nothing names it: the setting has no effect. The job runs with defaults (another interface, no debug output), or fails as
if the variable had not been set.

**Why it happens**

A name is misspelt (GLOO_SOCKET_IFACE for GLOO_SOCKET_IFNAME), belongs to another library (GLOO_SOCKET_TIMEOUT, which no
gloo has ever read), or was dropped (NCCL_IB_CUDA_SUPPORT, gone since NCCL 2.4) or renamed.

**How to fix**

Use the name that is read, or take the setting out so that nobody relies on it.

**How to confirm**

`commcheck explain NAME` knows the names that torch, gloo, NCCL and the launchers read. For NCCL,
`NCCL_DEBUG=INFO NCCL_DEBUG_SUBSYS=ENV` prints those that it did read.
"""

from commcheck.catalog.env import EnvVar, lookup, nearest
from commcheck.catalog.env.row import Kind
from commcheck.diagnose.rules.environment.settings import (
    REQUIRED,
    WORKS_ANYWAY,
    Finding,
    Seen,
    fact,
    failed,
    match_of,
    seen,
)
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.nccl import NcclLibrary
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

FAMILIES: tuple[str, ...] = ("NCCL_", "GLOO_", "TORCH_NCCL_", "TORCH_GLOO_", "TORCH_FR_", "TORCH_DISTRIBUTED_")
"""Families of which the catalogue holds every member, so that another name in them is unread by the library itself.
Plug-ins have names of their own below NCCL_: without a near known name, little is said."""

MISSPELT_AND_FAILED = 0.55
"""A misspelt setting of a world that failed, with the right name not set: the reader should look here."""
MISSPELT = 0.45
OBSOLETE = 0.35
NO_IDEA = 0.25


def match(case: Case) -> Match | None:
    """Unknown names that are near to known ones or belong to a known family, and obsolete names."""
    findings = []
    for who in seen(case):
        library = _library(case, who)
        for name in who.environment:
            row = lookup(name)
            if library is not None and name.startswith("NCCL_") and (row is None or row.owner == "nccl"):
                finding = _asked(case, who, name, row, library)
            else:
                finding = _obsolete(who, row) if row is not None else _unknown(case, who, name)
            if finding is not None:
                findings.append(finding)
    return match_of(findings)


def _library(case: Case, who: Seen) -> NcclLibrary | None:
    """The libnccl of the process's host, where it was asked."""
    host = case.host(who.record.host) if who.record is not None else next(iter(case.hosts), None)
    return host.nccl.library if host is not None and host.nccl is not None else None


def _asked(case: Case, who: Seen, name: str, row: EnvVar | None, library: NcclLibrary) -> Finding | None:
    """What the library's own list of names says of one."""
    if name in library.names or not library.names:
        return _obsolete(who, row) if row is not None and row.until and row.instead else None
    if row is None or row.until:
        found = _unknown(case, who, name) if row is None else _obsolete(who, row)
        said = f"it is none of the {len(library.names)} names in libnccl {library.text}"
        return found._replace(evidence=(*found.evidence, _words(who, said, library))) if found is not None else None
    since = f" (since {row.since})" if row.since else ""
    remark = f"read by other versions of NCCL{since}, and none of the names in libnccl {library.text}, {library.path}"
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"take {name} out, or use an NCCL that reads it",
        unset=(name,),
        applies_to_ranks=() if who.rank is None else (who.rank,),
    )
    return _finding(who, f"NCCL {library.text} does not read {name}{since}", OBSOLETE, remark, name, fix)


def _unknown(case: Case, who: Seen, name: str) -> Finding | None:
    meant = nearest(name)
    if meant in REQUIRED and not who.environment.get(meant):
        return None  # that is the cause env-missing, which knows the misspelling
    family = name.upper().startswith(FAMILIES)
    if meant is None and not family:
        return None
    if not family and not name.upper().startswith(("MASTER", "WORLD", "RANK", "LOCAL_", "TORCH", "OMP_", "CUDA_VIS")):
        return None  # near by chance: families of other software are theirs
    target = lookup(meant) if meant is not None else None
    on = () if who.rank is None else (who.rank,)
    if target is None or meant is None:
        remark = "no known version of torch, gloo or NCCL reads a variable of this name; a plug-in may"
        fix = Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=f"check the name {name}, or take it out",
            unset=(name,),
            applies_to_ranks=on,
        )
        return _finding(who, f"{name} is not a known variable", NO_IDEA, remark, name, fix)
    already = bool(who.environment.get(meant))
    value = who.environment[name]
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"take {name} out: {meant} is set" if already else f"rename {name} to {meant}",
        set={} if already or who.value(name) is None else {meant: value},
        unset=(name,),
        applies_to_ranks=on,
    )
    confidence = MISSPELT
    if already or who.finished:
        confidence = WORKS_ANYWAY
    elif failed(case) and target.kind in (Kind.INTERFACES, Kind.HOST, Kind.PORT):
        confidence = MISSPELT_AND_FAILED
    return _finding(who, f"{name} is read by nothing; did you mean {meant}?", confidence, f"near to {meant}", name, fix)


def _obsolete(who: Seen, row: EnvVar) -> Finding | None:
    if not row.until:
        return None
    instead = f"; use {row.instead}" if row.instead else ""
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"use {row.instead} in place of {row.name}" if row.instead else f"take {row.name} out",
        applies_to_ranks=() if who.rank is None else (who.rank,),
    )
    remark = f"{row.owner} up to {row.until}{instead}. {row.meaning}"
    return _finding(who, f"{row.name} is obsolete{instead}", OBSOLETE, remark, row.name, fix)


def _words(who: Seen, said: str, library: NcclLibrary) -> Evidence:
    return Evidence(kind=EvidenceKind.VALUE, text=said, rank=who.rank, source=library.path)


def _finding(who: Seen, title: str, confidence: float, remark: str, name: str, fix: Fix) -> Finding:
    evidence = (fact(name, who.environment.get(name), who, remark),)
    return Finding(who, title, confidence, evidence, (fix,), Symptom.SETUP_FAILURE)


RULE = Rule(
    cause="env-unknown",
    code="CC103",
    title="A variable is set that nothing reads",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_UNEXPECTED_PROTOCOL, Symptom.PERF_UNEXPECTED_PARALLELIZATION),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "use the name that is read, or take the variable out"),),
    match=match,
    needs=("environment",),
)
