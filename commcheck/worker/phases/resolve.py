"""Names: the store's host forward, its address backward, the own host name. In bounded time."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable

from commcheck.model.case import Outcome, Probe
from commcheck.system import sockets
from commcheck.worker.context import RankContext

NAME_DEADLINE = 1.2
"""Seconds for one look-up. The resolver's own first retry comes after 5 s (resolv.conf(5)); a healthy one answers in
milliseconds, so that no answer in this time is worth a finding."""

NO_QUESTION_SECONDS = 3.0
"""The same again where no question to a name server is to be seen: a busy machine may be what is slow, or a resolver that
is asked by other ways than DNS."""


AGAIN = 0.5
"""Between two look-ups of a name that may be about to get an address."""


class NameNotResolvedError(Exception):
    """MASTER_ADDR has no address here. The frameworks would go on asking until their timeout."""


def run(ctx: RankContext) -> str:
    """Resolve MASTER_ADDR. Raises NameNotResolvedError at once where the frameworks would retry for minutes."""
    name = ctx.plan.environment.get("MASTER_ADDR", "")
    if not name or not ctx.plan.init_method.startswith("env"):
        return "no MASTER_ADDR to resolve"
    answer = _forward(name) if _is_literal(name) else _bounded(lambda: _forward(name))
    until = time.monotonic() + ctx.plan.name_patience
    while isinstance(answer, str) and time.monotonic() < until:
        time.sleep(AGAIN)  # a name server tells nobody that it has got a name
        answer = _bounded(lambda: _forward(name))
    if isinstance(answer, str):
        outcome = Outcome.UNRESOLVED if answer else Outcome.TIMED_OUT
        detail = answer or f"no answer within {NAME_DEADLINE:g} s"
        ctx.journal.probed(Probe(kind="name", target=name, port=0, outcome=outcome, detail=detail))
        if answer:
            raise NameNotResolvedError(f"MASTER_ADDR={name}: {detail}")
        return f"{name}: {detail}"
    addresses, seconds = answer
    ctx.journal.probed(
        Probe(kind="name", target=name, port=0, outcome=Outcome.OK, seconds=seconds, detail=" ".join(addresses))
    )
    if not _loopback(addresses[0]) and not _alone(ctx):
        thread = threading.Thread(target=_reverse, args=(ctx, addresses[0]), daemon=True)
        thread.start()
        ctx.background.append(thread)
    return f"{name} is {', '.join(addresses)}"


def _alone(ctx: RankContext) -> bool:
    """All ranks are on this host: nobody else's name is asked for."""
    environment = ctx.plan.environment
    return environment.get("LOCAL_WORLD_SIZE", "") == environment.get("WORLD_SIZE", "x")


def _is_literal(name: str) -> bool:
    """An address needs no resolver, and so no thread that could be left behind."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


Answer = tuple[tuple[str, ...], float] | str
"""The addresses and the seconds that they took, or what the resolver says went wrong."""


def _forward(name: str) -> Answer:
    begin = time.monotonic()
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as e:
        return str(e)
    return tuple(dict.fromkeys(str(f[4][0]) for f in found)), time.monotonic() - begin


def _bounded(look_up: Callable[[], Answer]) -> Answer:
    """The result of `look_up`, or "" when it did not come in time. The resolver cannot be interrupted, only left."""
    result: list[Answer] = []
    thread = threading.Thread(target=lambda: result.append(look_up()), daemon=True)
    thread.start()
    thread.join(NAME_DEADLINE)
    return result[0] if result else ""


def _has_ipv6() -> bool:
    """The kernel makes IPv6 sockets (also where no interface has such an address)."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _reverse(ctx: RankContext, address: str) -> None:
    """PyTorch's store client asks for the name of an address when a connection attempt failed, and waits for it."""
    begin = time.monotonic()
    result: list[str] = []
    # The client's sockets are IPv6 ones, and an IPv4 address is mapped there: lines of /etc/hosts do not answer for that.
    asked = f"::ffff:{address}" if ":" not in address and _has_ipv6() else address

    def ask() -> None:
        try:
            # Not getnameinfo: some releases of Python (3.11.2) hold their lock while it asks, and all threads stand still.
            result.append(socket.gethostbyaddr(asked)[0])
        except OSError as e:
            result.append(str(e))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NAME_DEADLINE)
    if not result and not _asking():
        thread.join(NO_QUESTION_SECONDS)
    outcome = Outcome.OK if result else Outcome.TIMED_OUT
    detail = result[0] if result else f"no answer within {time.monotonic() - begin:.1f} s"
    seconds = time.monotonic() - begin
    ctx.journal.probed(
        Probe(kind="reverse-name", target=address, port=0, outcome=outcome, seconds=seconds, detail=detail)
    )


def _asking() -> bool:
    """A UDP socket of this process is connected to a name server's port."""
    return any(s.asks_for_names for s in sockets.of_process(os.getpid()))
