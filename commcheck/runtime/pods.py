"""Ranks in the pods of an Indexed Job, through kubectl: `python -m commcheck.runtime.pods SECONDS < MANIFEST`.

The Service and the Job are created, the pods watched, and what they say is printed as it comes; then a line for each that has not
come or not ended well, in Kubernetes' own words, and what else of the namespace is in their way. All is deleted at the end, also
on SIGTERM, which comes when the one that has started this is gone; should this be killed too, the cluster does it.
The manifest, in which there may be secrets, is in no file. `SECONDS`: for the pods to start."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from msgspec.structs import replace

from commcheck.errors import LaunchError
from commcheck.runtime.kubectl import KUBECTL_SECONDS, Followed, Watch, items, log_words, put, run
from commcheck.runtime.pod import Pod, pod_of, selects, words_of

LOG_SECONDS = 5.0
"""For the rest of what the pods have said, once they have ended."""
LAST_SECONDS = 2.0
"""For an answer of the cluster where all is about to be ended."""
MOST_FOLLOWED = 64
"""Pods of which each is listened to, by a kubectl of its own: of more, what each has said is read when it has ended."""
SAID = "commcheck: pods: "
_AT_ONCE = 8
_Json = dict[str, Any]


class Job:
    """A context manager: the Job and its Service are there, until it is left. Raises LaunchError. `pods`: what is known of each,
    by name."""

    def __init__(self, manifest: bytes) -> None:
        self.pods: dict[str, Pod] = {}
        self._made: list[str] = []
        self._followed: dict[str, Followed] = {}
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(_AT_ONCE)
        self._reading: dict[str, Future[None]] = {}
        self._service, self._job = json.loads(manifest)["items"]
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
            # Where that is not allowed, only who deletes the Job by hand has to delete the Service too.
            run("patch", "service", self.name, "--type=merge", "-p", patch, must=False)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _on_ending(signal.SIG_IGN)  # what is to be deleted takes its time
        if self._made:
            try:
                run("delete", *self._made, "--ignore-not-found", "--cascade=foreground")
            except LaunchError as error:
                self.say(f"{error}; left there: {', '.join(self._made)}")

    def _create(self, manifest: _Json) -> _Json:
        # Before it is asked for: it may be there although no answer has come.
        self._made.append(f"{manifest['kind'].lower()}/{self.name}")
        made: _Json = json.loads(run("create", "-f", "-", "-o", "json", given=json.dumps(manifest).encode()))
        return made

    def follow(self, patience: float) -> None:
        """Pass on what the pods say, until all have ended; or those that have started, where the others do not come within
        that time or never will."""
        deadline = time.monotonic() + patience
        said = ""
        with Watch(self.name) as watch:
            while not _over(tuple(self.pods.values()), self.count, late=time.monotonic() >= deadline):
                left = deadline - time.monotonic()
                for event in watch.changes(left if left > 0 else None):
                    pod = pod_of(event["object"], self.container, self.known)
                    if event["type"] == "DELETED":
                        pod = replace(pod, ended=True, why=pod.why or "it was deleted")
                    self.pods[pod.name] = pod
                    self._hear(pod)
                started, ended = sum(p.started for p in self.pods.values()), sum(p.ended for p in self.pods.values())
                if (text := f"{SAID}{started} of {self.count} have started, {ended} have ended") != said:
                    said = text
                    self.say(text)

    def finish(self, *, ended: bool) -> None:
        """What the pods have said is passed on. `ended`: of those that have ended, since of others more may come."""
        deadline = time.monotonic() + LOG_SECONDS
        for name, one in self._followed.items():
            if not ended or self.pods[name].ended:
                whole = one.finish(max(0.0, deadline - time.monotonic()))
                if ended and not whole:  # the connection broke: what comes twice is known
                    self._read(name)
        for reading in self._reading.values():
            with contextlib.suppress(TimeoutError):
                reading.result(max(0.0, deadline - time.monotonic()))
        if not ended:
            self._readers.shutdown(wait=False, cancel_futures=True)

    def say(self, text: str) -> None:
        """A line of our own between those of the pods."""
        put(f"{text}\n".encode(), self._lock)

    def account(self, seconds: float) -> Iterator[str]:
        """What is to be known of pods that did not come, or not to a good end; and of what stands around them. `seconds`: for
        each question."""
        pods = sorted(self.pods.values(), key=lambda p: p.index)
        warned = self.events((p.name for p in pods if not p.started), seconds)
        for pod in pods:
            where = f"pod {pod.name}{f' on {pod.node}' if pod.node else ''}"
            if not pod.started:
                yield f"{where} has not started: {pod.why or warned.get(pod.name, '') or 'nothing is known of why'}"
            elif pod.why:
                yield f"{where}: {pod.why}"
        if len({p.index for p in pods}) < self.count and self.name in warned:
            yield f"job {self.name}: {warned[self.name]}"
        if added := sorted({name for p in pods for name in p.added}):
            yield f"containers that something else has put into the pods: {', '.join(added)}"
        if policies := self.policies(seconds):
            yield f"network policies of the namespace that are about these pods: {', '.join(policies)}"

    def _hear(self, pod: Pod) -> None:
        if not pod.started:
            return
        if self.count <= MOST_FOLLOWED:
            if pod.name not in self._followed:
                self._followed[pod.name] = Followed(pod.name, self.container, self._lock)
        elif pod.ended and pod.name not in self._reading:
            self._reading[pod.name] = self._readers.submit(self._read, pod.name)

    def _read(self, pod: str) -> None:
        put(run(*log_words(pod, self.container), must=False), self._lock)

    def events(self, names: Iterable[str], seconds: float) -> dict[str, str]:
        """What Kubernetes last warned of, by the name of a pod or the Job."""
        wanted = {*names, self.name}
        found = {}
        for event in sorted(items("events", "--field-selector", "type=Warning", seconds=seconds), key=_when):
            name = (event.get("involvedObject") or {}).get("name", "")
            if name in wanted:
                found[name] = words_of(event)
        return found

    def policies(self, seconds: float) -> tuple[str, ...]:
        """The NetworkPolicies that are about these pods."""
        labels = {"job-name": self.name, **(self._job["spec"]["template"].get("metadata") or {}).get("labels", {})}
        return tuple(
            policy["metadata"]["name"]
            for policy in items("networkpolicies", seconds=seconds)
            if selects((policy.get("spec") or {}).get("podSelector") or {}, labels)
        )


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _over(pods: Sequence[Pod], count: int, *, late: bool) -> bool:
    """Whether there is nothing to be waited for."""
    if any(p.never for p in pods):
        return True
    if len({p.index for p in pods if p.ended}) >= count:
        return True
    return late and all(p.ended for p in pods if p.started)


def main(arguments: Sequence[str]) -> int:
    """See above. Returns 0 where all pods have ended well."""
    _on_ending(_leave)
    job = Job(sys.stdin.buffer.read())
    try:
        with job:
            try:
                job.follow(float(arguments[0]))
                job.finish(ended=True)
            except SystemExit:
                _say_all(job, LAST_SECONDS)
                raise
            _say_all(job, KUBECTL_SECONDS)
    except LaunchError as error:
        job.say(str(error))
        return error.exit_code
    finally:
        job.finish(ended=False)  # the last words of pods that were deleted
    pods = job.pods.values()
    return 0 if pods and all(p.ended and not p.why for p in pods) else 1


def _say_all(job: Job, seconds: float) -> None:
    for line in job.account(seconds):
        job.say(line)


def _on_ending(what: Callable[..., None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, what)


def _leave(*_: object) -> None:
    _on_ending(signal.SIG_IGN)  # once is enough
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
