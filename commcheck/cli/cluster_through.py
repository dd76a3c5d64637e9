"""`commcheck cluster` without a directory that the hosts share: a process is started on each through what gets there anyway, and
what they say to each other goes over its standard input and output."""

from __future__ import annotations

import os
import secrets
import shlex
import sys

from commcheck.errors import UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from commcheck.cli.progress import Progress
    from commcheck.cluster.lead import Options
    from commcheck.cluster.values import Collected
    from commcheck.engines.base import Allocation
    from commcheck.runtime.driven import Command

EACH, ALL, COUNT = "{host}", "{hosts}", "{count}"
_FORM = (
    f"put {EACH} where a host's name goes, for a command per host ('ssh {EACH}', 'kubectl exec -i {EACH} --'), or {ALL} (a,b,c) "
    f"or {COUNT} for one command that starts a process on each and passes its standard input on to all of them"
)


def add_through_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare them."""
    group.add_argument("--hosts", metavar="A,B,...", help="which; without --through: only say what to start there")
    group.add_argument(
        "--through",
        metavar="COMMAND",
        help=f"what starts a command on a host and passes on its input and output: 'ssh {EACH}', 'kubectl exec -i {EACH} --', "
        f"'mpirun -np 1 --host {EACH}'; or on all at once, with {ALL} or {COUNT} (default, in a Slurm allocation: srun)",
    )
    group.add_argument(
        "--program", metavar="WORDS", help="what is commcheck on the hosts (default: the same path as here)"
    )
    # What a host's process is started with: the run that it belongs to.
    from argparse import SUPPRESS

    group.add_argument("--attached", metavar="RUN", help=SUPPRESS)


def held(args: argparse.Namespace) -> Allocation | None:
    """The allocation in which this process is to start the others; None where it is told otherwise, or there is none."""
    if args.through is not None or args.report_dir is not None or args.hosts is not None:
        return None
    from commcheck.engines.detecting import held as held_by

    return held_by(os.environ)


def host_names(text: str) -> tuple[str, ...]:
    """The hosts of `a,b` or `n[1-3]`. Raises UsageError."""
    from commcheck.engines.nodelist import expand

    hosts = expand(text)
    if len(hosts) < 2:
        raise UsageError(f"--hosts {text}: give at least two, separated by commas")
    twice = next((host for host in hosts if hosts.count(host) > 1), None)
    if twice is not None:
        raise UsageError(f"--hosts {text}: {twice} is there twice")
    return hosts


def commands(through: str, hosts: Sequence[str], words: Sequence[str]) -> tuple[Command, ...]:
    """What is started, so that `words` run on every host. Raises UsageError."""
    from commcheck.runtime.driven import Command

    try:
        parts = shlex.split(through)
    except ValueError as error:
        raise UsageError(f"--through {through}: {error}") from error
    if EACH in through:
        each = [[part.replace(EACH, host) for part in parts] for host in hosts]
        return tuple(Command(words=(*one, *words), rank=rank) for rank, one in enumerate(each))
    if ALL not in through and COUNT not in through:
        raise UsageError(f"--through {through!r}: {_FORM}")
    once = [part.replace(ALL, ",".join(hosts)).replace(COUNT, str(len(hosts))) for part in parts]
    return (Command(words=(*once, *words)),)


def collected(
    args: argparse.Namespace, allocation: Allocation | None, options: Options, progress: Progress
) -> tuple[Collected, tuple[str, ...]]:
    """Start, measure, end; and what is to be said of how. Raises UsageError and LaunchError."""
    from commcheck.cluster.joined import Leading
    from commcheck.runtime.driven import Driven, LauncherEndedError

    run = secrets.token_hex(4)
    words = (*_program(args.program), "cluster", "--attached", run)
    if allocation is not None:
        hosts = allocation.hosts or tuple(f"host {number}" for number in range(allocation.nodes))
    else:
        hosts = _hosts(args)
    absent: dict[int, str] = {}
    while True:
        started = commands(args.through, hosts, words) if allocation is None else _step(allocation, absent, words)
        first = shlex.join(started[0].words)
        progress.say(f"starting {len(hosts) - len(absent)} hosts: {first}{' ...' if len(started) > 1 else ''}")
        try:
            with (
                Driven(started, hosts, run, args.join_deadline, progress.say, absent=absent) as board,
                Leading(board, board.members, board.hosts, progress.say, options) as leading,
            ):
                leading.code = 0  # of the hosts' processes: the verdict is this one's
                found = leading.collected()
                board.check()
                notes = board.notes()
        except LauncherEndedError as error:
            new = _unreached(allocation, hosts, error.words, absent)
            if not new or len(hosts) - len(absent) - len(new) < 2:
                raise
            absent |= new
            continue
        return found, (f"the hosts were heard through: {args.through or started[0].words[0]}", *notes)


def _unreached(
    allocation: Allocation | None, hosts: Sequence[str], words: Sequence[str], known: Mapping[int, str]
) -> dict[int, str]:
    """The hosts without which it may be tried again, with why: those that the engine itself says it has not reached."""
    from commcheck.engines.detecting import engines

    if allocation is None:
        return {}
    (engine,) = [engine for engine in engines() if engine.name == allocation.engine]
    said = engine.unreached(words) if engine.unreached is not None else {}
    found = {rank: said[name] for rank, name in enumerate(hosts) if name in said}
    return {rank: why for rank, why in found.items() if rank not in known}


def attached(args: argparse.Namespace) -> int:
    """Be a host's process, started by `collected`."""
    from commcheck.cluster.joined import follow
    from commcheck.engines.detecting import member
    from commcheck.runtime.attached import DRIVER_RANK, Attached

    said = member(os.environ)
    with Attached(args.attached, number=-1 if said is None else said.rank) as board:
        return follow(board, DRIVER_RANK)


def _program(text: str | None) -> tuple[str, ...]:
    if text is None:
        return (sys.executable, "-m", "commcheck")
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--program {text}: {error}") from error
    if not words:
        raise UsageError("--program: name the command that is commcheck on the hosts")
    return words


def _hosts(args: argparse.Namespace) -> tuple[str, ...]:
    """Those that are named, else those of the allocation."""
    if args.hosts is not None:
        return host_names(args.hosts)
    from commcheck.engines.detecting import held as held_by

    allocation = held_by(os.environ)
    if allocation is None or not allocation.hosts:
        raise UsageError("--through: say on which hosts: --hosts A,B,...")
    return allocation.hosts


def _step(allocation: Allocation, absent: Mapping[int, str], words: tuple[str, ...]) -> tuple[Command, ...]:
    """What starts a process on each host of the allocation but those that are absent."""
    from commcheck.engines.base import Wanted
    from commcheck.engines.detecting import engines
    from commcheck.runtime.driven import Command

    (engine,) = [engine for engine in engines() if engine.name == allocation.engine]
    assert engine.render is not None
    left = tuple(name for rank, name in enumerate(allocation.hosts) if rank not in absent) if absent else ()
    nodes = allocation.nodes - len(absent)
    launch = engine.render(Wanted(nodes=nodes, ranks_per_node=1, hosts=left, runs=words, talks=True))
    return (Command(words=tuple(shlex.split(launch.commands[0]))),)


def say_what_to_start(args: argparse.Namespace, own: Sequence[str]) -> int:
    """Print the commands, as `commcheck plan` does. `own`: options of each. Raises UsageError."""
    from commcheck.engines.base import Wanted
    from commcheck.engines.detecting import engines

    hosts = host_names(args.hosts)
    folder = args.report_dir or "DIR"
    runs = ("commcheck", "cluster", "--report-dir", folder, *own)
    wanted = Wanted(nodes=len(hosts), ranks_per_node=1, hosts=hosts, runs=runs)
    render = {engine.name: engine.render for engine in engines() if engine.render is not None}
    if args.report_dir is None:
        print("# in a Slurm allocation of these hosts")
        print(shlex.join(("commcheck", "cluster", *own)))
        print("# from here, over ssh, or whatever else starts a command on a host")
        print(shlex.join(("commcheck", "cluster", "--hosts", args.hosts, "--through", f"ssh {EACH}", *own)))
    print(f"# or with {folder}, a directory that all hosts see: in a Slurm allocation, or to get one")
    for name, comment in (("slurm", ""), ("openmpi", "# the same with Open MPI"), ("hydra", "# with MPICH")):
        if comment:
            print(comment)
        print(render[name](wanted).commands[0])
    print("# by hand: one line per host, all within the join deadline")
    for rank, name in enumerate(hosts):
        there = shlex.join(("env", f"RANK={rank}", f"WORLD_SIZE={len(hosts)}", *runs))
        print(shlex.join(("ssh", name, there)))
    return 0
