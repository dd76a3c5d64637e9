"""Load a libnccl and ask it: a process of its own, since what is loaded may crash, hang or print.

`python -m commcheck.probe.nccl_child` enters a place, then answers each request (a line of JSON on standard input) with a
line of JSON, until its input ends. Each set of settings is tried in a fork of its own, because NCCL reads its settings once.
"""

import ctypes
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable

import msgspec

from commcheck.errors import LaunchError
from commcheck.model.base import Value
from commcheck.model.nccl import NcclAddress, NcclAnswer, NcclParameter, NcclPlugin, NcclReach
from commcheck.model.plan import Place
from commcheck.probe.nccl_addresses import addresses, unpacked
from commcheck.system.place import enter
from commcheck.system.process import die_with_parent

ID_DEADLINE = 4.0
"""Seconds for one unique id: it takes milliseconds, unless NCCL_COMM_ID is a name that a name server is asked for."""
PLUGIN_DEADLINE = 1.0
"""Seconds for loading each library beside it, and for printing the parameters: milliseconds, unless a file system hangs."""
_ID_BYTES = 128  # NCCL_UNIQUE_ID_BYTES of nccl.h
_MAGIC_SINCE = 21600
"""Since 2.16 a random number of 8 bytes stands in front of the address in the unique id (bootstrap.h)."""
_ADDRESS = 28  # sizeof(union ncclSocketAddress)
MOST_OUTPUT = 256 * 1024  # bytes of what NCCL prints that are kept


class Question(Value, frozen=True, tag="question"):
    """What to ask the library at `path`. `settings`: whole environments, each asked by itself. `parameters`: ask for those
    too. `plugins`: kind and names of libraries to look for."""

    path: str
    settings: tuple[dict[str, str], ...] = ()
    parameters: bool = False
    plugins: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


class Target(Value, frozen=True):
    """Where a listener of another host is."""

    host: str
    address: str
    port: int
    number: int


class Listen(Value, frozen=True, tag="listen"):
    """Listen on an address until the input ends, and answer to whoever knows `nonce`."""

    address: str
    nonce: int
    number: int


class Reach(Value, frozen=True, tag="reach"):
    """Try to connect to such listeners."""

    nonce: int
    targets: tuple[Target, ...]


class Reply(Value, frozen=True):
    """What came of a request. `path`: the file that was loaded; `failed`: why nothing was."""

    path: str = ""
    version: int = 0
    answers: tuple[NcclAnswer, ...] = ()
    addresses: tuple[NcclAddress, ...] = ()
    parameters: tuple[NcclParameter, ...] = ()
    plugins: tuple[NcclPlugin, ...] = ()
    port: int = 0
    reached: tuple[NcclReach, ...] = ()
    failed: str = ""


class Begin(Value, frozen=True):
    """The first line: who asks, and where to go."""

    parent: int
    place: Place = Place()


Request = Question | Listen | Reach


def forked(work: Callable[[], bytes], deadline: float) -> tuple[bytes, str, str]:
    """Run `work` in a fork, with its output caught: what it returns, what was printed, and why it has not returned."""
    out, out_in = os.pipe()
    said, said_in = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        # No exit of Python's and none of C's: only what `work` does may happen here.
        try:
            die_with_parent(parent)
            os.dup2(said_in, 1)
            os.dup2(said_in, 2)
            os.write(out_in, work())
            os._exit(0)
        except BaseException as e:
            os.write(said_in, f"commcheck: {type(e).__name__}: {e}\n".encode())
            os._exit(3)
    os.close(out_in)
    os.close(said_in)
    texts: dict[int, bytes] = {out: b"", said: b""}
    end, late = time.monotonic() + deadline, False
    open_ones = [out, said]
    while open_ones:
        ready, _, _ = select.select(open_ones, [], [], max(0.0, end - time.monotonic()))
        if not ready:
            late = True
            os.kill(pid, signal.SIGKILL)
            break
        for one in ready:
            piece = os.read(one, 65536)
            if not piece:
                open_ones.remove(one)
            texts[one] = (texts[one] + piece)[:MOST_OUTPUT]
    os.close(out)
    os.close(said)
    _, status = os.waitpid(pid, 0)
    failed = ""
    if late:
        failed = f"no answer within {deadline:g} s"
    elif os.WIFSIGNALED(status):
        failed = f"it was ended by signal {os.WTERMSIG(status)}"
    elif status:
        failed = texts[said].decode(errors="replace").strip().rpartition("\n")[2] or "it ended by itself"
    return texts[out], texts[said].decode(errors="replace"), failed


def unique_id(library: ctypes.CDLL, version: int, environment: dict[str, str]) -> NcclAnswer:
    """Have the library make a unique id with this environment, and say what it chose."""

    def work() -> bytes:
        os.environ.clear()
        os.environ.update(environment)
        made = ctypes.create_string_buffer(_ID_BYTES)
        result = library.ncclGetUniqueId(made)
        return struct.pack("=i", result) + made.raw

    raw, text, failed = forked(work, ID_DEADLINE)
    warnings, interface, shown = said_by(text)
    if failed or len(raw) < 4 + _ID_BYTES:
        return NcclAnswer(said=warnings, failed=failed or "it gave no unique id")
    (result,) = struct.unpack_from("=i", raw)
    if result != 0:
        return NcclAnswer(result=result, interface=interface, said=warnings)
    begin = 4 + (8 if version >= _MAGIC_SINCE else 0)
    try:
        address, port, scope = unpacked(raw[begin : begin + _ADDRESS])
    except ValueError as e:
        return NcclAnswer(said=warnings, failed=f"the unique id cannot be read: {e}")
    if scope:
        address = f"{address}%{_interface(scope)}"
    if shown and "NCCL_COMM_ID" not in environment and shown != address:
        warnings = (*warnings, f"commcheck: the unique id has {address}, the library's own words have {shown}")
    return NcclAnswer(interface=interface, address=address, port=port, said=warnings)


def _interface(number: int) -> str:
    import socket

    try:
        return socket.if_indextoname(number)
    except OSError:
        return str(number)


def said_by(text: str) -> tuple[tuple[str, ...], str, str]:
    """Of what NCCL printed: its warnings, the interface that it uses, and the address that it says with it."""
    warnings, interface, address = [], "", ""
    for line in text.splitlines():
        _, warn, what = line.partition("NCCL WARN ")
        if warn and "Cuda failure" not in what:  # 2.16 and older look for a driver first
            warnings.append(what.strip())
        using = line.partition("Using ")[2] if "NCCL INFO Bootstrap" in line else ""
        if using:
            interface, _, rest = using.partition(":")
            address = rest.rpartition("<")[0]
    return tuple(dict.fromkeys(warnings)), interface, address


def parameters(library: ctypes.CDLL, environment: dict[str, str]) -> tuple[NcclParameter, ...]:
    """What the parameter interface tells; nothing where the library has none."""
    if not hasattr(library, "ncclParamDumpAll"):
        return ()

    def work() -> bytes:
        os.environ.clear()
        os.environ.update(environment)
        os.environ["NCCL_PARAM_DUMP_ALL"] = "1"
        library.ncclParamDumpAll()
        ctypes.CDLL(None).fflush(None)
        return b""

    _, text, failed = forked(work, PLUGIN_DEADLINE)
    return () if failed else dumped(text)


def dumped(text: str) -> tuple[NcclParameter, ...]:
    """The parameters in the text that ncclParamDumpAll prints (NCCL's `src/include/param/param.h`)."""
    found: list[NcclParameter] = []
    for line in text.splitlines():
        name, _, rest = line.partition(" (")
        if name.startswith("NCCL_") and name.replace("_", "").isalnum() and rest:
            found.append(NcclParameter(name=name, kind=rest.partition(")")[0]))
        elif found and line.startswith("    Current value="):
            front, _, default = line.partition("=")[2].rpartition(" default=")
            value, _, set_by = front.rpartition(" set_by=")
            found[-1] = msgspec.structs.replace(found[-1], value=value, default=default, set_by=set_by)
        elif found and line.startswith("    Accepted value:"):
            accepted = line.partition(":")[2].strip()
            found[-1] = msgspec.structs.replace(found[-1], accepted=accepted)
        elif found and line.startswith("        ") and found[-1].accepted:
            word = line.strip().partition(" ")[0]
            joint = " " if found[-1].accepted.endswith(":") else ", "
            found[-1] = msgspec.structs.replace(found[-1], accepted=f"{found[-1].accepted}{joint}{word}")
    return tuple(found)


def plugin(kind: str, wanted: str, names: tuple[str, ...]) -> NcclPlugin:
    """Load the first of some libraries that the loader finds, in a fork, and say where it lies."""

    def work() -> bytes:
        errors = []
        for name in names:
            before = _mapped()
            try:
                ctypes.CDLL(name)
            except OSError as e:
                errors.append(str(e))
                continue
            new = [p for p in _mapped() if p not in before]
            path = next((p for p in new if os.path.basename(name) in p), os.path.realpath(name))
            return msgspec.json.encode(NcclPlugin(kind=kind, wanted=wanted, tried=names, path=path))
        return msgspec.json.encode(NcclPlugin(kind=kind, wanted=wanted, tried=names, error="; ".join(errors)))

    raw, _, failed = forked(work, PLUGIN_DEADLINE)
    if failed or not raw:
        return NcclPlugin(kind=kind, wanted=wanted, tried=names, error=f"loading it failed: {failed}")
    return msgspec.json.decode(raw, type=NcclPlugin)


def _mapped() -> tuple[str, ...]:
    """The files that this process has mapped."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return tuple(dict.fromkeys(line[line.index("/") :].rstrip("\n") for line in file if "/" in line))


def answer(question: Question) -> Reply:
    """Load the library and ask it."""
    try:
        library = ctypes.CDLL(question.path)
        number = ctypes.c_int()
        result = library.ncclGetVersion(ctypes.byref(number))
    except (OSError, AttributeError) as e:
        return Reply(failed=f"{question.path} cannot be loaded: {e}", addresses=_addresses())
    if result != 0:
        return Reply(failed=f"{question.path}: ncclGetVersion returned {result}", addresses=_addresses())
    version = number.value
    first = question.settings[0] if question.settings else {}
    return Reply(
        path=next((p for p in _mapped() if "libnccl.so" in p), question.path),
        version=version,
        answers=tuple(unique_id(library, version, environment) for environment in question.settings),
        addresses=_addresses(),
        parameters=parameters(library, first) if question.parameters else (),
        plugins=tuple(plugin(*one) for one in question.plugins),
    )


def _addresses() -> tuple[NcclAddress, ...]:
    try:
        return addresses()
    except OSError:
        return ()


_listening: list[object] = []


def listen(request: Listen) -> Reply:
    """Answer on an address, in threads, until this process ends."""
    from commcheck.probe.connect import Answering

    try:
        answering = Answering(request.address, _nonce(request.nonce), request.number)
    except OSError as e:
        return Reply(failed=f"cannot listen on {request.address}: {e.strerror or e}")
    _listening.append(answering)
    return Reply(port=answering.port)


def reach(request: Reach) -> Reply:
    """Try all targets at once."""
    import threading

    from commcheck.probe.connect import exchange

    found: list[NcclReach] = []

    def one(target: Target) -> None:
        probe = exchange(target.address, target.port, _nonce(request.nonce), target.number)[-1]
        found.append(
            NcclReach(
                host=target.host,
                address=target.address,
                port=target.port,
                outcome=probe.outcome.value,
                detail=probe.detail,
            )
        )

    threads = [threading.Thread(target=one, args=(t,)) for t in request.targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Reply(reached=tuple(sorted(found, key=lambda r: (r.host, r.address))))


def _nonce(number: int) -> bytes:
    return number.to_bytes(16, "big")


def main() -> None:
    """Enter the place, then a line in, a line out, until the input ends."""
    begin = msgspec.json.decode(sys.stdin.buffer.readline(), type=Begin)
    # Standard output is for answers alone: what a library prints while it is loaded goes elsewhere.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    die_with_parent(begin.parent)
    failed = ""
    try:
        enter(begin.place)
    except LaunchError as e:
        failed = str(e)
    for line in sys.stdin.buffer:
        request: Request = msgspec.json.decode(line, type=Request)
        if failed:
            reply = Reply(failed=failed)
        elif isinstance(request, Question):
            reply = answer(request)
        else:
            reply = listen(request) if isinstance(request, Listen) else reach(request)
        answers.write(msgspec.json.encode(reply) + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
