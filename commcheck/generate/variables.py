"""What an environment variable may be set to, by its kind in the catalogue: good values, bad ones, and odd ones.

A variable knows nothing of the hosts: names of interfaces and addresses come in as arguments. Whether a value is valid is
what the owner's documentation says of it alone; whether a world works with it is for a world to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from commcheck.catalog.env.row import EnvVar, Kind
from commcheck.generate.parameter import Validity
from commcheck.model.base import Value

ABSENT_INTERFACE = "nope0"
"""An interface that no host has."""
ABSENT_NAME = "no-such-host.invalid"
"""A name that no resolver answers for (RFC 2606)."""
LARGEST_PORT = 65535
TRUE_WORDS = ("y", "yes", "1", "t", "true")
FALSE_WORDS = ("n", "no", "0", "f", "false")
"""What torch's flags take (`getCvarBool`)."""

VALID, INVALID, UNKNOWN = Validity.VALID, Validity.INVALID, Validity.UNKNOWN


class Sample(Value, frozen=True):
    """A value of a variable, and what the documentation says of it."""

    value: str
    validity: Validity = UNKNOWN


def samples(row: EnvVar, interfaces: Sequence[str] = (), hosts: Sequence[str] = ()) -> tuple[Sample, ...]:
    """The values that are worth a try: each word, both ends of a range and one beyond, every syntax of a list.

    `interfaces`: those that the hosts have; `hosts`: names and addresses that mean something to them."""
    made: Iterable[Sample]
    if row.kind is Kind.FLAG:
        made = _flag(row)
    elif row.kind in {Kind.INTEGER, Kind.SECONDS, Kind.PORT}:
        made = _number(row)
    elif row.kind is Kind.ENUM:
        made = _words(row)
    elif row.kind is Kind.INTERFACES:
        made = prefixes(interfaces) if takes_prefixes(row) else exact(interfaces)
    elif row.kind is Kind.HOST:
        made = [*(Sample(value=h, validity=VALID) for h in hosts), Sample(value=ABSENT_NAME, validity=INVALID)]
    elif row.kind is Kind.PATH:
        made = [Sample(value="{tmp}/there", validity=VALID), Sample(value="/nowhere/at/all")]
    else:
        made = [Sample(value=row.default)] if row.default else []
        made = [*made, Sample(value="something")]
    return tuple({s.value: s for s in reversed(list(made))}.values())[::-1]


def takes_prefixes(row: EnvVar) -> bool:
    """Names of interfaces are prefixes there, = before them means exact names, ^ excludes: NCCL's syntax."""
    return row.owner == "nccl"


def exact(interfaces: Sequence[str]) -> list[Sample]:
    """Gloo's syntax: exact names, separated by commas. NCCL's own signs are taken for parts of a name."""
    made = [Sample(value=name, validity=VALID) for name in interfaces]
    made += [Sample(value=f"{a},{b}", validity=VALID) for a, b in pairwise(interfaces)]
    made.append(Sample(value=ABSENT_INTERFACE, validity=INVALID))
    for name in interfaces[:1]:
        made += [Sample(value=f"={name}", validity=INVALID), Sample(value=f"^{name}", validity=INVALID)]
        made += [
            Sample(value=name[:-1], validity=INVALID),
            Sample(value=f"{name},{ABSENT_INTERFACE}", validity=INVALID),
        ]
        made.append(Sample(value=f"{name}, {interfaces[-1]}"))
    return [s for s in made if s.value and not (s.value in interfaces and s.validity is INVALID)]


def prefixes(interfaces: Sequence[str]) -> list[Sample]:
    """NCCL's syntax: prefixes, = for exact names, ^ for all but these."""
    made = [Sample(value=name, validity=VALID) for name in interfaces]
    for name in interfaces[:1]:
        made += [
            Sample(value=name.rstrip("0123456789") or name, validity=VALID),
            Sample(value=f"={name}", validity=VALID),
        ]
        made += [Sample(value="^lo,docker", validity=VALID), Sample(value=f"^={name}", validity=VALID)]
    made += [Sample(value=f"{a},{b}", validity=VALID) for a, b in pairwise(interfaces)]
    return [
        *made,
        Sample(value=ABSENT_INTERFACE, validity=INVALID),
        Sample(value=f"={ABSENT_INTERFACE}", validity=INVALID),
    ]


def ports() -> list[Sample]:
    """Ports as MASTER_PORT may have them: customary, privileged, the largest, and what is none."""
    good = ("29501", "1023", str(LARGEST_PORT))
    bad = (str(LARGEST_PORT + 1), "-1", "port")
    return [*(Sample(value=p, validity=VALID) for p in good), *(Sample(value=p, validity=INVALID) for p in bad)]


def _flag(row: EnvVar) -> list[Sample]:
    bad = INVALID if row.strict else UNKNOWN
    made = [Sample(value="1", validity=VALID), Sample(value="0", validity=VALID)]
    if row.strict:
        made += [Sample(value=TRUE_WORDS[-1], validity=VALID), Sample(value=FALSE_WORDS[-1], validity=VALID)]
    return [*made, Sample(value="perhaps", validity=bad)]


def _number(row: EnvVar) -> list[Sample]:
    if row.kind is Kind.PORT:
        return ports()
    made = [Sample(value=str(n), validity=VALID) for n in (row.low, row.high) if n is not None]
    if row.default.lstrip("-").isdigit():
        made.insert(0, Sample(value=row.default, validity=VALID))
    made += [Sample(value=str(n), validity=INVALID) for n in _beyond(row)]
    return [*made, Sample(value="many", validity=INVALID if row.strict else UNKNOWN)]


def _beyond(row: EnvVar) -> list[int]:
    return [*([row.low - 1] if row.low is not None else []), *([row.high + 1] if row.high is not None else [])]


def _words(row: EnvVar) -> list[Sample]:
    made = [Sample(value=word, validity=VALID) for word in row.choices]
    made += [Sample(value=word.lower()) for word in row.choices[:1] if word.lower() not in row.choices]
    if row.several and len(row.choices) > 1:
        made.append(Sample(value=",".join(row.choices[:2]), validity=VALID))
    return [*made, Sample(value="nonsense", validity=INVALID)]
