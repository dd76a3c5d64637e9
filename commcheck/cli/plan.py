"""What would be started to run a preflight under an engine: commands, and the files that they need. Starts nothing.

`commcheck plan ENGINE --nodes 2 --ranks-per-node 8`; without ENGINE, what the variables of this process say of it.
"""

import argparse
import os
import sys
from typing import Any

from commcheck.errors import UsageError

_MOST_NODES = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `commcheck plan`."""
    parser.add_argument(
        "engine",
        nargs="?",
        metavar="ENGINE",
        help="torchrun, slurm, openmpi, hydra, kubernetes, trainjob, pytorchjob or ray",
    )
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="hosts (default: 1)")
    parser.add_argument("--ranks-per-node", type=int, default=1, metavar="N", help="ranks on each host (default: 1)")
    parser.add_argument("--host", action="append", default=[], metavar="NAME", help="a host to use; repeatable")
    parser.add_argument(
        "--report-dir",
        default="",
        metavar="DIR",
        help="one that all hosts share (default: none, the reports come with the output)",
    )
    parser.add_argument(
        "--master-port", type=int, default=29500, metavar="PORT", help="the store's port (default: 29500)"
    )
    parser.add_argument("--image", default="", help="the container image, for Kubernetes")
    parser.add_argument(
        "--pod", metavar="FILE", help="for kubernetes: the manifest of your own job, of which the pods are to be like"
    )
    parser.add_argument(
        "--gpus-per-node", type=int, default=0, metavar="N", help="GPUs to ask for in each pod (default: 0)"
    )
    parser.add_argument("--name", default="commcheck", help="of the job (default: commcheck)")
    parser.add_argument("--write", metavar="DIR", help="write the files there instead of printing them")
    parser.add_argument(
        "--options",
        default="",
        metavar="TEXT",
        help="for commcheck preflight, as in --options='--backend gloo --timeout 60'",
    )


def run(args: argparse.Namespace) -> int:
    """Print the plan, or what this process is."""
    from commcheck.engines.base import Wanted
    from commcheck.engines.detecting import engines

    if args.engine is None:
        return _where()
    known = {engine.name: engine for engine in engines() if engine.render is not None}
    engine = known.get(args.engine)
    if engine is None or engine.render is None:
        raise UsageError(f"{args.engine}: no engine of that name: {', '.join(known)}")
    _check(args)
    launch = engine.render(
        Wanted(
            nodes=args.nodes,
            ranks_per_node=args.ranks_per_node,
            report_dir=args.report_dir,
            options=_options(args.options),
            master_port=args.master_port,
            hosts=tuple(args.host),
            image=args.image,
            name=args.name,
            gpus=args.gpus_per_node,
            pod=_pod(args.pod),
        )
    )
    for name, text in launch.files:
        if args.write is None:
            print(f"# --- {name}\n{text}")
        else:
            _write(os.path.join(args.write, name), text)
    for note in launch.notes:
        print(f"# {note}")
    for command in launch.commands:
        print(command)
    if args.report_dir:
        print(f"# afterwards: commcheck diagnose {args.report_dir}")
    elif not any("commcheck diagnose" in command for command in launch.commands):
        print("# for one verdict of all ranks, pipe the output into: commcheck diagnose -")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError."""
    for name in ("nodes", "ranks_per_node"):
        if not 0 < getattr(args, name) <= _MOST_NODES:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be from 1 to {_MOST_NODES}")
    if not 0 < args.master_port < 65536:
        raise UsageError(f"--master-port {args.master_port}: a port is a number from 1 to 65535")
    if args.host and len(args.host) != args.nodes:
        raise UsageError(f"--host: {len(args.host)} hosts are named, and --nodes is {args.nodes}")
    if args.pod is not None and args.engine != "kubernetes":
        raise UsageError(f"--pod {args.pod}: only kubernetes takes the pods of another job")
    if args.gpus_per_node < 0:
        raise UsageError(f"--gpus-per-node {args.gpus_per_node}: must be at least 0")


def _pod(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    from commcheck.runtime.podfile import template

    return template(path)


def _options(text: str) -> tuple[str, ...]:
    import shlex

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--options {text}: {error}") from error


def _where() -> int:
    """Say what this process's variables tell."""
    from commcheck.engines.detecting import member

    said = member(os.environ)
    if said is None:
        print("no engine's variables are set here: name the one to plan for (commcheck plan --help)")
        return 0
    print(f"{said.engine}: rank {said.rank} of {said.world_size} (from {', '.join(said.read)})")
    return 0


def _write(path: str, text: str) -> None:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"--write: {path}: {error.strerror or error}") from error
    sys.stderr.write(f"commcheck: wrote {path}\n")
