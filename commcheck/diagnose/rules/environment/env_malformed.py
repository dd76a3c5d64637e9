"""A variable's value is not of the form that its reader takes.

**What you see**

For MASTER_PORT, RANK and WORLD_SIZE: `ValueError: invalid literal for int() with base 10: 'abc'`, which does not name
the variable. For variables of torch's C++ side: `RuntimeError: Invalid value for environment variable: NAME`, or
`ValueError: The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO, or DETAIL.` For GLOO_DEVICE_TRANSPORT:
`makeDeviceForHostname(): unsupported gloo device`. For GLOO_SOCKET_IFNAME with NCCL's = or ^ before the name:
`Unable to find address for: =eth0`. With CUDA_VISIBLE_DEVICES: fewer GPUs than meant, or none, and `invalid device ordinal`. With TORCH_FR_BUFFER_SIZE: nothing at all; init_process_group never returns (seen
with torch 2.13 and gloo). NCCL says nothing either: a number that it cannot read counts as 0.

**Why it happens**

A typing error, an unexpanded `$VARIABLE`, quotes or a comment that became part of the value, a unit where a plain
number is asked for, or a value in another tool's syntax.

**How to fix**

Set the value to what the message says is expected, or unset the variable to have its default.

**How to confirm**

`commcheck explain NAME` says which values a variable takes; `commcheck lint` checks all of them.
"""

from commcheck.catalog.env import EnvVar, Kind, lookup
from commcheck.diagnose import visible
from commcheck.diagnose.rules.environment.settings import (
    CERTAIN,
    DEFAULT_PORT,
    HERE,
    REQUIRED,
    WORKS_ANYWAY,
    Finding,
    Seen,
    common,
    errors,
    fact,
    free_rank,
    integer,
    match_of,
    seen,
    world_size,
)
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

DOUBTFUL = 0.45
"""Confidence where the reader ignores a bad value or takes it for another one."""
OTHER_BACKEND = 0.6
"""Confidence where the value breaks a backend that need not be the one in use."""

_TRUE_FALSE = ("y", "yes", "1", "t", "true", "n", "no", "0", "f", "false")  # c10d getCvarBool, any case
_HANGS = ("TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE", "TORCH_FR_CPP_STACK", "TORCH_NCCL_TRACE_CPP_STACK")
"""Read when the flight recorder is made; the refusal leaves init_process_group hanging (seen with torch 2.13)."""
_PYTHON_INTEGERS = (*REQUIRED[1:], "TORCH_DIST_INIT_BARRIER")  # read by int(): any text that is no number raises


def expectation(row: EnvVar, value: str) -> str:
    """What would be accepted in place of `value`; "" when the value is fine. Never raises.

    Ports and ranks that are numbers but out of range are the business of other causes."""
    if row.kind is Kind.INTERFACES:
        return _interfaces(row, value)
    if row.name == visible.NAME:
        return visible.expectation(value)
    if not value:
        return _empty(row)
    if row.name in _PYTHON_INTEGERS:
        number = integer(value)
        if number is None:
            return "a whole number"
        return "a number of 1 or more" if row.name == "WORLD_SIZE" and number < 1 else ""
    if row.kind is Kind.FLAG:
        return _flag(row, value)
    if row.kind is Kind.ENUM:
        return _enum(row, value)
    if row.kind in (Kind.INTEGER, Kind.SECONDS, Kind.PORT):
        return _number(row, value)
    if row.kind is Kind.HOST:
        return "a host name or an address, without scheme, port or blanks" if _no_host(value) else ""
    return ""


def _empty(row: EnvVar) -> str:
    """Only getCvarBool and getCvarInt refuse an empty value; all others treat it as not set."""
    if row.strict and row.kind in (Kind.FLAG, Kind.INTEGER, Kind.SECONDS) and row.name not in REQUIRED:
        return "a value, or the variable not set at all (an empty value is refused)"
    return ""


def _interfaces(row: EnvVar, value: str) -> str:
    if row.owner not in ("gloo", "tensorpipe"):
        return ""
    names = [name for name in value.split(",") if name]
    if any(name[0] in "=^" for name in names):
        return "plain interface names; = and ^ are NCCL's syntax"
    if any(name != name.strip() or " " in name for name in names):
        return "interface names separated by commas, without blanks"
    return ""


def _flag(row: EnvVar, value: str) -> str:
    if row.name == "USE_LIBUV":
        return ""  # "1" is yes, everything else is no
    return "" if value.lower() in _TRUE_FALSE else "1 or 0"


def _enum(row: EnvVar, value: str) -> str:
    words = value.lstrip("^").split(",") if row.several else [value]
    known = {choice.upper() for choice in row.choices}
    if all(word.strip().upper() in known for word in words):
        return ""
    return f"{'some' if row.several else 'one'} of {', '.join(row.choices)}"


def _number(row: EnvVar, value: str) -> str:
    text = value.strip()
    # std::stoi and strtoll read a number at the beginning and leave the rest; strtoll with base 0 knows 0x too.
    number = integer(text)
    if number is None and row.owner == "nccl":
        number = _base_0(text)
    if number is None and row.strict:
        digits = text[1:] if text[:1] in ("+", "-") else text
        return "" if digits[:1].isdigit() and digits[:1].isascii() else _range(row)
    if number is None:
        return _range(row)
    low, high = row.low, row.high
    return _range(row) if (low is not None and number < low) or (high is not None and number > high) else ""


def _base_0(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def _range(row: EnvVar) -> str:
    if row.low is None and row.high is None:
        return "a whole number"
    if row.high is None or row.high >= 2**31 - 1:
        return f"a whole number of {row.low} or more"
    return f"a whole number from {row.low} to {row.high}"


def _no_host(value: str) -> bool:
    """A URL, HOST:PORT, an unexpanded variable, or text with blanks or quotes."""
    if any(c.isspace() or c in "$\"'/" for c in value):
        return True
    host, colon, port = value.rpartition(":")
    return bool(colon) and ":" not in host and port.isdigit()


def match(case: Case) -> Match | None:
    """Every known variable whose value its reader refuses, ignores or takes for something else."""
    backend = case.world.backend if case.world is not None else ""
    gpus = any(host.fabric is not None and host.fabric.gpus for host in case.hosts)
    findings = []
    for who in seen(case):
        for name in sorted(who.environment):
            row, value = lookup(name), who.value(name)
            expected = expectation(row, value) if row is not None and value is not None else ""
            if row is None or value is None or not expected:
                continue
            confidence = _confidence(row, value, who, backend, gpus=gpus)
            title = f"{name}={_short(value)}{HERE} is not {expected}"
            evidence = (fact(name, value, who, f"expected {expected}"), *errors(who))
            symptom = Symptom.SETUP_HANG_TIMEOUT if name in _HANGS else Symptom.SETUP_FAILURE
            findings.append(Finding(who, title, confidence, evidence, (_fix(case, who, row, expected),), symptom))
    return match_of(findings)


def _confidence(row: EnvVar, value: str, who: Seen, backend: str, *, gpus: bool) -> float:
    if who.finished:
        return WORKS_ANYWAY
    if row.name == visible.NAME and backend and "nccl" not in backend:
        return WORKS_ANYWAY
    if row.name == visible.NAME and (backend or gpus) and visible.blinds(value):
        return OTHER_BACKEND
    if not row.strict and row.name not in REQUIRED:
        return DOUBTFUL
    if row.name in REQUIRED and who.met_store:
        return DOUBTFUL
    nccl = row.name.startswith(("TORCH_NCCL_", "NCCL_")) and row.name not in _HANGS
    gloo = row.owner == "gloo" or row.name.startswith("TORCH_GLOO_")
    if row.owner == "tensorpipe" or (nccl and backend and "nccl" not in backend):
        return WORKS_ANYWAY
    if gloo and backend and "gloo" not in backend:
        return WORKS_ANYWAY
    return OTHER_BACKEND if nccl and not backend else CERTAIN


def _fix(case: Case, who: Seen, row: EnvVar, expected: str) -> Fix:
    on = () if who.rank is None else (who.rank,)
    pattern = FixPattern.COMMUNICATION_CONFIGURATION
    good = common(value for other in seen(case) if (value := other.value(row.name)) and not expectation(row, value))
    if row.name == "MASTER_PORT" and good is None:
        good = DEFAULT_PORT
    if row.name == "WORLD_SIZE" and (size := world_size(case)) and size > 0:
        good = str(size)
    if row.name == "RANK" and who.record is not None:
        free = free_rank(case, who.record.slot)
        if free is not None:
            return Fix(pattern=pattern, text=f"set RANK={free}", rank_set={str(who.record.slot): {"RANK": str(free)}})
        return Fix(pattern=pattern, text="set RANK to the process's own number", applies_to_ranks=on)
    if good is not None and row.name != "RANK":
        return Fix(pattern=pattern, text=f"set {row.name}={good}", set={row.name: good}, applies_to_ranks=on)
    if row.kind is Kind.INTERFACES and (plain := _plain_names(who.environment[row.name])):
        return Fix(pattern=pattern, text=f"set {row.name}={plain}", set={row.name: plain}, applies_to_ranks=on)
    if row.name in REQUIRED:
        return Fix(pattern=pattern, text=f"set {row.name} to {expected}", applies_to_ranks=on)
    return Fix(
        pattern=pattern,
        text=f"unset {row.name} (default: {row.default or 'none'}), or set it to {expected}",
        unset=(row.name,),
        applies_to_ranks=on,
    )


def _plain_names(value: str) -> str:
    """The names of an interface list without NCCL's = and without blanks; "" for a list of exclusions."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    if any(name.startswith("^") for name in names):
        return ""
    return ",".join(name.lstrip("=") for name in names)


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:57] + "..."


RULE = Rule(
    cause="env-malformed",
    code="CC102",
    title="A variable's value is not of the expected form",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT, Symptom.PERF_HANG),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "set the variable to a value that its reader takes, or unset it"),),
    match=match,
    signatures=(
        Signature(
            pattern=r"invalid literal for int\(\) with base 10",
            literal="invalid literal for int()",
            source="CPython; seen with torch 2.13 for MASTER_PORT=abc",
            positive="ValueError: invalid literal for int() with base 10: 'abc'",
            negative="ValueError: could not convert string to float: 'abc'",
            weight=0.5,  # any program's int() says the same
        ),
        Signature(
            pattern=r"Invalid value for environment variable: (?P<name>\w+)",
            literal="invalid value for environment variable",
            source="pytorch torch/csrc/distributed/c10d/Utils.hpp; seen with torch 2.13",
            positive="RuntimeError: Invalid value for environment variable: TORCH_GLOO_LAZY_INIT",
            negative="the environment variable TORCH_GLOO_LAZY_INIT is valid",
            weight=0.95,
        ),
        Signature(
            pattern=r"The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO, or DETAIL",
            literal="torch_distributed_debug must be",
            source="pytorch torch/csrc/distributed/c10d/debug.cpp; seen with torch 2.13",
            positive="ValueError: The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO, or DETAIL.",
            negative="set TORCH_DISTRIBUTED_DEBUG to one of INFO or DETAIL",
            weight=0.95,
        ),
        Signature(
            pattern=r"makeDeviceFor(Hostname|Interface)\(\): unsupported gloo device",
            literal="unsupported gloo device",
            source="pytorch torch/csrc/distributed/c10d/GlooDeviceFactory.cpp; seen with torch 2.13",
            positive="RuntimeError: makeDeviceForHostname(): unsupported gloo device",
            negative="RuntimeError: unsupported device type",
            weight=0.5,  # GLOO_DEVICE_TRANSPORT; or a build without a transport
        ),
    ),
    explains=(
        "rank-exited",
        "rank-missing",
        "interface-missing",
        "script-error",
        "launcher-failure",
        "host-unresolvable",
        "port-refused",
        "world-size-mismatch",
    ),
    needs=("environment",),
)
