"""Ranks in the pods of an Indexed Job, through kubectl: `python -m commcheck.runtime.pods MANIFEST SECONDS`.

The Service and the Job are created, the pods watched, and what they say is printed as it comes; then a line for each that has not
come or not ended well, in Kubernetes' own words, and what else of the namespace is in their way. All is deleted at the end, also on SIGTERM, which comes when the one that has started this is gone; should this be killed too, the cluster does it.
`SECONDS`: for the pods to start."""

from __future__ import annotations

import functools
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from commcheck.errors import LaunchError
from commcheck.model.base import Value
from commcheck.system.process import die_with_parent

KUBECTL = "kubectl"
KUBECTL_SECONDS = 30.0
"""For one answer of the cluster."""
LOG_SECONDS = 5.0
"""For the rest of what a pod has said, once it has ended."""
MOST_FOLLOWED = 64
"""Pods of which each is listened to, by a kubectl of its own: of more, what they have said is read when they have ended."""
_TRIES = 5
"""Times that kubectl may end without a word, where it is to watch, before it is not started again."""
SAID = "commcheck: pods: "
_ENDING = (signal.SIGINT, signal.SIGTERM)
_AT_ONCE = 8
_BLOCK = 1 << 16
_NEVER = frozenset(
    {"ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError"}
)
"""Reasons for which a container waits and that do not pass by themselves. Source: kubernetes, pkg/kubelet/images/types.go and
pkg/kubelet/kuberuntime/kuberuntime_container.go; ErrImagePull is the first try, ImagePullBackOff the wait after it."""
_Json = dict[str, Any]


class Pod(Value, frozen=True):
    """What is known of one. `index`: its number in the Job; `why`: what keeps it from starting, or ended it badly, "" for nothing;
    `added`: containers that the manifest does not have."""

    name: str
    index: int
    node: str = ""
    started: bool = False
    ended: bool = False
    never: bool = False
    why: str = ""
    added: tuple[str, ...] = ()


def pod_of(told: Mapping[str, Any], container: str, known: frozenset[str]) -> Pod:
    """One pod, as the API tells of it. `container`: in which the ranks run; `known`: the containers of the manifest."""
    metadata, spec, status = (told.get(part) or {} for part in ("metadata", "spec", "status"))
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    states = {s.get("name", ""): s.get("state") or {} for s in status.get("containerStatuses") or ()}
    own = states.get(container, {})
    phase = status.get("phase", "")
    # A proxy that was put beside the ranks does not end with them.
    ended = phase in ("Succeeded", "Failed") or "terminated" in own
    first = _first_states(status)
    waiting = [s["waiting"] for s in [own, *first.values()] if "waiting" in s]
    reasons = [w.get("reason", "") for w in waiting]
    started = "running" in own or "terminated" in own
    return Pod(
        name=metadata.get("name", ""),
        index=int(marks.get("batch.kubernetes.io/job-completion-index", -1)),
        node=spec.get("nodeName", ""),
        started=started,
        ended=ended,
        never=not started and (ended or any(reason in _NEVER for reason in reasons)),
        why=_why(status, {container: own, **first}, waiting),
        added=tuple(sorted(states.keys() - known)),
    )


def _first_states(status: Mapping[str, Any]) -> dict[str, _Json]:
    return {s.get("name", ""): s.get("state") or {} for s in status.get("initContainerStatuses") or ()}


def _why(
    status: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]], waiting: Iterable[Mapping[str, Any]]
) -> str:
    if status.get("reason"):  # Evicted, NodeLost, ...
        return _words(status)
    ends = {name: end for name, state in states.items() if (end := state.get("terminated"))}
    for name, end in ends.items():
        if end.get("exitCode"):
            return f"container {name}: {_words(end)} (exit code {end['exitCode']})"
    refused = (c for c in status.get("conditions") or () if c.get("type") == "PodScheduled")
    for condition in refused:
        if condition.get("status") == "False":
            return _words(condition)
    return next((_words(w) for w in waiting if w.get("reason") not in ("ContainerCreating", "PodInitializing")), "")


def _words(told: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (told.get("reason", ""), " ".join(str(told.get("message") or "").split()))))


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


class Job:
    """A context manager: the Job and its Service are there, until it is left. Raises LaunchError."""

    def __init__(self, file: Path) -> None:
        self._made: list[str] = []
        self._followed: dict[str, _Followed] = {}
        self._lock = threading.Lock()
        items = json.loads(file.read_text(encoding="utf-8"))["items"]
        self._service, self._job = items
        self.name = self._job["metadata"]["name"]
        self.count = int(self._job["spec"]["completions"])
        containers = [c["name"] for c in self._job["spec"]["template"]["spec"]["containers"]]
        self.container, self.known = containers[0], frozenset(containers)

    def __enter__(self) -> Job:
        try:
            # First the Service: a name that was asked for before it is there is unknown for a while.
            self._create(self._service)
            job = self._create(self._job)
            owner = {"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": job["metadata"]["uid"]}
            patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
            _run("patch", "service", self.name, "--type=merge", "-p", patch)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._made:
            _run("delete", *self._made, "--ignore-not-found", "--cascade=foreground", must=False)

    def _create(self, manifest: _Json) -> _Json:
        made: _Json = json.loads(_run("create", "-f", "-", "-o", "json", given=json.dumps(manifest).encode()))
        self._made.append(f"{manifest['kind'].lower()}/{self.name}")
        return made

    def pods(self, patience: float) -> dict[str, Pod]:
        """Pass on what the pods say, until all have ended; or those that have started, where the others do not come within
        that time or never will."""
        found: dict[str, Pod] = {}
        deadline = time.monotonic() + patience
        said = ""
        follow = self.count <= MOST_FOLLOWED
        with _Watch(self.name) as watch:
            while not _over(tuple(found.values()), self.count, late=time.monotonic() >= deadline):
                left = deadline - time.monotonic()
                for event in watch.changes(left if left > 0 else None):
                    pod = pod_of(event["object"], self.container, self.known)
                    if event.get("type") == "DELETED":
                        pod = replace(pod, ended=True, why=pod.why or "it was deleted")
                    found[pod.name] = pod
                    if follow and pod.started and pod.name not in self._followed:
                        self._followed[pod.name] = _Followed(pod.name, self.container, self._lock)
                started, ended = sum(p.started for p in found.values()), sum(p.ended for p in found.values())
                if (text := f"{SAID}{started} of {self.count} have started, {ended} have ended") != said:
                    said = text
                    self.say(text)
        if not follow:
            self._read_all([p for p in found.values() if p.started])
        return found

    def finish(self) -> None:
        """Wait until what the pods have said is passed on."""
        for one in self._followed.values():
            one.finish()

    def say(self, text: str) -> None:
        """A line of our own between those of the pods."""
        _put(f"{text}\n".encode(), self._lock)

    def _read_all(self, pods: Sequence[Pod]) -> None:
        """What so many have said that not each could be listened to."""

        def of(pod: Pod) -> bytes:
            return _run(*_log(pod.name, self.container), must=False)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for said in pool.map(of, pods):
                _put(said, self._lock)

    def events(self, names: Iterable[str]) -> dict[str, str]:
        """What Kubernetes last warned of, by the name of a pod or the Job."""
        wanted = {*names, self.name}
        found = {}
        for event in _items("events", "--field-selector", "type=Warning"):
            name = (event.get("involvedObject") or {}).get("name", "")
            if name in wanted:
                found[name] = _words(event)
        return found

    def policies(self) -> tuple[str, ...]:
        """The NetworkPolicies that are about these pods, as far as their labels are told."""
        own = {"job-name": self.name, **(self._job["spec"]["template"].get("metadata") or {}).get("labels", {})}
        found = []
        for policy in _items("networkpolicies"):
            selector = (policy.get("spec") or {}).get("podSelector") or {}
            if all(own.get(name) == value for name, value in (selector.get("matchLabels") or {}).items()):
                found.append(policy["metadata"]["name"])
        return tuple(found)


class _Followed:
    """kubectl passes on what a pod says, line by line: those of several do not mix within a line."""

    def __init__(self, pod: str, container: str, lock: threading.Lock) -> None:
        self._words = _log(pod, container)
        self._lock = lock
        self._process = _started("logs", "--follow", *self._words[1:])
        self._thread = threading.Thread(target=self._pass_on, name=f"commcheck {pod}", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """What there is has been passed on when this returns; a log that does not end is left after a while."""
        self._thread.join(LOG_SECONDS)
        _end(self._process)
        self._thread.join()

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as source:
            for line in source:
                _put(line if line.endswith(b"\n") else line + b"\n", self._lock)


def _log(pod: str, container: str) -> tuple[str, ...]:
    return ("logs", pod, "-c", container, "--tail=-1")


def _put(text: bytes, lock: threading.Lock) -> None:
    with lock:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


class _Watch:
    """A context manager: kubectl says what becomes of a Job's pods. It is started again where it ends too early."""

    def __init__(self, job: str) -> None:
        self._words = ("get", "pods", "-l", f"job-name={job}", "--watch", "--output-watch-events", "-o", "json")
        self._documents = Documents()
        self._process = _started(*self._words)
        self._in_vain = 0

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def changes(self, seconds: float | None) -> list[_Json]:
        """Those that come next; none after that time. Raises LaunchError where none can come."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], seconds)[0]:
            return []
        block = os.read(descriptor, _BLOCK)
        if block:
            self._in_vain = 0
            return [told for told in self._documents.feed(block) if "object" in told]
        self._in_vain += 1
        if self._in_vain > _TRIES:
            raise LaunchError(f"kubectl {shlex.join(self._words)} ends at once")
        self.__exit__()
        self._documents = Documents()
        self._process = _started(*self._words)
        return []


def _started(*words: str) -> subprocess.Popen[bytes]:
    """kubectl, which ends when this process does."""
    return subprocess.Popen(
        (KUBECTL, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=functools.partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _over(pods: Sequence[Pod], count: int, *, late: bool) -> bool:
    """Whether there is nothing to be waited for."""
    if any(p.never and not p.started for p in pods):
        return True
    if len({p.index for p in pods if p.ended}) >= count:
        return True
    return late and all(p.ended for p in pods if p.started)


def read(path: str) -> list[_Json]:
    """The documents of a manifest, which kubectl reads as it would to create them. Raises LaunchError."""
    return list(Documents().feed(_run("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", path)))


def _items(kind: str, *options: str) -> list[_Json]:
    """All of a kind in the namespace; none where one may not ask."""
    try:
        return list(json.loads(_run("get", kind, *options, "-o", "json", must=False))["items"])
    except (ValueError, KeyError):
        return []


def _run(*words: str, given: bytes = b"", must: bool = True) -> bytes:
    """What kubectl answers. Raises LaunchError where it `must` and does not."""
    try:
        done = subprocess.run((KUBECTL, *words), input=given, capture_output=True, timeout=KUBECTL_SECONDS, check=False)
    except OSError as error:
        raise LaunchError(f"{KUBECTL}: {error.strerror or error}: is it on PATH here?") from error
    except subprocess.TimeoutExpired as error:
        if not must:
            return b""
        raise LaunchError(f"kubectl {words[0]}: the cluster has not answered within {KUBECTL_SECONDS:g} s") from error
    if done.returncode and must:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LaunchError(f"kubectl {words[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout


def _account(job: Job, pods: Sequence[Pod]) -> Iterator[str]:
    """What is to be known of pods that did not come, or not to a good end; and of what stands around them."""
    silent = [p for p in pods if not p.started]
    warned = job.events(p.name for p in silent)
    for pod in sorted(pods, key=lambda p: p.index):
        why = pod.why or ("" if pod.started else warned.get(pod.name, "") or "it has not started")
        if why:
            yield f"pod {pod.name}{f' on {pod.node}' if pod.node else ''}: {why}"
    if len({p.index for p in pods}) < job.count and job.name in warned:
        yield f"job {job.name}: {warned[job.name]}"
    if added := sorted({name for p in pods for name in p.added}):
        yield f"containers that something else has put into the pods: {', '.join(added)}"
    if policies := job.policies():
        yield f"network policies of the namespace that are about these pods: {', '.join(policies)}"


def main(arguments: Sequence[str]) -> int:
    """See above. Returns 0 where all pods have ended well."""
    file, seconds = arguments
    for number in _ENDING:
        signal.signal(number, _leave)
    job = Job(Path(file))
    try:
        with job:
            pods = tuple(job.pods(float(seconds)).values())
            job.finish()
            for line in _account(job, pods):
                job.say(line)
    except LaunchError as error:
        job.say(str(error))
        return error.exit_code
    finally:
        job.finish()  # the last words of pods that have been deleted
    return 0 if all(p.ended and not p.why for p in pods) and pods else 1


def _leave(*_: object) -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)  # once is enough: what is to be deleted takes its time
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
