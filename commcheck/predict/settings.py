"""What the ranks were told: who they are, which backend they use, which variables they were given."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from commcheck.catalog.env import lookup, read_at_import
from commcheck.catalog.env.row import Kind
from commcheck.model.case import Case, Origin
from commcheck.model.plan import RankPlan
from commcheck.model.taxonomy import Symptom
from commcheck.predict.model import Part, Prediction, Ranks, fails, unknown

GLOO = ("gloo", "cpu:gloo")
KNOWN_BACKENDS = ("gloo", "nccl", "mpi", "ucc", "xccl", "fake")
BLAMELESS = frozenset({"interface-loopback", "memlock-limit", "shm-too-small", "fd-limit", "process-limit"})
"""Causes of the static rules that stop some worlds and not all: whether they do is asked elsewhere."""
ELSEWHERE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
"""Settings that nothing is wrong with, for ranks that meet without them."""
SURE = 0.75
"""Confidence of a static rule from which it stops a world."""
NO_BOOLEAN = frozenset({"perhaps", "many", ""})
TLS = "GLOO_DEVICE_TRANSPORT_TCP_TLS_"
TRUE = frozenset({"y", "yes", "1", "t", "true"})
GLOO_YES = frozenset({"1", "True"})
"""Gloo's own flags know no other word for yes."""


def environment_of(rank: RankPlan, name: str) -> str:
    """The value of a variable of a rank; empty where it is not set."""
    return rank.environment.get(name, "")


def claims(ranks: Ranks) -> Prediction | None:
    """Every rank number once, and one world size."""
    numbers = {r.slot: number_of(environment_of(r, "RANK")) for r in ranks.plan.ranks}
    sizes = {r.slot: number_of(environment_of(r, "WORLD_SIZE")) for r in ranks.plan.ranks}
    if None in numbers.values() or None in sizes.values():
        return None  # the static rules have the words for it
    size = ranks.plan.size
    other = [s for s, n in sizes.items() if n != size]
    if other:
        return fails("world-size-mismatch", Symptom.SETUP_HANG_TIMEOUT, f"WORLD_SIZE is not {size} everywhere", other)
    outside = [s for s, n in numbers.items() if n is not None and not 0 <= n < size]
    if outside:
        return fails("rank-out-of-range", Symptom.SETUP_FAILURE, f"RANK is not below WORLD_SIZE={size}", outside)
    if len(set(numbers.values())) < len(numbers):
        twice = [s for s, n in numbers.items() if list(numbers.values()).count(n) > 1]
        return fails("rank-duplicate", Symptom.SETUP_HANG_TIMEOUT, "two processes claim the same rank", twice)
    if len(numbers) < size:
        return fails("rank-missing", Symptom.SETUP_HANG_TIMEOUT, f"{size - len(numbers)} ranks are not started")
    return None


def static_rules(ranks: Ranks) -> Prediction | None:
    """What `commcheck lint` would say on each rank's host."""
    from commcheck.diagnose.match import judge
    from commcheck.diagnose.match import static_rules as rules

    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for rank in ranks.plan.ranks:
        facts = ranks.host(rank)
        told = {k: v for k, v in rank.environment.items() if k not in {"RANK", "LOCAL_RANK"}}
        if rank.init_method != "env://":
            told |= ELSEWHERE
        key = (rank.place.host, frozenset(told.items()))
        if facts is None or key in seen:
            continue
        seen.add(key)
        own = {**told, **{k: v for k, v in rank.environment.items() if k in {"RANK", "LOCAL_RANK"}}}
        judged = judge(Case(origin=Origin.STATIC, hosts=(facts,), environment=own), rules())
        for found in judged.diagnoses:
            if found.confidence >= SURE and found.cause not in BLAMELESS:
                return fails(found.cause, found.symptom, f"{found.title} (rank {rank.slot})", (rank.slot,))
    return None


def backends(ranks: Ranks) -> Prediction | None:
    """One backend, and one that this build has."""
    given = {r.backend for r in ranks.plan.ranks}
    for rank in ranks.plan.ranks:
        for name in _backend_names(rank.backend):
            if name not in KNOWN_BACKENDS:
                why = f"no backend is called {name!r}"
                return fails("backend-unknown", Symptom.SETUP_FAILURE, why, (rank.slot,))
            facts = ranks.host(rank)
            if facts is not None and facts.backends and name not in facts.backends:
                return fails("backend-not-built", Symptom.SETUP_FAILURE, f"torch has no {name} here", (rank.slot,))
    if len({frozenset(_backend_names(b)) for b in given}) > 1:
        if all("gloo" in b.lower() for b in given):
            return unknown("the ranks name different sets of backends")
        return fails("backend-mismatch", Symptom.SETUP_HANG_TIMEOUT, f"backends differ: {', '.join(sorted(given))}")
    if not any("gloo" in b.lower() for b in given):
        return unknown(f"only worlds with gloo are known here, not {', '.join(sorted(given))}")
    return None


def _backend_names(text: str) -> list[str]:
    return [part.rpartition(":")[2].strip().lower() for part in text.split(",")]


def transport(ranks: Ranks) -> Prediction | None:
    """GLOO_DEVICE_TRANSPORT names one that the build has, as it spells it, and has what it needs."""
    for rank in ranks.plan.ranks:
        if "GLOO_DEVICE_TRANSPORT" not in rank.environment:
            continue
        value = rank.environment["GLOO_DEVICE_TRANSPORT"]
        if value == "TCP_TLS" and environment_of(rank, f"{TLS}PKEY"):
            return unknown("whether keys and certificates fit is not looked at")
        if value not in {"TCP", "LINUX"}:
            why = f"PyTorch's builds for Linux have no gloo transport {value!r} (TCP alone, spelt so)"
            return fails("transport-unavailable", Symptom.SETUP_FAILURE, why, (rank.slot,))
    return None


def connecting(ranks: Ranks) -> Prediction | None:
    """All ranks connect at the same time, and number their connections in the same way: the other side reads what a rank
    says of itself as if it were its own, and crashes over it. Those that connect late number nothing beforehand."""
    late = {_is(environment_of(r, "TORCH_GLOO_LAZY_INIT"), TRUE) for r in ranks.plan.ranks}
    numbered = {_is(environment_of(r, "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER"), GLOO_YES) for r in ranks.plan.ranks}
    name = "TORCH_GLOO_LAZY_INIT" if len(late) > 1 else "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER"
    if len(late) == 1 and (len(numbered) == 1 or late == {True}):
        return None
    why = f"{name} differs between the ranks: what they tell each other has another form"
    return fails("env-differs-between-ranks", Symptom.TRAIN_SEGMENTATION_FAULT, why)


def _is(value: str, yes: AbstractSet[str]) -> bool:
    return value in yes or (yes is TRUE and value.lower() in yes)


def debugging(ranks: Ranks) -> Prediction | None:
    """TORCH_DISTRIBUTED_DEBUG=DETAIL makes a second group to check every call: on all ranks, or on none."""
    ways = {environment_of(r, "TORCH_DISTRIBUTED_DEBUG").upper() == "DETAIL" for r in ranks.plan.ranks}
    if len(ways) > 1:
        why = "TORCH_DISTRIBUTED_DEBUG=DETAIL on some ranks alone: they form a group that the others do not join"
        return fails("env-differs-between-ranks", Symptom.SETUP_HANG_TIMEOUT, why)
    return None


def flags(ranks: Ranks) -> Prediction | None:
    """torch refuses a flag or number of its own that it cannot read, where it reads it."""
    for rank in ranks.plan.ranks:
        for name, value in rank.environment.items():
            row = lookup(name)
            if row is None or not row.strict or row.kind is not Kind.FLAG or not name.startswith("TORCH_GLOO_"):
                continue
            if value.lower() not in TRUE | {"n", "no", "0", "f", "false"}:
                why = f"{name}={value} is no yes or no"
                return fails("env-malformed", Symptom.SETUP_FAILURE, why, (rank.slot,))
    return None


def unexplored(ranks: Ranks) -> Prediction | None:
    """Variables of which nothing here says what they do to a world of gloo."""
    for rank in ranks.plan.ranks:
        for name, value in sorted(rank.environment.items()):
            row = lookup(name)
            if row is None or row.owner not in {"torch", "gloo"} or name in MODELLED:
                continue
            if read_at_import(name) or (row.strict and value in NO_BOOLEAN):
                return unknown(f"what {name}={value} does is not written down")
    return None


MODELLED = frozenset(
    [
        "MASTER_ADDR",
        "MASTER_PORT",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "GLOO_SOCKET_IFNAME",
        "GLOO_DEVICE_TRANSPORT",
        "TORCH_GLOO_LAZY_INIT",
        "TORCH_DISTRIBUTED_DEBUG",
        "USE_LIBUV",
        "GLOO_LOG_LEVEL",
        "GLOO_DISABLE_CONNECTION_RETRIES",
        "GLOO_ENABLE_STORE_V2_API",
        "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER",
        "TORCHELASTIC_USE_AGENT_STORE",
    ]
)


def number_of(text: str) -> int | None:
    """As torch reads its numbers, by Python's int(): blanks around, a plus, zeros in front and 29_500 are all well."""
    try:
        return int(text)
    except ValueError:
        return None


PARTS: tuple[Part, ...] = (claims, static_rules, backends, transport, flags, connecting, debugging, unexplored)
