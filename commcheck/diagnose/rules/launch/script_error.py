"""The program failed by itself.

**What you see**
A Python exception in the user's program or in a library above the communication: KeyError, shape errors, a
missing file, a failed assertion. The other ranks time out or see a closed connection, and the launcher prints
ChildFailedError.

**Why it happens**
A fault of program, data or arguments. It would happen with one process too.

**How to fix**
Mend the line that the traceback names.

**How to confirm**
Run the same program with one process: if it fails in the same way, communication has no part in it.
"""

from commcheck.diagnose import errors
from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.ending import FOLLOWS
from commcheck.diagnose.view import evidence, names
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

_OF_OURS = ("NameNotResolvedError",)
"""Exceptions by which a rank of commcheck itself reports what it found; they have rules of their own."""


def match(case: Case) -> Match | None:
    """A rank that an exception ended which tells neither of a peer nor of another known cause."""
    if not any(r.error for r in case.ranks):
        return None
    explained = {rank for _, named in errors.named(case) for rank in named.ranks}
    ended = [r for r in case.ranks if r.name not in explained and _of_the_program(r)]
    if not ended:
        return None
    error = ended[0].error
    assert error is not None
    first = error.message.splitlines()[0][:200] if error.message else ""
    text = f"{error.kind}: {first}" if first else error.kind
    advice = "mend what the traceback of this rank names; the other ranks' errors follow from it"
    return Match(
        symptom=errors.symptom_of(ended[0], error),
        title=f"The program of {ranks_text(names(ended))} failed by itself in phase {error.phase.value}: {text}",
        confidence=0.9,
        ranks=names(ended),
        hosts=tuple(dict.fromkeys(r.host for r in ended)),
        evidence=tuple(
            evidence(EvidenceKind.LOG, f"{r.error.kind} at {_innermost(r)}", r, "traceback")
            for r in ended[:4]
            if r.error
        ),
        fixes=(
            Fix(
                pattern=FixPattern.BEHAVIOR_LOGIC,
                text=advice,
                applies_to_ranks=names(ended),
                not_tried="it is a change of the program",
            ),
        ),
    )


def _innermost(rank: RankRecord) -> str:
    """The frame that raised, as the traceback on stderr names it."""
    frames = errors.frames(rank)
    return frames[-1] if frames else ""


_COMMUNICATES = ("/torch/distributed/", "/torch/autograd/", "/commcheck/worker/phases/", "/commcheck/worker/steps")
"""Where what is raised may be a failure of communication (DistributedDataParallel communicates in autograd)."""


def _of_the_program(rank: RankRecord) -> bool:
    error = errors.own(rank)
    if error is None or error.kind in _OF_OURS:
        return False
    frame = _innermost(rank)
    return bool(frame) and (error.kind in errors.PYTHON_OWN or not any(part in frame for part in _COMMUNICATES))


RULE = Rule(
    cause="script-error",
    code="CC151",
    title="The program failed by itself",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_OTHER_FAILURE,
        Symptom.TRAIN_TENSOR_MISMATCH,
        Symptom.PREP_OTHER,
        Symptom.TRAIN_ATTRIBUTE_NOT_FOUND,
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
        Symptom.TRAIN_PATH_ERROR,
        Symptom.TRAIN_GRAPH_EXECUTION_ERROR,
        Symptom.TRAIN_NOT_IMPLEMENTED,
        Symptom.PREP_MODEL_LOADING_FAILURE,
        Symptom.PREP_DATA_LOADING_FAILURE,
        Symptom.PREP_ITERATION_FAILURE,
        Symptom.SETUP_FAILURE,
        Symptom.PERF_NON_CONVERGENCE,
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PREP_COMMUNICATION_ERROR,
        Symptom.TRAIN_DEVICE_ERROR,
        Symptom.PREP_DEVICE_ERROR,
    ),
    fixes=(
        (FixPattern.BEHAVIOR_LOGIC, "Mend what the first traceback of the first failing rank names."),
        (FixPattern.COMMAND_LINE, "Check the arguments and paths that the program was given."),
    ),
    match=match,
    explains=(*FOLLOWS, *PEERS_SEE),
    needs=("ranks",),
)
