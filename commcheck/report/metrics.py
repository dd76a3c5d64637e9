"""The text format of Prometheus, as node_exporter's textfile collector reads it. Pure."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from commcheck.model.diagnosis import Verdict
from commcheck.report.clean import visible


class Metric(NamedTuple):
    """A gauge with its series: labels and value."""

    name: str
    help: str
    series: list[tuple[Mapping[str, str], float]]


def text(metrics: Iterable[Metric]) -> str:
    """HELP, TYPE and series of each metric that has some."""
    lines = []
    for metric in metrics:
        if metric.series:
            lines += [f"# HELP {metric.name} {_plain(metric.help)}", f"# TYPE {metric.name} gauge"]
            lines += [f"{metric.name}{_labels(labels)} {_number(value)}" for labels, value in metric.series]
    return "".join(f"{line}\n" for line in lines)


def verdict(name: str, said: Verdict) -> Metric:
    """A series per verdict, of which one is 1."""
    return Metric(
        name, "The verdict: 1 for the one that it is.", [({"verdict": v.value}, float(v is said)) for v in Verdict]
    )


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_value(value)}"' for name, value in labels.items()) + "}"


def _value(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.6g}"
