"""No interface of the host fits what NCCL was told to use.

**What you see**

`Bootstrap : no socket interface found`, and `ncclInvalidUsage` (before 2.24 `ncclInternalError`) from the first communicator.
The message does not say which setting is meant, nor what is there instead.

**Why it happens**

NCCL_SOCKET_IFNAME names an interface that this host does not have, or has without an address of the wanted family, or that is
down (NCCL 2.28 and later pass over those). Its list is one of beginnings: `eth` is every eth*. `=` in front of the whole list
makes the names exact, `^` leaves them out; in front of a later entry both are part of a name, and so are blanks.

**How to fix**

Name an interface that every host has, or leave the unusable ones out (`^docker,lo`).

**How to confirm**

`commcheck lint --backend nccl` on the host asks the installed NCCL itself; `ip -br addr` shows what there is.
"""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.catalog.env.nccl_ifname import Pattern, is_set, pattern
from commcheck.diagnose.rules.nccl.shared import (
    FAMILY,
    WORDS,
    Asked,
    asked,
    better,
    by_library,
    interfaces,
    named,
    names,
    setting,
    surely,
)
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

TOLD = 0.97
"""The library itself has refused these settings here."""
NO_INTERFACE = (3, 5)
"""What ncclGetUniqueId returns: an internal error before 2.24, an invalid usage since."""
ONLY_RUNNING = 22800


def match(case: Case) -> Match | None:
    """A library that found no interface, and why, from the settings and addresses that it had."""
    wrong = [one for one in asked(case) if _none(one)]
    if not wrong:
        return None
    lead = wrong[0]
    values = ("NCCL_SOCKET_IFNAME", "NCCL_SOCKET_FAMILY")
    set_ones = tuple(setting(one, name) for one in wrong[:3] for name in values if name in one.nccl.environment)
    family = FAMILY.get(lead.nccl.environment.get("NCCL_SOCKET_FAMILY", ""), "")
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"{why(lead)}{lead.where}",
        confidence=surely(lead, TOLD),
        ranks=tuple(sorted({rank for one in wrong for rank in one.ranks})),
        hosts=tuple(one.host.host for one in wrong),
        evidence=(*set_ones, *(e for one in wrong[:3] for e in (*by_library(one), interfaces(one)))),
        fixes=_fixes(wrong, family),
    )


def _fixes(wrong: list[Asked], family: str) -> tuple[Fix, ...]:
    one = wrong[0]
    others = [better(other.nccl, family) for other in wrong]
    alike = {found.interface if found else "" for found in others}
    if len(alike) == 1:  # the same setting mends all hosts
        one = one._replace(ranks=tuple(sorted({rank for other in wrong for rank in other.ranks})))
    found = better(one.nccl, family)
    if found is not None or not family:
        return named(one, found)
    without = named(one, better(one.nccl))
    text = "take addresses of either family: unset NCCL_SOCKET_FAMILY, and "
    return tuple(replace(f, text=text + f.text, unset=("NCCL_SOCKET_FAMILY",)) for f in without)


def _none(one: Asked) -> bool:
    answer = one.nccl.answer
    return answer is not None and answer.result in NO_INTERFACE and "NCCL_COMM_ID" not in one.nccl.environment


def why(one: Asked) -> str:
    """The one reason that settings and addresses show."""
    settings = one.nccl.environment
    value = settings.get("NCCL_SOCKET_IFNAME", "")
    all_names = names(one.nccl)
    if not is_set(value):
        return _state(one, all_names, "an interface")
    told, listed = f"NCCL_SOCKET_IFNAME={value}", pattern(value)
    meant = tuple(name for name in all_names if listed.takes(name))
    if meant:
        return f"{told}: {_state(one, meant, ', '.join(meant))}"
    if listed.excludes:
        return f"{told} leaves out every interface of this host ({', '.join(all_names)})"
    return f"{told}: {_nobody(listed, all_names)}"


def _nobody(listed: Pattern, all_names: tuple[str, ...]) -> str:
    """Why a list of names means no interface at all."""
    wanted = " or ".join(listed.names)
    odd = next((name for name in listed.names if name[0] in "=^"), "")
    if odd:
        return f"{odd[0]} counts at the begin of the whole list alone, and so the name {odd} is looked for"
    if any(name != name.strip() for name in listed.names):
        return "the blank belongs to the name that is looked for; write the list without blanks"
    near = [name for name in all_names if name.startswith(listed.names)]
    if listed.exact and near:
        return f"no interface is called exactly {wanted} (as = asks for); {', '.join(near)} begin{'' if near[1:] else 's'} so"
    like = [name for name in all_names if name.lower().startswith(tuple(n.lower() for n in listed.names))]
    if like:
        return f"names are taken to the letter, and this host's is {like[0]}"
    verb = "is called" if listed.exact else "begins with"
    return f"no interface of this host {verb} {wanted}"


def _state(one: Asked, meant: tuple[str, ...], shown: str) -> str:
    """What is wrong with interfaces that are there."""
    word = one.nccl.environment.get("NCCL_SOCKET_FAMILY", "")
    family = FAMILY.get(word, "")
    having = [a for a in one.nccl.addresses if a.interface in meant and a.family in WORDS and a.address != "::1"]
    verb = "have" if len(meant) > 1 and shown != "an interface" else "has"
    if not having:
        return f"{shown} {verb} no address" if shown != "an interface" else "no interface of this host has an address"
    fitting = [a for a in having if family in ("", a.family)]
    if not fitting:
        lacking = f"no {WORDS[family]} address (NCCL_SOCKET_FAMILY={word})"
        return (
            f"{shown} {verb} {lacking}" if shown != "an interface" else f"no interface of this host has {lacking[3:]}"
        )
    library = one.nccl.library
    newest = one.nccl.answer is not None and one.nccl.answer.predicted
    if (newest or (library and library.version >= ONLY_RUNNING)) and not any(a.running for a in fitting):
        version = f"which NCCL {library.text if library else '2.28'} passes over"
        return f"{', '.join(dict.fromkeys(a.interface for a in fitting))} is down or has no carrier, {version}"
    return f"NCCL takes none of {', '.join(dict.fromkeys(a.interface for a in fitting))}"


RULE = Rule(
    cause="nccl-no-interface",
    code="CC180",
    title="No interface fits NCCL's settings",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "name an interface that the host has, in NCCL's own way of writing"),
    ),
    match=match,
    explains=(
        *("rank-exited", "env-malformed", "address-family-mismatch"),
        *("interface-missing", "interface-down", "interface-without-address"),
    ),
    needs=("hosts",),
)
