"""Settings under which NCCL's RDMA transport cannot be set up on the cards that are there: each as a finding. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from commcheck.diagnose.fabric import Port, gid, gid_index, ports, usable
from commcheck.diagnose.fabric_meeting import SHOWN, Meeting, fix, meetings, names, of_cards, of_port
from commcheck.diagnose.rules.environment.settings import WORKS_ANYWAY, Finding, fact
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence
from commcheck.model.fabric import Gid
from commcheck.model.taxonomy import Symptom

_FORCED, _NOT_THERE, _LOCAL, _CHOSEN_LOCAL, _OLD = 0.85, 0.82, 0.62, 0.55, 0.42
_SOMEWHERE_ELSE = 0.6  # the host has no card at all: it may not be the one that the job will run on


def findings(case: Case) -> list[Finding]:
    """All of them, of all processes."""
    return [finding for meeting in meetings(case) for finding in (*_forced(meeting), *_addresses(meeting))]


def _finding(meeting: Meeting, title: str, confidence: float, symptom: Symptom, evidence: tuple[Evidence, ...], repair: str,
             unset: tuple[str, ...]) -> Finding:  # fmt: skip
    worth = min(confidence, WORKS_ANYWAY) if meeting.who.finished else confidence
    return Finding(meeting.who, title, worth, evidence[:SHOWN], (fix(meeting, repair, unset=unset),), symptom)


def _forced(meeting: Meeting) -> Iterator[Finding]:
    """NCCL_NET=IB, and no port that could be used: NCCL fails rather than use another network."""
    if meeting.value("NCCL_NET").strip().lower() != "ib":
        return
    found = usable(meeting.fabric, meeting.who.environment)
    if found and meeting.fabric.verbs:
        return
    there = ports(meeting.fabric)
    if not there and meeting.host.nccl is not None:
        return  # the cause nccl-no-rdma
    why = "this host has no RDMA card" if not there else f"none of {names(there)} can be used"
    if found:
        why = "there is no /dev/infiniband/uverbs* to open the cards by"
    title = f"NCCL_NET={meeting.value('NCCL_NET')} asks for InfiniBand or RoCE, and {why}"
    evidence = (
        fact("NCCL_NET", meeting.value("NCCL_NET"), meeting.who),
        *_settings(meeting),
        *(of_port(meeting, p) for p in there),
    )
    confidence = _FORCED if there else _SOMEWHERE_ELSE
    yield _finding(
        meeting,
        title,
        confidence,
        Symptom.SETUP_FAILURE,
        evidence,
        "unset NCCL_NET, or make a port usable",
        ("NCCL_NET",),
    )


def _settings(meeting: Meeting) -> Iterator[Evidence]:
    for name in ("NCCL_IB_HCA", "NCCL_IB_DISABLE"):
        if meeting.value(name):
            yield fact(name, meeting.value(name), meeting.who)


def _addresses(meeting: Meeting) -> Iterator[Finding]:
    """The address of a RoCE port that NCCL would use reaches nobody."""
    if meeting.value("NCCL_IB_ADDR_RANGE"):
        return  # chosen by a network that we do not look at
    told = meeting.value("NCCL_IB_GID_INDEX")
    for p in usable(meeting.fabric, meeting.who.environment):
        if not p.roce or not p.port.table:
            continue
        index = gid_index(p.port, meeting.who.environment)
        found = gid(p.port, index)
        seen = (
            *((fact("NCCL_IB_GID_INDEX", told, meeting.who),) if told else ()),
            *(_shown(meeting, p, one) for one in p.port.gids),
        )
        where = f"NCCL_IB_GID_INDEX={told}" if told else f"index {index}, which NCCL chooses,"
        if index >= p.port.table:
            title = f"{where} is beyond the {p.port.table} addresses of {p.name}"
            yield _finding(meeting, title, _NOT_THERE, Symptom.SETUP_FAILURE, seen, *_repair(told))
        elif found is None:
            title = f"{where} is an empty place of the address table of {p.name}"
            yield _finding(
                meeting, title, _NOT_THERE if told else _CHOSEN_LOCAL, Symptom.SETUP_FAILURE, seen, *_repair(told)
            )
        elif found.link_local:
            title = f"{where} is a link-local address of {p.name}: {found.address} reaches no other subnet"
            yield _finding(
                meeting, title, _LOCAL if told else _CHOSEN_LOCAL, Symptom.SETUP_HANG_TIMEOUT, seen, *_repair(told)
            )
        elif found.version == 1:
            title = f"{where} is RoCE v1 on {p.name}, which no router carries on"
            yield _finding(meeting, title, _OLD, Symptom.SETUP_HANG_TIMEOUT, seen, *_repair(told))


def _repair(told: str) -> tuple[str, tuple[str, ...]]:
    if told:
        return "unset NCCL_IB_GID_INDEX (NCCL 2.21 and later choose by themselves), or name a RoCE v2 address", (
            "NCCL_IB_GID_INDEX",
        )
    return "give the card's interface an IPv4 address", ()


def _shown(meeting: Meeting, p: Port, one: Gid) -> Evidence:
    return of_cards(meeting, f"{p.name} gid {one.index}: {one.ipv4 or one.address} {one.kind} {one.interface}".rstrip())
