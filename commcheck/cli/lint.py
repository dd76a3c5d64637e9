"""Check this host's settings and facts, without starting anything: variables, names, interfaces, limits, versions.

A plain shell without a launcher's variables is no fault: what a launcher would set is only named. Exit code 1 when
something was found that would stop a job."""

import argparse
import os
import sys
import time

from commcheck.catalog.env.select import relevant
from commcheck.cli.output import add_output_arguments, emit, exit_code
from commcheck.errors import UsageError
from commcheck.model.case import Case, Origin

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from commcheck.diagnose.index import Listed
    from commcheck.diagnose.match import Judgement

NVIDIA = "/proc/driver/nvidia/version"
"""There where NVIDIA's driver is loaded: a job on this host will probably use NCCL."""

_LAUNCHER = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what may be judged in place of the real environment."""
    parser.add_argument(
        "--env", action="append", default=[], metavar="K=V", help="judge as if K were V (K= unsets it); repeatable"
    )
    parser.add_argument("--master-addr", metavar="HOST", help="judge as if MASTER_ADDR were HOST")
    parser.add_argument("--master-port", metavar="PORT", help="judge as if MASTER_PORT were PORT")
    parser.add_argument(
        "--backend", choices=("auto", "gloo", "nccl"), default="auto",
        help="what the job uses; with nccl the installed libnccl is asked (auto: where a GPU is, or NCCL's variables are)",
    )  # fmt: skip
    parser.add_argument("--nccl-library", default="", metavar="FILE", help="ask this libnccl and not the job's own")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Judge, print, and return the verdict's exit code. Raises UsageError for an option that cannot be used."""
    begin = time.monotonic()
    environment = settings(dict(os.environ), args.env, args.master_addr, args.master_port)
    case = static_case(environment)
    told = notes(environment)
    nccl: tuple[Listed, ...] = ()
    if args.backend == "nccl" or args.nccl_library or _may_use_nccl(args.backend, environment):
        from commcheck.cli.lint_nccl import nccl_notes, nccl_rules, with_nccl

        case = with_nccl(case, whole(dict(os.environ), args.env), args.nccl_library)
        nccl, told = nccl_rules(), (*told, *nccl_notes(case))
    # Late: what cannot be used ends before the rules are read.
    from commcheck.diagnose.build import report
    from commcheck.diagnose.match import judge, static_rules

    judgement = with_foreseen(case, judge(case, (*static_rules(), *nccl)))
    done = report(
        case,
        judgement,
        command=("commcheck", *sys.argv[1:]),
        seconds=time.monotonic() - begin,
        notes=told,
    )
    emit(done, args)
    return exit_code(done.verdict, args.format)


def _may_use_nccl(backend: str, environment: dict[str, str]) -> bool:
    """Nothing says that it is not used, and one of its variables is set or a GPU's driver is here.

    Asking takes a tenth of a second, which a plain shell is not to pay."""
    named = any(name.startswith(("NCCL_", "TORCH_NCCL_")) for name in environment)
    return backend == "auto" and (named or os.path.exists(NVIDIA))


def whole(environ: dict[str, str], changes: list[str]) -> dict[str, str]:
    """All variables, with the changes of --env: what a library is to be asked with."""
    pairs = [change.partition("=") for change in changes]
    unset = {name for name, _, value in pairs if not value}
    return {n: v for n, v in {**environ, **{n: v for n, _, v in pairs}}.items() if n not in unset}


def with_foreseen(case: Case, judgement: "Judgement") -> "Judgement":
    """The judgement, with what the world that this process is to join must meet, where no rule has said it.

    A plain shell, without a word of gloo or of other ranks, is not asked: it would cost every start of lint."""
    if not any(name.startswith(("GLOO_", "TORCH_GLOO_", "WORLD_SIZE")) for name in case.environment):
        return judgement
    from msgspec.structs import replace

    from commcheck.diagnose.match import FLAGGED, order, rules
    from commcheck.model.diagnosis import Verdict
    from commcheck.predict.own import match_of, predicted

    found = predicted(case.environment, case.hosts[0])
    if found is None or found[0].cause in {d.cause for d in judgement.diagnoses}:
        return judgement
    rule = next(r for r in rules() if r.cause == found[0].cause)
    added = order(((rule, match_of(*found, rule)),), case)
    verdict = Verdict.UNHEALTHY if found[1] >= FLAGGED else judgement.verdict
    ranked = sorted((*judgement.diagnoses, *added), key=lambda d: -d.confidence)
    return replace(judgement, verdict=verdict, diagnoses=tuple(ranked))


def settings(
    environ: dict[str, str], changes: list[str], master_addr: str | None = None, master_port: str | None = None
) -> dict[str, str]:
    """The variables to judge: those of `environ` that bear on communication, with the options' changes.

    Raises UsageError for a change that is not of the form K=V."""
    merged = dict(environ)
    wanted: list[str] = []
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name or name != name.strip():
            raise UsageError(f"--env {change!r}: give it as NAME=VALUE (NAME= to unset it)")
        merged[name] = value
        wanted.append(name)
    options = {"MASTER_ADDR": master_addr, "MASTER_PORT": master_port}
    merged |= {name: value for name, value in options.items() if value is not None}
    chosen = relevant({name: value for name, value in merged.items() if value or name not in wanted})
    # What was named on the command line is to be judged, whatever its name.
    from commcheck.catalog.env.select import without_secret

    for name in wanted:
        if merged[name]:
            chosen.setdefault(name, without_secret(name, merged[name]))
    return chosen


def static_case(environment: dict[str, str]) -> Case:
    """The evidence of this host under these settings."""
    from commcheck.probe.facts import host_facts

    address = environment.get("MASTER_ADDR", "")
    host = os.uname().nodename
    facts = host_facts(host, names=(address,) if address else ())
    return Case(origin=Origin.STATIC, hosts=(facts,), environment=environment, not_read=facts.not_read)


def notes(environment: dict[str, str]) -> tuple[str, ...]:
    """What is not wrong, but should be known."""
    missing = [name for name in _LAUNCHER if not environment.get(name)]
    if environment.get("RANK") or environment.get("WORLD_SIZE"):
        return ()  # a launcher was here; the cause env-missing says what it left out
    if not missing:
        return ()
    return (f"not set here: {', '.join(missing)} (a launcher such as torchrun sets them for each process)",)
