"""Try, between the hosts of a plan, whether the address that NCCL would take on each can be reached from the others."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping

from msgspec.structs import replace

from commcheck.model.case import HostFacts
from commcheck.model.plan import Place
from commcheck.probe.nccl_child import Listen, Reach, Target
from commcheck.probe.nccl_library import Child
from commcheck.probe.nccl_targets import targets

REACH_DEADLINE = 8.0
"""Seconds for all attempts, which are made at once: a connection that is dropped gives up after connect.CONNECT_DEADLINE."""


def with_reach(facts: Mapping[Place, HostFacts]) -> dict[Place, HostFacts]:
    """The facts, with what each host met at the others' addresses. Nothing is tried where only one host was asked.

    A listener of ours stands for NCCL's root: same address, a port of the kernel's choice, and it answers all who know a
    secret, so that a host which only has the same address is not taken for the right one."""
    chosen = {
        p: f for p, f in facts.items() if f.nccl is not None and f.nccl.answer is not None and f.nccl.answer.works
    }
    if len(chosen) < 2:
        return dict(facts)
    nonce, end = secrets.randbits(62), time.monotonic() + REACH_DEADLINE
    failed: dict[Place, str] = {}
    with contextlib.ExitStack() as opened:
        children = {place: opened.enter_context(Child(place)) for place in chosen}
        for number, place in enumerate(chosen):
            children[place].tell(Listen(address=_address(chosen[place]), nonce=nonce, number=number))
        listening: dict[Place, Target] = {}
        for number, place in enumerate(chosen):
            reply = children[place].hear(_left(end))
            if reply.failed:
                failed[place] = reply.failed
                continue
            address = _address(chosen[place])
            listening[place] = Target(host=chosen[place].host, address=address, port=reply.port, number=number)
        asked = [place for place in chosen if place not in failed]
        for place in asked:
            others = targets(tuple(listening), place)
            children[place].tell(Reach(nonce=nonce, targets=tuple(listening[other] for other in others)))
        replies = {place: children[place].hear(_left(end)) for place in asked}
    done = dict(facts)
    for place, found in chosen.items():
        assert found.nccl is not None
        problem = failed.get(place) or replies[place].failed
        reached = () if problem else replies[place].reached
        note = (f"whether other hosts are reached at NCCL's addresses: {problem}",) if problem else ()
        done[place] = replace(found, nccl=replace(found.nccl, reached=reached), not_read=(*found.not_read, *note))
    return done


def _address(facts: HostFacts) -> str:
    assert facts.nccl is not None
    assert facts.nccl.answer is not None
    return facts.nccl.answer.address


def _left(end: float) -> float:
    return max(0.1, end - time.monotonic())
