"""Lines for a Dockerfile."""

from __future__ import annotations

from shlex import quote

from commcheck.report.clean import one_line
from commcheck.suggest.form import Form, differing, shared
from commcheck.suggest.model import Suggestion


def render(found: Suggestion) -> str:
    """`ENV` for what all hosts share; an image is the same everywhere, so the rest is given to its containers."""
    lines = [f"ENV {name}={quoted(value)}" for name, value in shared(found).items() if _fits(value)]
    lines += [f"# {name} cannot be said in a Dockerfile" for name, value in shared(found).items() if not _fits(value)]
    for host, settings in differing(found).items():
        options = " ".join(f"--env {quote(f'{name}={value}')}" for name, value in settings.items())
        lines.append(f"# on {one_line(found.hostnames[host])}: docker run {one_line(options)} ...")
    return "\n".join(lines or ["# nothing needs to be set"]) + "\n"


def quoted(value: str) -> str:
    """In double quotes, where a backslash keeps a quote, a dollar sign and itself from meaning more."""
    return '"' + "".join(f"\\{letter}" if letter in '\\"$' else letter for letter in value) + '"'


def _fits(value: str) -> bool:
    """A line of a Dockerfile ends at a newline, whatever its quotes."""
    return "\n" not in value and "\r" not in value


FORM = Form(name="dockerfile", what="ENV lines", render=render)
