"""NCCL_COMM_ID names a root that NCCL cannot use.

**What you see**

`Invalid NCCL_COMM_ID, please use format: <ipv4>:<port> or [<ipv6>]:<port> or <hostname>:<port>`, or `NET/Socket : No usable
listening interface found`: no communicator is made.

**Why it happens**

The variable is for programs that start NCCL without a launcher of their own; torch does not need it, and a left-over one takes
the place of what torch agrees on. It wants HOST:PORT, with brackets around an IPv6 address, and an interface in the network of
that address: another route to it does not count. NCCL 2.29 has that test the wrong way round for IPv4 and then listens on an
interface of another network, mostly on loopback.

**How to fix**

Unset it, or name an address in a network of this host.

**How to confirm**

`commcheck lint --backend nccl` asks the installed NCCL; `ip route get ADDRESS` shows whether the network is this host's own.
"""

from __future__ import annotations

import ipaddress

from commcheck.diagnose.rules.nccl.shared import Asked, asked, by_library, interfaces, setting, surely
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

TOLD = 0.97
OTHER_NETWORK = 0.85
"""The library takes another network's interface; on a single host that still works."""
MALFORMED, NO_NETWORK = 4, 2
_NAME = "NCCL_COMM_ID"


def match(case: Case) -> Match | None:
    """A value that the library refuses, or for which it takes an interface of another network."""
    for one in asked(case):
        found = _wrong(one)
        if found is None:
            continue
        title, confidence = found
        return Match(
            symptom=Symptom.SETUP_FAILURE,
            title=f"{title}{one.where}",
            confidence=surely(one, confidence),
            ranks=one.ranks,
            hosts=(one.host.host,),
            evidence=(setting(one, _NAME), *by_library(one), interfaces(one)),
            fixes=(
                Fix(
                    pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                    text=f"unset {_NAME}: torch tells all ranks where the root is by itself",
                    unset=(_NAME,),
                    applies_to_ranks=one.ranks,
                ),
            ),
        )
    return None


def _wrong(one: Asked) -> tuple[str, float] | None:
    value, answer = one.nccl.environment.get(_NAME), one.nccl.answer
    if value is None or answer is None or answer.failed:
        return None
    if answer.result == MALFORMED:
        return f"{_NAME}={value} is not HOST:PORT with a host that can be resolved: {_reason(value)}", TOLD
    if answer.result == NO_NETWORK:
        return f"{_NAME}={value}: no interface of this host is in that network", TOLD
    if answer.works and answer.interface and not _inside(one, answer.address, answer.interface):
        return f"{_NAME}={value}: NCCL takes {answer.interface}, which is in another network", OTHER_NETWORK
    return None


def _reason(value: str) -> str:
    if len(value) < 2:
        return "it is empty"
    if value.startswith("["):
        return "the bracket is not closed" if "]" not in value else "the address cannot be read"
    host = value.partition(":")[0]
    if not host:
        return "nothing stands before the colon"
    if value.count(":") > 1:
        return f"an IPv6 address needs brackets, else {host!r} is taken for the host"
    return f"{host!r} has no address here"


def _inside(one: Asked, address: str, interface: str) -> bool:
    """Whether an interface has the address's network; True where that cannot be told."""
    try:
        far = ipaddress.ip_address(address.partition("%")[0])
        near = [
            ipaddress.ip_network(f"{a.address}/{a.prefix}", strict=False)
            for a in one.nccl.addresses
            if a.interface == interface and a.family == f"ipv{far.version}"
        ]
    except ValueError:
        return True
    return not near or any(far in network for network in near)


RULE = Rule(
    cause="nccl-comm-id",
    code="CC181",
    title="NCCL_COMM_ID cannot be used",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "unset NCCL_COMM_ID, or give it HOST:PORT in a network of the host"),
    ),
    match=match,
    explains=("rank-exited",),
    needs=("hosts",),
)
