"""A setting that all ranks must share differs between them.

**What you see**

Seen with torch 2.13 and gloo, two ranks: TORCH_DISTRIBUTED_DEBUG=DETAIL on one of them makes that rank wait for a helper
group that the other never forms (`wait timeout after 6000ms, keys: /default_pg/0//cpu//pg_wrapper:0/0/1`), and the
other's first collective times out. TORCH_GLOO_LAZY_INIT=1 on one of them ends the other by SIGSEGV, and so does
GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER=1. Where one rank names two interfaces in GLOO_SOCKET_IFNAME and the others one or none,
all wait for ever: gloo makes a mesh of each. With NCCL, ranks that choose other algorithms, protocols or transports hang or are refused.

**Why it happens**

A start-up file of one host, a container image of another age, a debugging session's `export`, or ssh that passes the
variable on to some hosts only.

**How to fix**

Set the variable to the same value on every rank, or on none. Send settings through the launcher rather than through
each host's own files.

**How to confirm**

`commcheck preflight` compares the settings of all ranks; it names those that are alone with theirs.
"""

from commcheck.catalog.env import EnvVar, known
from commcheck.diagnose.rules.environment.settings import (
    HERE,
    WORKS_ANYWAY,
    Finding,
    Seen,
    fact,
    failed,
    match_of,
    seen,
)
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

MUST_AGREE: dict[str, Symptom] = {
    "GLOO_DEVICE_TRANSPORT": Symptom.SETUP_FAILURE,
    "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER": Symptom.TRAIN_SEGMENTATION_FAULT,
    "GLOO_SOCKET_IFNAME": Symptom.SETUP_HANG_TIMEOUT,
    "NCCL_ALGO": Symptom.PERF_HANG,
    "NCCL_BUFFSIZE": Symptom.PERF_HANG,
    "NCCL_COLLNET_ENABLE": Symptom.PERF_HANG,
    "NCCL_COMM_ID": Symptom.SETUP_HANG_TIMEOUT,
    "NCCL_CROSS_NIC": Symptom.PERF_HANG,
    "NCCL_CUMEM_ENABLE": Symptom.SETUP_FAILURE,
    "NCCL_IB_DISABLE": Symptom.SETUP_FAILURE,
    "NCCL_MAX_NCHANNELS": Symptom.PERF_HANG,
    "NCCL_MIN_NCHANNELS": Symptom.PERF_HANG,
    "NCCL_MNNVL_ENABLE": Symptom.SETUP_FAILURE,
    "NCCL_NET": Symptom.SETUP_FAILURE,
    "NCCL_NET_PLUGIN": Symptom.SETUP_FAILURE,
    "NCCL_NTHREADS": Symptom.PERF_HANG,
    "NCCL_NVLS_ENABLE": Symptom.SETUP_FAILURE,
    "NCCL_OOB_NET_ENABLE": Symptom.SETUP_HANG_TIMEOUT,
    "NCCL_PROTO": Symptom.PERF_HANG,
    "NCCL_SOCKET_FAMILY": Symptom.SETUP_FAILURE,
    "TORCHELASTIC_USE_AGENT_STORE": Symptom.SETUP_HANG_TIMEOUT,
    "TORCH_DISTRIBUTED_DEBUG": Symptom.SETUP_HANG_TIMEOUT,
    "TORCH_DIST_INIT_BARRIER": Symptom.SETUP_HANG_TIMEOUT,
    "TORCH_GLOO_LAZY_INIT": Symptom.TRAIN_SEGMENTATION_FAULT,
    "TORCH_NCCL_BCAST_UNIQUEID": Symptom.SETUP_HANG_TIMEOUT,
    "TORCH_NCCL_RANKS_PER_ROOT": Symptom.SETUP_HANG_TIMEOUT,
}
"""Variables that change what a rank says to the others, with how a difference shows. Address, port and size
are not here: they have causes of their own. Interfaces may rightly differ between hosts, but not how many are named."""

_SEEN_TO_BREAK = (
    "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER",
    "GLOO_SOCKET_IFNAME",
    "TORCH_DISTRIBUTED_DEBUG",
    "TORCH_GLOO_LAZY_INIT",
    "TORCHELASTIC_USE_AGENT_STORE",
)
_DEBUG_WORDS = ("", "OFF", "INFO")  # of TORCH_DISTRIBUTED_DEBUG; only DETAIL changes what is sent


def match(case: Case) -> Match | None:
    """Variables of `MUST_AGREE` whose effective values differ, with the ranks that are in the minority."""
    everyone = tuple(who for who in seen(case) if who.rank is not None)
    if len(everyone) < 2:
        return None
    backend = case.world.backend if case.world is not None else ""
    findings: list[Finding] = []
    for name, symptom in MUST_AGREE.items():
        if name.startswith(("NCCL_", "TORCH_NCCL_")) and backend and "nccl" not in backend:
            continue
        if name.startswith("GLOO_") and backend and "gloo" not in backend.lower():
            continue
        groups: dict[str, list[Seen]] = {}
        for who in everyone:
            groups.setdefault(_effective(name, who), []).append(who)
        if len(groups) > 1:
            findings.extend(_findings(case, name, symptom, groups))
    return match_of(findings)


def _effective(name: str, who: Seen) -> str:
    """What the value comes to: defaults are spelt out, words are compared without case."""
    row: EnvVar = known()[name]
    value = (who.environment.get(name) or row.default).strip().lower()
    if name == "TORCH_DISTRIBUTED_DEBUG" and value.upper() in _DEBUG_WORDS:
        return ""
    if name == "GLOO_SOCKET_IFNAME":
        return str(1 + value.count(","))  # one mesh for each; without any, one by the host's name
    if name == "GLOO_ENABLE_RANK_AS_SEQUENCE_NUMBER":
        lazy = who.environment.get("TORCH_GLOO_LAZY_INIT", "").lower() in {"1", "true", "yes", "y", "t"}
        return "1" if who.environment.get(name) in {"1", "True"} and not lazy else "0"  # lazy ranks number nothing
    return {"true": "1", "yes": "1", "false": "0", "no": "0"}.get(value, value)


def _findings(case: Case, name: str, symptom: Symptom, groups: dict[str, list[Seen]]) -> list[Finding]:
    # On a tie the side that has not set the variable is right: the default is what nobody had to decide on.
    usual = max(groups, key=lambda value: (len(groups[value]), not groups[value][0].environment.get(name)))
    model = groups[usual][0].environment.get(name)
    others = ", ".join(str(w.rank) for w in groups[usual][:8])
    found = []
    for value, members in groups.items():
        if value == usual:
            continue
        for who in members:
            worth = 0.85 if name in _SEEN_TO_BREAK else 0.6
            confidence = WORKS_ANYWAY if who.finished and not failed(case) else worth
            mine = who.environment.get(name)
            title = f"{name}{HERE} is {_shown(mine)}, but {_shown(model)} on rank {others}"
            evidence = (fact(name, mine, who), fact(name, model, groups[usual][0]))
            fix = Fix(
                pattern=FixPattern.DEVICE_CONSISTENCY,
                text=f"set {name}={model}" if model else f"unset {name}",
                set={name: model} if model else {},
                unset=() if model else (name,),
                applies_to_ranks=(who.rank,) if who.rank is not None else (),
            )
            found.append(Finding(who, title, confidence, evidence, (fix,), symptom))
    return found


def _shown(value: str | None) -> str:
    return value or "not set"


RULE = Rule(
    cause="env-differs-between-ranks",
    code="CC105",
    title="A setting that all ranks must share differs between them",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.PERF_HANG, Symptom.SETUP_FAILURE, Symptom.TRAIN_SEGMENTATION_FAULT),
    fixes=((FixPattern.DEVICE_CONSISTENCY, "set the variable to the same value on every rank, or on none"),),
    match=match,
    explains=(
        "rank-crashed",
        "rank-missing",
        "rank-exited",
        "store-timeout-too-short",
        "timeout-too-short",
        "collective-missing-rank",
    ),
    needs=("ranks",),
)
