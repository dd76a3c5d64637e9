"""Look-ups of names and addresses, each with a bound on its time, all at once.

The C library's resolver cannot be interrupted (an unanswered question takes 5 s by resolv.conf's default), so every
look-up runs in a daemon thread of its own and is left behind when it is late.
"""

import time

from commcheck.model.case import NameLookup
from commcheck.probe.text import read_text

NAME_DEADLINE = 1.2
"""Seconds after which a look-up counts as unanswered. A working resolver answers in milliseconds; the rest of a check
has to fit into a few seconds."""

FORWARD, REVERSE = "forward", "reverse"
_EAI_WORDS = {-2: "EAI_NONAME", -3: "EAI_AGAIN", -4: "EAI_FAIL", -5: "EAI_NODATA", -11: "EAI_SYSTEM"}  # netdb.h


def look_up(
    forward: tuple[str, ...], reverse: tuple[str, ...], deadline: float = NAME_DEADLINE
) -> tuple[NameLookup, ...]:
    """Resolve names to addresses and addresses to names, in the order asked for. Never raises, never takes much longer
    than `deadline` seconds."""
    import threading

    asked = [(FORWARD, name) for name in dict.fromkeys(forward)] + [(REVERSE, a) for a in dict.fromkeys(reverse)]
    answers: dict[tuple[str, str], NameLookup] = {}
    begin = time.monotonic()

    def work(kind: str, name: str) -> None:
        answers[kind, name] = resolve(kind, name)

    threads = [threading.Thread(target=work, args=question, daemon=True) for question in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, begin + deadline - time.monotonic()))
    late = f"no answer within {deadline:g} s"
    return tuple(
        answers.get((kind, name)) or NameLookup(name=name, kind=kind, error=late, seconds=time.monotonic() - begin)
        for kind, name in asked
    )


def resolve(kind: str, name: str) -> NameLookup:
    """One look-up in this thread, however long it takes. Never raises."""
    import _socket  # the C half of `socket`, without the 35 ms of Python around it

    begin = time.monotonic()
    addresses: tuple[str, ...] = ()
    error = ""
    try:
        if kind == REVERSE:
            host, aliases, _ = _socket.gethostbyaddr(name)
            addresses = tuple(dict.fromkeys((host, *aliases)))
        else:
            # `type` keeps each address from coming once per kind of socket; the order is the resolver's.
            # Bytes keep CPython from loading its IDNA codec, 2 ms that an ASCII name does not need.
            host_bytes = name.encode("ascii") if name.isascii() else name
            rows = _socket.getaddrinfo(host_bytes, None, type=_socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(row[4][0]) for row in rows))
    except _socket.gaierror as e:
        error = f"{_EAI_WORDS.get(e.errno or 0, f'gai error {e.errno}')}: {e.strerror}"
    except (OSError, TypeError, UnicodeError, ValueError) as e:  # herror; not encodable; a zero byte (TypeError)
        error = f"{type(e).__name__}: {getattr(e, 'strerror', None) or e}"
    return NameLookup(name=name, kind=kind, addresses=addresses, error=error, seconds=time.monotonic() - begin)


def host_name() -> str:
    """This host's own name, as gethostname gives it: what gloo resolves when it is told no interface."""
    import _socket

    return _socket.gethostname()


def nameservers(path: str = "/etc/resolv.conf") -> tuple[str, ...]:
    """The resolver's servers, in order. Raises OSError when the file cannot be read."""
    found = []
    for line in read_text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            found.append(words[1])
    return tuple(found)
