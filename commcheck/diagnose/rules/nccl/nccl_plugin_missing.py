"""A plug-in that NCCL is told to load is not there, or does not load.

**What you see**

Mostly nothing: NCCL goes on with its own network or tuning, only slower. With NCCL_DEBUG=INFO `NET/Plugin: Could not find:
libnccl-net-NAME.so`; with NCCL_NET asking for the plug-in's network, the job fails.

**Why it happens**

NCCL_NET_PLUGIN (and _TUNER_, _PROFILER_, _ENV_) takes a path, a file name, or a suffix: `aws-ofi` is looked for as
`libnccl-net-aws-ofi.so` where the loader looks. A container or host without the plug-in, or without the library that it needs,
is not an error to NCCL.

**How to fix**

Give the whole path, put its directory into LD_LIBRARY_PATH, install what it needs, or unset the variable.

**How to confirm**

`ldd` on the plug-in shows what it lacks; `commcheck lint --backend nccl` tries to load it as NCCL would.
"""

from __future__ import annotations

from commcheck.diagnose.rules.nccl.shared import Asked, asked, setting
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.nccl import NcclPlugin
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

MISSED = 0.45
"""NCCL goes on without it."""
NEEDED = 0.8
"""NCCL_NET asks for a network that NCCL itself does not have."""
OWN_NETWORKS = ("ib", "socket")


def match(case: Case) -> Match | None:
    """A library that the settings name and the loader does not find or load."""
    for one in asked(case):
        lost = [p for p in one.nccl.plugins if p.wanted and not p.path]
        if lost:
            return _match(one, lost)
    return None


def _match(one: Asked, lost: list[NcclPlugin]) -> Match:
    lead = lost[0]
    variable = f"NCCL_{lead.kind.upper()}_PLUGIN"
    there = not all(
        "No such file" in part and name in part for part, name in zip(lead.error.split("; "), lead.tried, strict=False)
    )
    tried = " and ".join(lead.tried)
    problem = "does not load" if there else f"is not there ({tried})"
    net = one.nccl.environment.get("NCCL_NET", "").lower()
    needed = lead.kind == "net" and net not in ("", *OWN_NETWORKS)
    return Match(
        symptom=Symptom.SETUP_FAILURE if needed else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=f"The plug-in {variable}={lead.wanted} {problem}{one.where}",
        confidence=NEEDED if needed else MISSED,
        ranks=one.ranks,
        hosts=(one.host.host,),
        evidence=(
            setting(one, variable),
            *((setting(one, "NCCL_NET"),) if needed else ()),
            *(Evidence(kind=EvidenceKind.VALUE, text=p.error[:400], source="the loader") for p in lost),
        ),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"give the plug-in's whole path, or unset {variable} to use what NCCL has itself",
                unset=(variable,),
                applies_to_ranks=one.ranks,
            ),
        ),
    )


RULE = Rule(
    cause="nccl-plugin-missing",
    code="CC184",
    title="A plug-in that NCCL is told to load is not there",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_UNEXPECTED_PROTOCOL, Symptom.SETUP_FAILURE),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "name the plug-in by its whole path, or unset the variable"),),
    match=match,
    needs=("hosts",),
)
