"""The exceptions that ended ranks, as evidence: whose fault they are, which cause their words name, what they show as.

What a rank raised is told by the rank itself, with its type and phase; that is more than a line of output, which may be
a warning, or the echo of somebody else's failure. Pure."""

from __future__ import annotations

from commcheck.diagnose import index, scan
from commcheck.diagnose.lazy import Lazy
from commcheck.model.case import Case, LogLine, RankError, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.phase import STAGE_OF
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import Stage, Symptom

SPEAKS_FOR_ITSELF = 0.75
"""Weight from which a signature's words, in a rank's own exception, name the cause."""
_SCRIPT = "script-error"

_OF_A_PEER = Lazy(
    r"Connection (?:closed|reset|refused)|[Bb]roken pipe|Read error|[Tt]imed out|wait timeout|pair closure|"
    r"Software caused connection abort|remote (?:process|worker) (?:exited|crash)"
)
"""What a rank says whose peer has failed, or is late: never the cause itself."""

PYTHON_OWN = frozenset(
    (
        *("AttributeError", "KeyError", "IndexError", "NameError", "StopIteration", "ZeroDivisionError"),
        *("FileNotFoundError", "IsADirectoryError", "NotADirectoryError", "PermissionError", "FileExistsError"),
        *("UnpicklingError", "UnicodeDecodeError", "EOFError", "RecursionError"),
    )
)
"""Types that no communication library raises for a failure of communication."""

_LOADING = Lazy(r"[Ee]rror\(s\) in loading state_dict|PytorchStreamReader|unpickl|invalid magic number")
_PATH = Lazy(r"Parent directory .* does not exist|No such file or directory|Permission denied|Is a directory")
_SHAPES = Lazy(r"shapes cannot be multiplied|size of tensor a|is invalid for input of size|size mismatch")
_GRAPH = Lazy(r"does not require grad|needed for gradient computation|backward through the graph")


def own(rank: RankRecord) -> RankError | None:
    """The exception that ended a rank, unless it only tells of a peer."""
    error = rank.error
    return None if error is None or _OF_A_PEER.re.search(error.message) else error


def frames(rank: RankRecord) -> list[str]:
    """The frames of its traceback, the innermost last, as it is on stderr."""
    return [x.text.strip() for x in rank.output if x.text.lstrip().startswith('File "')]


def named(case: Case) -> tuple[tuple[Rule, Match], ...]:
    """The causes that ranks' own exceptions name in the words of a library, the surest first."""
    lines = [line for rank in case.ranks if (error := own(rank)) is not None for line in _lines(rank, error)]
    best: dict[str, list[scan.Hit]] = {}
    for hit in scan.scan(lines) if lines else ():
        if hit.cause != _SCRIPT and hit.signature.weight >= SPEAKS_FOR_ITSELF:
            best.setdefault(hit.cause, []).append(hit)
    rules = index.rules()
    found = [(rules[cause], _match(case, rules[cause], hits)) for cause, hits in best.items() if cause in rules]
    return tuple(sorted(found, key=lambda pair: (-pair[1].confidence, pair[0].code)))


def symptom_of(rank: RankRecord, error: RankError) -> Symptom:
    """What a fault of the program shows as: by the stage of the job, the exception's type and where it was raised."""
    text, where = error.message, "\n".join(frames(rank))
    stage = STAGE_OF[error.phase]
    if stage is Stage.SETUP:
        return Symptom.SETUP_FAILURE
    checkpoint = bool(_LOADING.re.search(text)) or "/torch/serialization.py" in where
    if stage is Stage.PREPARATION:
        if error.kind == "StopIteration":
            return Symptom.PREP_ITERATION_FAILURE
        if checkpoint:
            return Symptom.PREP_MODEL_LOADING_FAILURE
        return Symptom.PREP_DATA_LOADING_FAILURE if "/torch/utils/data/" in where else Symptom.PREP_OTHER
    if error.kind == "AttributeError":
        return Symptom.TRAIN_ATTRIBUTE_NOT_FOUND
    if _PATH.re.search(text):
        return Symptom.TRAIN_PATH_ERROR
    if checkpoint:
        return Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING
    if error.kind == "NotImplementedError":
        return Symptom.TRAIN_NOT_IMPLEMENTED
    if _SHAPES.re.search(text):
        return Symptom.TRAIN_TENSOR_MISMATCH
    return Symptom.TRAIN_GRAPH_EXECUTION_ERROR if _GRAPH.re.search(text) else Symptom.TRAIN_OTHER_FAILURE


def _lines(rank: RankRecord, error: RankError) -> list[LogLine]:
    """The exception as the last lines of a traceback have it."""
    texts = f"{error.kind}: {error.message}".splitlines()
    return [LogLine(source="exception", number=n, text=text, rank=rank.slot) for n, text in enumerate(texts, 1)]


def _match(case: Case, rule: Rule, hits: list[scan.Hit]) -> Match:
    slots = {hit.line.rank for hit in hits}
    ranks = [r for r in case.ranks if r.slot in slots]
    first = ranks[0].error
    assert first is not None
    numbers = tuple(sorted({r.name for r in ranks}))
    said = {hit.line.rank: hit.line.text for hit in reversed(hits)}
    return Match(
        symptom=_symptom(rule, ranks[0], first),
        title=f"{rule.title}: {said[ranks[0].slot][:200]}",
        confidence=max(hit.signature.weight for hit in hits),
        ranks=numbers,
        hosts=tuple(dict.fromkeys(r.host for r in ranks)),
        evidence=tuple(
            Evidence(
                kind=EvidenceKind.LOG,
                text=f"in phase {r.error.phase.value}: {said[r.slot][:400]}",
                rank=r.name,
                source="exception",
            )
            for r in ranks[:6]
            if r.error is not None
        ),
        fixes=tuple(
            Fix(pattern=p, text=text, applies_to_ranks=numbers, not_tried="it is a change of program or machine")
            for p, text in rule.fixes
        ),
    )


_PREFIX = {Stage.SETUP: ("setup-",), Stage.PREPARATION: ("prep-",), Stage.TRAINING: ("train-", "perf-")}


_IMPORTS = Lazy(r"No module named|cannot import name|undefined symbol|cannot open shared object")


def _symptom(rule: Rule, rank: RankRecord, error: RankError) -> Symptom:
    """Which of a rule's symptoms it is: what the rank was doing tells, else the stage of its phase. What is missing from
    the installation, or does not fit in it, is a fault of the installation whenever it shows."""
    if Symptom.BUILD_IMPORT_ERROR in rule.symptoms and _IMPORTS.re.search(error.message):
        return Symptom.BUILD_IMPORT_ERROR
    if rule.stage is Stage.BUILD:
        return rule.symptoms[0]
    exact = symptom_of(rank, error)
    if exact in rule.symptoms and exact not in (Symptom.TRAIN_OTHER_FAILURE, Symptom.PREP_OTHER):
        return exact
    return next((s for s in rule.symptoms if s.value.startswith(_PREFIX[STAGE_OF[error.phase]])), rule.symptoms[0])
