"""The shape of a row of the fault table, and the words in which rows are written."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from commcheck.lab import Lab
from commcheck.model.phase import Phase
from commcheck.model.plan import FaultAt
from commcheck.model.taxonomy import Symptom

PORT = 29500  # every lab has networks of its own, so that all may use one port
LOW, HIGH = "10.77.0.0/24", "192.168.77.0/24"  # below and above 127.0.0.1 and Docker's 172.17.0.1
IFNAME = "GLOO_SOCKET_IFNAME"
MEMORY = 96 << 20

Spoil = Callable[[Lab], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One world. `hosts` 0: no lab, all ranks on this machine."""

    id: str
    cause: str = ""
    symptoms: tuple[Symptom, ...] = ()
    ranks: tuple[int, ...] = ()
    mended: bool = False
    hosts: int = 2
    size: int = 2
    lab: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    spoil: Spoil | None = None
    memory_of: int | None = None  # the slot that lives in a memory control group
    interface: str = ""  # healthy rows: what carries the data
    bullet: str = ""  # of the list of look-alikes that have to be told apart


S = Symptom
FAILS, HANGS = S.SETUP_FAILURE, S.SETUP_HANG_TIMEOUT
SETUP = (FAILS, HANGS)
LUCK = (FAILS, HANGS, S.SETUP_UNEXPECTED_PROTOCOL)
PREPARATION = (S.PREP_COMMUNICATION_ERROR, S.PREP_HANG_TIMEOUT)
TRAINING = (S.TRAIN_COMMUNICATION_ERROR, S.PERF_HANG)


def on(number: int, fault: Callable[..., AbstractContextManager[Any]], *rest: object, **more: object) -> Spoil:
    """`fault` on host `number`."""
    return lambda lab: fault(lab[number], *rest, **more)


def together(*spoils: Spoil) -> Spoil:
    """Several at once."""

    @contextmanager
    def all_of(lab: Lab):
        with ExitStack() as stack:
            for spoil in spoils:
                stack.enter_context(spoil(lab))
            yield

    return all_of


def env(**values: str) -> dict[str, Any]:
    """The same variables for all ranks."""
    return {"env": values}


def of(rank: int, **values: str) -> dict[str, Any]:
    """Variables of one rank."""
    return {"rank_env": {rank: values}}


def without(rank: int, *names_: str) -> dict[str, Any]:
    """Variables that one rank lacks."""
    return {"rank_unset": {rank: names_}}


def at(rank: int, name: str, phase: Phase | str = "", argument: str = "") -> dict[str, Any]:
    """A fault inside one rank."""
    return {"faults": {rank: (FaultAt(name=name, phase=str(phase), argument=argument),)}}


def address(number: int, subnet: str = LOW) -> str:
    """The address of host `number`."""
    return f"{subnet.rpartition('.')[0]}.{10 + number}"


def far(number: int) -> str:
    """The hosts on the other side of a cut between the hosts 0 and 1 and the hosts 2 and 3, as nft writes a set."""
    return f"{{ {address(2)}, {address(3)} }}" if number < 2 else f"{{ {address(0)}, {address(1)} }}"


EXTRA = {"docker0": True, "down": "eth2", "bare": "eth3"}
