"""What to do where one cause has wordings of several libraries: the repair is the setting of the library that spoke.

What may not be here: I/O. An entry of `_TABLE` is for what begins the `source` of a wording.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from commcheck.diagnose.lazy import Lazy
from commcheck.diagnose.scan import Hit
from commcheck.model.case import LogLine
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.taxonomy import FixPattern

_SET = Lazy(r"\b(?P<name>NCCL_\w{1,60}) set (?:by environment )?to (?P<value>\S{1,200}?)\.?\s*$")
_NCCL_NET = Lazy(r"[Ff]ailed to initialize (?:any )?NET plugin|Error: network \S+ not found")
_OF_A_NETWORK = ("transport-unavailable", "env-malformed")
_OOB = "NCCL_OOB_NET_IFNAME"


class _Words(NamedTuple):
    """`variable`: the setting that is meant; `text`: the repair; `title`: instead of the rule's, where that would not fit."""

    variable: str
    text: str
    title: str = ""


_TABLE = {
    "nccl:": _Words(
        "NCCL_SOCKET_IFNAME",
        "leave {} unset, or set it to what the name of an interface with an address begins with on every host"
        " (`=` in front: the exact name; `^`: all but these)",
        "NCCL finds no interface that it may use",
    ),
    "horovod:": _Words("--network-interface", "give {} (HOROVOD_GLOO_IFACE) an interface that every host has"),
    "openmpi: help": _Words("btl_tcp_if_include", "give {} (oob_tcp_if_include) interfaces or networks of every host"),
    "CANN": _Words("HCCL_SOCKET_IFNAME", "set {} to an interface that the host has"),
}


def fixed(
    matches: Mapping[str, Match], hits: Mapping[str, Sequence[Hit]], lines: Sequence[LogLine]
) -> dict[str, Match]:
    """The matches of causes, with the repairs that their wordings ask for, and a setting's value where the log shows it."""
    return {cause: _fixed(match, hits[cause], lines) for cause, match in matches.items()}


def _fixed(match: Match, hits: Sequence[Hit], lines: Sequence[LogLine]) -> Match:
    cause = hits[0].cause
    if cause == "interface-missing":
        return _interface(match, hits, lines)
    if cause in _OF_A_NETWORK and any(_NCCL_NET.re.search(hit.line.text, 0, 2000) for hit in hits):
        value = _value("NCCL_NET", lines)
        text = f"Leave NCCL_NET{value} unset: with it NCCL takes no network but the one that it names, and this host has none of that name that works."
        return replace(match, fixes=(Fix(pattern=FixPattern.COMMUNICATION_CONFIGURATION, text=text), *match.fixes))
    return match


def _interface(match: Match, hits: Sequence[Hit], lines: Sequence[LogLine]) -> Match:
    best = max(hits, key=lambda hit: hit.signature.weight)
    words = next((words for begin, words in _TABLE.items() if best.signature.source.startswith(begin)), None)
    if words is None:
        return match
    variable = _OOB if _OOB in best.line.text else words.variable
    value = _value(variable, lines)
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=words.text.format(f"{variable}{value}"),
        applies_to_ranks=(),
    )
    return replace(match, fixes=(fix,), title=words.title or match.title)


def _value(variable: str, lines: Sequence[LogLine]) -> str:
    """` (eth9 here)`, where NCCL has said so."""
    said = (m for line in lines if variable in line.text and (m := _SET.re.search(line.text, 0, 2000)))
    values = dict.fromkeys(m["value"] for m in said if m["name"] == variable)
    return f" ({', '.join(list(values)[:3])} here)" if values else ""
