"""The file that `commcheck scenario new` makes: a whole scenario to change, with what each part means."""

from __future__ import annotations

import difflib
from typing import Any

import msgspec

from commcheck.errors import UsageError
from commcheck.model.fault import RankFault
from commcheck.scenarios.kinds import host_kinds, specs

TEMPLATE = """\
# A scenario of commcheck: virtual hosts, what is done to them, and what commcheck has to say about it.
# Fields and kinds of faults: commcheck scenario check --schema (editors complete and check TOML by it).
title = "One sentence on what went wrong"
source = "where this was seen: ticket, issue, incident"
tags = ["mine"]

[lab]                # virtual hosts h0, h1, ... (leave it out: all ranks on this machine)
hosts = 2

[world]              # the job: rank i runs on host i
size = 2
env = {{ }}            # for all ranks; {{h1}} in a value is the address of host 1

# [ranks.1]          # what is different for one rank
# env = {{ GLOO_SOCKET_IFNAME = "lo" }}

[[fault]]            # what is done: {what}
{fault}
[expect]             # what commcheck has to say; run it once to see what it says now
verdict = "unhealthy"
cause = "{cause}"
symptoms = ["setup-failure", "setup-hang-timeout"]
ranks = [0]          # the culprits, not those that notice
mended = false       # true: some fix that only changes settings must be tried and must work
"""


def text(kind: str) -> str:
    """A scenario with a fault of `kind`. Raises UsageError for an unknown one, with what there is."""
    spec = specs().get(kind)
    if spec is None:
        near = difflib.get_close_matches(kind, specs(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"--kind {kind}: {hint}there are {', '.join(specs())}")
    entry = host_kinds().get(kind)
    what = (spec.__doc__ or "").strip().splitlines()[0].rstrip(".") if entry is not None else "a rank's own program"
    cause = entry.leads_to[0] if entry is not None and entry.leads_to else "unclassified"
    return TEMPLATE.format(what=what, fault=_fields(kind, spec), cause=cause)


def _fields(kind: str, spec: type[msgspec.Struct]) -> str:
    """The parameters of a kind with their defaults; those that it needs come first, without a comment sign."""
    lines = [f'kind = "{kind}"']
    needed = {"rank": 1, "hosts": [0]} if issubclass(spec, RankFault) else {"hosts": [0]}
    for field in msgspec.structs.fields(spec):
        if field.encode_name == "when":
            continue
        if field.encode_name in needed:
            lines.append(f"{field.encode_name} = {needed[field.encode_name]}")
        elif field.required:
            lines.append(f"{field.encode_name} = # this has to be filled in")
        elif field.default is not msgspec.NODEFAULT:
            lines.append(f"# {field.encode_name} = {_toml(field.default)}")
    lines.append('# when = { phase = "verify", after = 0.1 }   # default: before the world is started')
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
