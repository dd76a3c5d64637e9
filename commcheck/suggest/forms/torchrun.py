"""The command line of torchrun, one per host."""

from __future__ import annotations

from shlex import quote

from commcheck.report.clean import one_line
from commcheck.suggest.form import PROGRAM, Form, to_unset
from commcheck.suggest.model import Suggestion

OPTIONS = {"MASTER_ADDR": "--master-addr", "MASTER_PORT": "--master-port"}
"""What torchrun sets itself, and takes as an option."""


def render(found: Suggestion) -> str:
    """Address and port as options, since torchrun overwrites the variables; the rest in front of the command."""
    lines = []
    for number, host in enumerate(found.hosts):
        settings = found.environment(host)
        unset = [word for name in to_unset(found) for word in ("-u", name)]
        front = [f"{k}={quote(v)}" for k, v in settings.items() if k not in OPTIONS]
        env = ["env", *unset, *front] if unset or front else []
        options = [f"--nnodes={len(found.hosts)}"]
        if len(found.hosts) > 1:
            options.append(f"--node-rank={number}")
            lines.append(f"# on {one_line(found.hostnames[host])}")
        options.append(f"--nproc-per-node={len(found.ranks[host])}")
        options += [f"{option}={quote(settings[name])}" for name, option in OPTIONS.items() if name in settings]
        lines.append(" ".join([*env, "torchrun", *options, PROGRAM]))
    return "\n".join(lines) + "\n"


FORM = Form(name="torchrun", what="the command of each host", render=render)
