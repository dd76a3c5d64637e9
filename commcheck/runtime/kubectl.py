"""kubectl, which asks a cluster's API in this process's name: answers, changes as they come, and logs."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from commcheck.errors import LaunchError
from commcheck.system.process import die_with_parent

KUBECTL = "kubectl"
KUBECTL_SECONDS = 30.0
"""For one answer of the cluster."""
AGAIN = 1.0
"""Before kubectl is started again that was to watch."""
_TRIES = 5
"""Times that kubectl may end without a word, where it is to watch, before it is not started again."""
_CHANGES = ("ADDED", "MODIFIED", "DELETED")
_BLOCK = 1 << 16
_Json = dict[str, Any]


class Documents:
    """JSON documents that come one behind the other, in blocks that end anywhere."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._bytes = b""

    def feed(self, block: bytes) -> Iterator[_Json]:
        """Those that are whole now."""
        self._bytes += block
        whole = self._bytes.rfind(b"\n") + 1  # kubectl ends each with a line
        self._text += self._bytes[:whole].decode(errors="replace")
        self._bytes = self._bytes[whole:]
        while text := self._text.lstrip():
            try:
                value, end = self._decoder.raw_decode(text)
            except ValueError:
                return
            self._text = text[end:]
            if isinstance(value, dict):
                yield value


class Followed:
    """kubectl passes on what a pod says, line by line: those of several do not mix within a line."""

    def __init__(self, pod: str, container: str, lock: threading.Lock) -> None:
        self._lock = lock
        self._process = _started(*log_words(pod, container), "--follow")
        self._thread = threading.Thread(target=self._pass_on, name=f"commcheck {pod}", daemon=True)
        self._thread.start()

    def finish(self, seconds: float) -> bool:
        """What there is has been passed on when this returns, or that time is over; whether it came to its end."""
        self._thread.join(seconds)
        whole = not self._thread.is_alive() and self._process.wait() == 0
        _end(self._process)
        self._thread.join()
        return whole

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with self._process.stdout as source, self._process.stderr:
            for line in source:
                put(line if line.endswith(b"\n") else line + b"\n", self._lock)


def log_words(pod: str, container: str) -> tuple[str, ...]:
    """What kubectl is asked for all that a pod has said."""
    return ("logs", pod, "-c", container, "--tail=-1")


def put(text: bytes, lock: threading.Lock) -> None:
    """Print it, with nothing of another thread's in between."""
    with lock:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


class Watch:
    """A context manager: kubectl says what becomes of a Job's pods. It is started again where it ends too early."""

    def __init__(self, job: str) -> None:
        self._words = ("get", "pods", "-l", f"job-name={job}", "--watch", "--output-watch-events", "-o", "json")
        self._documents = Documents()
        self._process = _started(*self._words)
        self._in_vain = 0

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def changes(self, seconds: float | None) -> list[_Json]:
        """Those that come next; none after that time. Raises LaunchError where none can come."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], seconds)[0]:
            return []
        block = os.read(descriptor, _BLOCK)
        if block:
            self._in_vain = 0
            return [told for told in self._documents.feed(block) if told.get("type") in _CHANGES]
        self._in_vain += 1
        assert self._process.stderr is not None
        said = self._process.stderr.read(_BLOCK).decode(errors="replace").strip().splitlines()
        if self._in_vain > _TRIES:
            raise LaunchError(f"kubectl get pods --watch: {said[-1] if said else 'ends at once'}")
        self.__exit__()
        time.sleep(AGAIN)  # the API server may be away for a moment
        self._documents = Documents()
        self._process = _started(*self._words)
        return []


def _started(*words: str) -> subprocess.Popen[bytes]:
    """kubectl, which ends when this process does."""
    return subprocess.Popen(
        (KUBECTL, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=functools.partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def read(path: str) -> list[_Json]:
    """The documents of a manifest, which kubectl reads as it would to create them. Raises LaunchError."""
    return list(Documents().feed(run("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", path)))


def items(kind: str, *options: str, seconds: float) -> list[_Json]:
    """All of a kind in the namespace; none where one may not ask."""
    try:
        return list(json.loads(run("get", kind, *options, "-o", "json", must=False, seconds=seconds))["items"])
    except (ValueError, KeyError):
        return []


def run(*words: str, given: bytes = b"", must: bool = True, seconds: float = KUBECTL_SECONDS) -> bytes:
    """What kubectl answers. Raises LaunchError where it `must` and does not."""
    try:
        done = subprocess.run((KUBECTL, *words), input=given, capture_output=True, timeout=seconds, check=False)
    except OSError as error:
        raise LaunchError(f"{KUBECTL}: {error.strerror or error}: is it on PATH here?") from error
    except subprocess.TimeoutExpired as error:
        if not must:
            return b""
        raise LaunchError(f"kubectl {words[0]}: the cluster has not answered within {seconds:g} s") from error
    if done.returncode and must:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LaunchError(f"kubectl {words[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
