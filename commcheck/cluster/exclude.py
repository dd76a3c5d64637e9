"""Hosts that are better left out, in the form that a launcher takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from commcheck.model.base import Value
from commcheck.model.cluster import ClusterReport

_NUMBERED = re.compile(r"(.*?)(\d+)")


class Form(Value, frozen=True):
    """A form: how it is used, and how it is written."""

    use: str
    render: Callable[[ClusterReport], str]


def hostlist(names: tuple[str, ...]) -> str:
    """Slurm's short form: `h[1-3,7],login`. Numbers keep their leading zeros."""
    groups: dict[tuple[str, int], list[int]] = {}
    plain = []
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found is None:
            plain.append(name)
        else:
            groups.setdefault((found[1], len(found[2]) if found[2].startswith("0") else 0), []).append(int(found[2]))
    return ",".join((*(f"{prefix}{_spans(numbers, width)}" for (prefix, width), numbers in groups.items()), *plain))


def _spans(numbers: list[int], width: int) -> str:
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [str(r[0]).zfill(width) + (f"-{str(r[-1]).zfill(width)}" if len(r) > 1 else "") for r in runs]
    return parts[0] if parts == [str(runs[0][0]).zfill(width)] else f"[{','.join(parts)}]"


def _slurm(report: ClusterReport) -> str:
    return f"{hostlist(report.bad_hosts)}\n" if report.bad_hosts else ""


def _mpi(report: ClusterReport) -> str:
    """A hostfile of the hosts that are left: every MPI takes that, and few take exceptions."""
    return "".join(f"{h.name}\n" for h in report.hosts if h.name not in report.bad_hosts)


def _kubernetes(report: ClusterReport) -> str:
    """An affinity that keeps pods away; valid without bad hosts too."""
    if not report.bad_hosts:
        return "affinity: {}\n"
    values = "".join(f"                - {name}\n" for name in report.bad_hosts)
    return (
        "affinity:\n"
        "  nodeAffinity:\n"
        "    requiredDuringSchedulingIgnoredDuringExecution:\n"
        "      nodeSelectorTerms:\n"
        "        - matchExpressions:\n"
        "            - key: kubernetes.io/hostname\n"
        "              operator: NotIn\n"
        f"              values:\n{values}"
    )


FORMS: dict[str, Form] = {
    "slurm": Form(use='sbatch --exclude="$(cat FILE)"; empty where no host is bad', render=_slurm),
    "mpi": Form(use="mpirun --hostfile FILE: the hosts that are left", render=_mpi),
    "kubernetes": Form(use="in a pod's spec: an affinity by kubernetes.io/hostname", render=_kubernetes),
}
