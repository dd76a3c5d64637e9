"""Ask the libnccl that a job would load, in a child: its version, its variables, and what it makes of the job's settings.

No GPU and no torch are needed. Works inside whatever namespaces it is called in; never raises because a library is odd."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import msgspec

from commcheck.catalog.env import nccl_conf
from commcheck.catalog.env.select import relevant, without_secret
from commcheck.model.nccl import NcclFacts, NcclFile, NcclLibrary
from commcheck.model.plan import Place
from commcheck.probe import nccl_elf, nccl_find
from commcheck.probe.nccl_child import Begin, Question, Reply, Request

CHILD_DEADLINE = 12.0
"""Seconds for the child's start and its answers, which take a tenth of one: more than all its own deadlines together."""
DEBUG = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,BOOTSTRAP", "NCCL_DEBUG_FILE": "/dev/stdout"}
"""What the asked library is to print, whatever the job wants printed; and nothing is to be written where the job writes."""
RDMA_CARDS = "/sys/class/infiniband"
LARGEST_FILE = 1024 * 1024  # bytes of a configuration file that are read
_LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD")
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from commcheck.probe.nccl_child import main; main()"
_PLUGINS = ("NET", "TUNER", "PROFILER", "ENV")


class Child:
    """The process that loads and asks, in a place. A context manager that leaves none behind."""

    def __init__(self, place: Place | None = None, environment: Mapping[str, str] | None = None) -> None:
        given = environment if environment is not None else os.environ
        own = {name: value for name, value in os.environ.items() if name not in _LOADER}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=own | {name: given[name] for name in _LOADER if name in given},
        )
        self._write(msgspec.json.encode(Begin(parent=os.getpid(), place=place or Place())))

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def ask(self, request: Request, deadline: float = CHILD_DEADLINE) -> Reply:
        """The child's reply; one whose `failed` says so where it broke or was too slow."""
        self.tell(request)
        return self.hear(deadline)

    def tell(self, request: Request) -> None:
        """Hand it a request; `hear` waits for the reply."""
        self._write(msgspec.json.encode(request))

    def hear(self, deadline: float = CHILD_DEADLINE) -> Reply:
        """Wait for the reply to the oldest request."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        end, line = time.monotonic() + deadline, bytearray()
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return Reply(failed=f"the process that asks libnccl gave no answer within {deadline:g} s")
            piece = os.read(pipe, 1 << 20)
            if not piece:
                return Reply(failed=f"the process that asks libnccl ended {self._ending()}")
            line += piece
        return msgspec.json.decode(bytes(line), type=Reply)

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already; `hear` says so

    def _ending(self) -> str:
        code = self._process.wait()
        return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def ask(environment: Mapping[str, str], *, library: str = "", path: Sequence[str] | None = None) -> NcclFacts:
    """What the libnccl of a job with this (whole) environment says. `library`: a file, else it is looked for along
    `path` (default: this Python's) and where the loader looks."""
    found = nccl_find.find(environment, library, path)
    rdma = _cards()
    if not found.path:
        return facts_without_library(environment, found.looked, rdma)
    try:
        names = nccl_elf.variables(found.path)
        not_read: tuple[str, ...] = ()
    except (OSError, ValueError) as e:
        names, not_read = (), (f"the variables that {found.path} knows: {e}",)
    question = Question(
        path=found.path,
        settings=(asking(environment),),
        parameters=True,
        plugins=tuple(_plugins(environment, names)),
    )
    with Child(environment=environment) as child:
        reply = child.ask(question)
    if reply.failed:
        nothing = facts_without_library(environment, (reply.failed,), rdma)
        return msgspec.structs.replace(nothing, addresses=reply.addresses, not_read=(*not_read, reply.failed))
    files = config_files(environment, reply.version)
    return NcclFacts(
        environment=relevant(nccl_conf.effective(environment, files)),
        library=NcclLibrary(
            path=found.path,
            found_by=found.found_by,
            version=reply.version,
            names=tuple(sorted({*names, *(p.name for p in reply.parameters)})),
            parameters=reply.parameters,
        ),
        answer=reply.answers[0],
        addresses=reply.addresses,
        files=files,
        plugins=reply.plugins,
        rdma=rdma,
        not_read=not_read,
    )


def facts_without_library(environment: Mapping[str, str], looked: tuple[str, ...], rdma: tuple[str, ...]) -> NcclFacts:
    """What can be known without one: files and cards. The files are read as the newest NCCL does."""
    files = config_files(environment, sys.maxsize)
    settings = relevant(nccl_conf.effective(environment, files))
    return NcclFacts(environment=settings, looked=looked, files=files, rdma=rdma)


def asking(environment: Mapping[str, str]) -> dict[str, str]:
    """A job's environment, with what makes the library say what it does."""
    return {**environment, **DEBUG}


def config_files(environment: Mapping[str, str], version: int) -> tuple[NcclFile, ...]:
    """The configuration files that NCCL of that version reads, as far as they are there."""
    read = []
    for path, wanted_by in nccl_conf.files(environment, version, _account_home()):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
                read.append(nccl_conf.parsed(path, file.read(LARGEST_FILE), version, wanted_by))
        except FileNotFoundError as e:
            if wanted_by:
                read.append(NcclFile(path=path, wanted_by=wanted_by, error=e.strerror or str(e)))
        except OSError as e:
            read.append(NcclFile(path=path, wanted_by=wanted_by, error=e.strerror or str(e)))
    return tuple(map(_without_secrets, nccl_conf.ordered(environment, tuple(read))))


def _without_secrets(file: NcclFile) -> NcclFile:
    replace = msgspec.structs.replace
    settings = tuple(replace(s, value=without_secret(s.name.strip(), s.value)) for s in file.settings)
    return replace(file, settings=settings, ignored=tuple((n, without_secret("", text)) for n, text in file.ignored))


def _account_home() -> str | None:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # an account that only a number has, as in containers
        return None


def _plugins(environment: Mapping[str, str], names: Sequence[str]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Kind, wish and file names of the libraries that this NCCL looks for, as its `src/plugin/plugin_open.cc` does."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for kind in _PLUGINS:
        variable = f"NCCL_{kind}_PLUGIN"
        if names and variable not in names:
            continue
        wanted = environment.get(variable, "")
        if wanted.lower() == "none":
            continue
        prefix = f"libnccl-{kind.lower()}"
        for one in (w for w in wanted.split(",") if w) if wanted else ("",):
            plain = "/" not in one and not (one.startswith("lib") and one.endswith(".so"))
            tried = ((one, f"{prefix}-{one}.so") if plain else (one,)) if one else (f"{prefix}.so",)
            found.append((kind.lower(), one, tried))
    return found


def _cards() -> tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(RDMA_CARDS)))
    except OSError:
        return ()
