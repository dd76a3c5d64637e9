"""What the API of Kubernetes tells of a pod, and whom a label selector means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from commcheck.model.base import Value

LONGEST = 500
"""Characters of Kubernetes' own words that are kept of each pod."""
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
    states, first = (_states(status, kind) for kind in ("containerStatuses", "initContainerStatuses"))
    own = states.get(container, {})
    phase = status.get("phase", "")
    # A proxy that was put beside the ranks does not end with them.
    ended = phase in ("Succeeded", "Failed") or "terminated" in own
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
        why=_why(status, {container: own} if started else {**first, container: own}, waiting),
        added=tuple(sorted(states.keys() - known)),
    )


def _states(status: Mapping[str, Any], kind: str) -> dict[str, _Json]:
    return {s.get("name", ""): s.get("state") or {} for s in status.get(kind) or ()}


def _why(
    status: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]], waiting: Iterable[Mapping[str, Any]]
) -> str:
    if status.get("reason"):  # Evicted, NodeLost, ...
        return words_of(status)
    ends = {name: end for name, state in states.items() if (end := state.get("terminated"))}
    for name, end in ends.items():
        if end.get("exitCode"):
            return f"container {name}: {words_of(end)} (exit code {end['exitCode']})"
    refused = (c for c in status.get("conditions") or () if c.get("type") == "PodScheduled")
    for condition in refused:
        if condition.get("status") == "False":
            return words_of(condition)
    return next((words_of(w) for w in waiting if w.get("reason") not in ("ContainerCreating", "PodInitializing")), "")


def words_of(told: Mapping[str, Any]) -> str:
    """The reason and the message, which may be the end of a container's log."""
    return ": ".join(filter(None, (told.get("reason", ""), " ".join(str(told.get("message") or "").split()))))[:LONGEST]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector is about what has these labels (kubernetes.io, "Labels and Selectors")."""
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(wanted, labels) for wanted in selector.get("matchExpressions") or ())


def _holds(wanted: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    name, values = wanted.get("key", ""), wanted.get("values") or ()
    match wanted.get("operator"):
        case "In":
            return labels.get(name) in values
        case "NotIn":
            return labels.get(name) not in values
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
        case _:
            return False
