"""Reading what a job left behind: files, directories of files, standard input; block by block, however large.

While a long log is read, or one that is still being written, what can already be said is said on standard error. Ctrl-C
ends the reading, and what was read until then is judged.
"""

import os
import stat
import sys
import time

from commcheck.errors import InputError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from commcheck.diagnose.logs import Reading
    from commcheck.model.case import Case
    from commcheck.runtime.records import Collector

    Blocks = Iterator[bytes]

# What a directory of logs may hold beside logs; everything else in it is read.
_NO_LOGS = frozenset((
    ".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".npy", ".npz", ".pkl", ".pickle", ".png", ".jpg", ".pdf", ".py",
    ".pyc", ".json", ".yaml", ".yml", ".toml", ".so", ".whl", ".csv", ".parquet", ".arrow", ".tar", ".zip", ".sqlite",
    ".db", ".lock", ".pid", ".tfevents",
))  # fmt: skip
_PACKED = frozenset((".gz", ".zst", ".xz", ".bz2"))
_ELASTIC_ERROR = "error.json"
_MOST_FILES = 20_000
_BLOCK = 512 << 10
_QUIET = 5.0  # seconds without a new byte after which what is known is said
_EVERY = 1.0  # seconds between two looks at what was read so far
_STANDARD_INPUT = "standard input"


_CUT = 5  # archives without an end that are named


class Read:
    """What the reading gave: the case, what is to be said of the reading itself, whether it was interrupted, and the records
    of commcheck's own ranks that stood in the text."""

    def __init__(
        self,
        case: "Case",
        notes: "tuple[str, ...]" = (),
        *,
        interrupted: bool = False,
        records: "Collector | None" = None,
    ) -> None:
        self.case, self.notes, self.interrupted, self.records = case, notes, interrupted, records


def read(paths: "list[str]", say: "Callable[[str], None]") -> Read:
    """Read files, directories and "-". `say` is told what is known while it still reads.

    Raises InputError for what is not there, cannot be read, or is no log."""
    from commcheck.diagnose.logs import Reading

    reading = Reading()
    early = _Early(reading, say)
    try:
        for path in dict.fromkeys(paths):
            if path == "-":
                _one(reading, _STANDARD_INPUT, _standard_input(early), early)
            elif _is_directory(path):
                _directory(reading, path, early)
            else:
                _one(reading, path, _file(path, early), early)
    except KeyboardInterrupt:
        why = f"interrupted: this is what the first {early.size / 1e6:.1f} MB tell"
        return Read(reading.case(), (why, *early.notes()), interrupted=True, records=early.records)
    return Read(reading.case(), early.notes(), records=early.records)


class _Early:
    """Says what is known so far, when it has changed and is sure enough; sparingly, for judging takes time."""

    def __init__(self, reading: "Reading", say: "Callable[[str], None]") -> None:
        from commcheck.runtime.records import Collector

        self.size = 0
        self.records = Collector()
        self._reading, self._say = reading, say
        self._seen = 0
        self._next = time.monotonic() + _EVERY
        self._said: set[tuple[str, tuple[int, ...]]] = set()
        self._cut: list[str] = []

    def cut(self, name: str, size: int, why: str) -> None:
        """An archive that cannot be read to its end."""
        self._cut.append(
            f"{name}: read as far as it goes, {size / 1e6:.1f} MB of text; then it is cut off or damaged ({why})"
        )

    def notes(self) -> "tuple[str, ...]":
        """What is to be said of the reading."""
        more = len(self._cut) - _CUT
        return (*self._cut[:_CUT], *([f"{more} more archives are cut off or damaged"] if more > 0 else []))

    def look(self, *, quiet: bool = False) -> None:
        """After each block; `quiet`: nothing has come for a while, so a guess is better than silence."""
        begin = time.monotonic()
        if begin < self._next and not quiet:
            return
        kept = self._reading.kept  # of all files: not to be asked for each block of each
        if kept == self._seen:
            self._next = begin + _EVERY
            return
        from commcheck.diagnose.match import DECIDED, judge
        from commcheck.model.diagnosis import Role

        self._seen = kept
        first = next((d for d in judge(self._reading.case()).diagnoses if d.role is Role.ROOT), None)
        # At most a tenth of the time goes into early answers.
        self._next = time.monotonic() + max(_EVERY, 10 * (time.monotonic() - begin))
        if first is None or (first.confidence < DECIDED and not quiet) or (first.cause, first.ranks) in self._said:
            return
        self._said.add((first.cause, first.ranks))
        from commcheck.model.base import ranks_text

        where = f" on {ranks_text(first.ranks)}" if first.ranks else ""
        line = next((f", {e.source}:{e.line}" for e in first.evidence if e.line), "")
        sure = "found" if first.confidence >= DECIDED else "perhaps"
        self._say(f"{sure} so far: {first.title}{where} [{first.cause}{line}]")


def _one(reading: "Reading", name: str, blocks: "Blocks", early: _Early) -> None:
    """One log from its beginning to its end."""
    from commcheck.diagnose.ingest.unpack import unpacked

    source = reading.source(name)
    try:
        for block in unpacked(name, blocks, lambda size, why: early.cut(name, size, why)):
            source.feed(early.records.feed(block))
            early.look()
        source.feed(early.records.finish())
        source.finish()
    except InputError:
        early.records.finish()
        reading.drop(source)
        raise


def _directory(reading: "Reading", path: str, early: _Early) -> None:
    """The logs in a directory and below it. Files that are plainly something else are left out."""
    found = others = 0
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            full = os.path.join(folder, name)
            if not may_be_log(name) or not os.path.isfile(full):
                others += 1
                continue
            try:
                _one(reading, full, _elastic_error(full) if name == _ELASTIC_ERROR else _file(full, early), early)
            except InputError as error:
                if isinstance(error.__cause__, OSError):
                    raise  # a log that cannot be read: better to know
                others += 1
                continue
            found += 1
            if found > _MOST_FILES:
                raise InputError(f"{path} holds more than {_MOST_FILES} files: give the directory of one job's logs")
    if not found:
        what = f"none of its {others} files is a log" if others else "it is empty"
        raise InputError(
            f"{path}: {what}: give the directory in which the job's logs or `preflight --report-dir` reports are"
        )


def may_be_log(name: str) -> bool:
    """Whether a file in a directory of logs may be one, by its name."""
    if name == _ELASTIC_ERROR:
        return True
    stem, extension = os.path.splitext(name.lower())
    if extension in _PACKED:
        extension = os.path.splitext(stem)[1]
    return not name.startswith(".") and extension not in _NO_LOGS


def _elastic_error(path: str) -> "Blocks":
    """The exception in a file in which a rank under torchrun leaves it, as text."""
    from commcheck.diagnose.ingest.elastic import error_text

    with open(path, "rb") as file:
        yield error_text(file.read(_BLOCK))


def _is_directory(path: str) -> bool:
    """Directory or file; an InputError for what is neither."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}: give the path of a log or of a directory of logs"
        ) from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{path!r} is not a path: {error}") from error
    if stat.S_ISDIR(mode):
        return True
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
        return False
    raise InputError(f"{path} is neither a file nor a directory: give the path of a log")


def _file(path: str, early: _Early) -> "Blocks":
    """A file's blocks."""
    try:
        with open(path, "rb", buffering=0) as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                yield from _live(file.fileno(), early)
                return
            while block := file.read(_BLOCK):
                early.size += len(block)
                yield block
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}: make it readable, or pass its text to `commcheck diagnose -`"
        ) from error


def _standard_input(early: _Early) -> "Blocks":
    """Standard input, as it comes."""
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed: pipe the job's output into `commcheck diagnose -`")
    if sys.stdin.isatty():
        sys.stderr.write("commcheck: reading standard input (end it with Ctrl-D)\n")
    try:
        number = sys.stdin.fileno()
    except (OSError, ValueError):  # not a file of the system
        while block := sys.stdin.buffer.read(_BLOCK):
            early.size += len(block)
            yield block
        return
    yield from _live(number, early)


def _live(number: int, early: _Early) -> "Blocks":
    """What comes through a pipe, while it may still be written to."""
    import select

    quiet = False
    while True:
        ready, _, _ = select.select([number], [], [], None if quiet else _QUIET)
        if not ready:
            quiet = True
            early.look(quiet=True)
            continue
        block = os.read(number, _BLOCK)
        if not block:
            return
        quiet = False
        early.size += len(block)
        yield block
