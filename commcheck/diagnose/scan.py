"""All signatures over all lines: which cause's wordings occur where, which ranks failed first, how far the job was.

What may not be here: judgement. `commcheck.diagnose.logs` turns hits into matches.
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from functools import cache, lru_cache
from typing import NamedTuple

from commcheck.diagnose import crosscheck, doing, index, progress
from commcheck.diagnose.ingest import advice, identities, nccl_reading
from commcheck.diagnose.prefilter import Prefilter
from commcheck.model.case import LogLine
from commcheck.model.rule import Signature
from commcheck.model.taxonomy import Stage

# A line this long is searched around its literals only, so that no pattern can take long on it.
_WINDOW = 4096
_ASKED_AGAIN = 4096  # lines: what a line says is wanted when it is kept, weighed, put into an order and shown

# Below this weight a wording is shared by many causes: a peer's view of a failure elsewhere, or a launcher's summary.
GENERIC_BELOW = 0.5


class Hit(NamedTuple):
    """A signature matched a line. `named` is the rank that the wording itself blames (group `rank` of its pattern);
    `late`: it came of another failure, as the order of the lines tells."""

    cause: str
    signature: Signature
    line: LogLine
    named: int | None
    late: bool = False


# Lines that say that something went wrong, whatever it was. They never name a cause; they are what an honest
# "no known signature" shows, and their absence is what makes a log inconclusive.
TROUBLE = re.compile(
    r"\b[A-Za-z_][\w.]{0,200}(?:Error|Exception|Interrupt|Exit)\b(?:\(|:|$)"
    r"|\bTraceback \(most recent call last\)"
    r"|(?:^|[\s\[|:])(?:ERROR|FATAL|CRITICAL|PANIC)(?=$|[\s\]|:])"
    r"|(?:^|\s)(?:[Ff]atal(?: [Pp]ython)? error|[Ee]rror|error while [\w ]+):\s"
    r"|\b(?:core dumped|[Ss]egmentation fault|[Bb]us error|Illegal instruction|terminate called|double free|stack smashing)"
    r"|\bAborted\b|\bAborting\b|\bKilled\b|\bCheck failed:|\bCHECK failed|\bassert(?:ion)?\b.{0,80}\bfailed\b"
    r"|\bNCCL WARN\b|\bexit(?:ed)?(?: with)?(?: non-zero)?(?: exit)? ?(?:code|status):? (?!0\b)-?\d"
    r"|\bexitcode\s*: (?!0\b)-?\d|\bfailed (?:with|to)\b|\bcommand not found\b|\b[Tt]imed out\b|\bstalled for longer\b"
)
_TROUBLE_WORDS = (
    "error", "exception", "interrupt", "exit", "traceback", "fatal", "critical", "panic", "dumped", "fault",
    "terminate called", "aborted", "aborting", "killed", "check failed", "assert", "nccl warn", "failed",
    "timed out", "command not found", "illegal instruction", "double free", "smashing", "stalled for",
)  # fmt: skip

# Of those, the lines after which a process does not go on. A warning, a retry or a fallback is none of them.
FATAL = (
    r"(?m)^(?!.*\bWarning\b)(?:.*?[\s\]|:])?[A-Za-z_][\w.]{0,200}(?:Error|Exception|Interrupt|Exit)(?::|$)"
    r"|\bTraceback \(most recent call last\)|\bFATAL\b|[Ff]atal(?: [Pp]ython)? error|\bCheck failed:|\bAborted\b"
    r"|\bcore dumped|[Ss]egmentation fault|[Bb]us error|Illegal instruction|terminate called|double free"
    r"|(?:^|: line \d+: +\d+ )Killed\b|\bexit(?:ed)?(?: with)?(?: exit)? ?(?:code|status):? (?!0\b)-?\d|\bexitcode\s*: (?!0\b)-?\d"
    r"|(?:^|\s)ERROR\b|^(?:\S{1,80}: ){0,2}[Ee]rror: "
)

_LEVEL_ERROR = r"\[E(?:\d{3,4} [\d:.]+)? ?\w+\.cpp:\d+\] "

# How far a job has come, the furthest first: words, in small letters, of which each line that shows it has one, and the
# pattern that the line must match (compiled and tried where a word is found: words are found in no time).
_STAGES: tuple[tuple[Stage, tuple[str, ...], str], ...] = (
    (
        Stage.TRAINING,
        (
            *progress.WORDS, "autograd", ".backward(", "optimizer.step", "seqnum=", "horovodallreduce",
            "horovod_allreduce", "images/sec", "img/sec", "training_step", "train_step", "train_one_epoch", "compute_loss",
            "in train_epoch", "in _train_epoch", "in run_epoch", "optimizer_step", "validation_step", "clip_grad_norm", "forward_backward",
        ),
        (
            r"(?i)\bepoch\b\W{0,4}\d|HorovodAllreduce|horovod_allreduce|\bim(?:ages|g)/sec\b|\b(?:iter(?:ation)?|step)s?\b\W{0,4}\d|\bloss\b\W{0,4}\d|autograd(?!/grad_mode)|\.backward\("
            r"|optimizer\.step|SeqNum=(?:\d{3,})|\b(?:training_step|train_step|train_one_epoch|compute_loss|optimizer_step|validation_step)\b"
            r"|, in (?:_?train_epoch|run_epoch|clip_grad_norm_?|forward_backward\w*)\b"
            # Bars are drawn for reading and loading too.
            r"|^(?!.*\b(?:loading|download\w*|map|tokeniz\w*|generating|filter\w*|fetching|resolving|caching|preprocess\w*|saving)\b).*it/s\b"
        ),
    ),
    (
        Stage.PREPARATION,
        (
            "_sync_module_states", "_verify_param", "ddp expects", "broadcast_parameters", "broadcast_variables",
            "broadcast_global_variables", "horovodbroadcast", "horovod_broadcast", "load_checkpoint", "load_state_dict",
            "tokeniz", "seqnum=", "_ddp_init_helper", "_verify_model_across_ranks", "fsdp/_init_utils", "_sync_params_and_buffers",
            "_broadcast_model", "accelerator.prepare(", "_dist_broadcast_coalesced", "parallel/distributed.py", ", in prepare", "build_model", "load_model", "setup_model", "init_model",
            "wrap_model", "_configure_distributed_model", "distributeddataparallel(", "ddp(", "fully_shard",
        ),
        (
            r"_sync_module_states|_verify_param_shape|_verify_params_across|DDP expects same model|broadcast_parameters"
            r"|broadcast_variables|broadcast_global_variables|Horovod_?[Bb]roadcast|load_checkpoint|load_state_dict|tokeniz|SeqNum=(?:1|2|3)\b"
            r"|_ddp_init_helper|_verify_model_across_ranks|fsdp/_init_utils|_sync_params_and_buffers|_broadcast_model|accelerator\.prepare\("
            r"|_dist_broadcast_coalesced|parallel/distributed\.py\", line \d+, in __init__"
            r"|, in (?:prepare(?:_\w+)?|_?(?:build|load|wrap|setup|init)_model\w*|_configure_distributed_model)\b|= ?(?:\w+\.)*(?:DistributedDataParallel|DDP|fully_shard)\("
        ),
    ),
    (
        Stage.SETUP,
        (
            "init_process_group", "mpi_init", "master init", "rendezvous", "tcpstore", "socket.cpp", "connectfullmesh",
            "ncclcomminit", "bootstrap", "gloo/transport", "clients joined", "initializing distributed",
            "initialize distributed", "distributed.initialize", "hvd.init", "operation=", "execute operation", "init.cc:",
            "ibv_modify_qp", "initialize_dist", "setup_distributed", "init_dist", "init_device",
            "_new_process_group_helper", "initialize_model_parallel", "distributed_environment",
        ),
        (
            r"init_process_group|MPI_Init|MPI_INIT|Master init|[Rr]endezvous|TCPStore(?!\.cpp:\d+\] \[c10d\] (?:recv|send))|socket\.cpp|connectFullMesh|ncclCommInit|(?<!_)[Bb]ootstrap"
            r"|gloo/transport/tcp/device|clients joined|initializ(?:ing|e) distributed|jax\.distributed\.initialize|hvd\.init"
            r"|operation=(?:Connect|Setup|Init)\b|execute operation (?:Connect|Setup|Init)\b|\binit\.cc:\d+ -> \d|ibv_modify_qp"
            r"|, in (?:\w*init(?:ialize)?_dist\w*|setup_distributed|_?init_device|_new_process_group_helper|initialize_model_parallel\w*|init_\w*distributed_environment)\b"
        ),
    ),
    (
        Stage.BUILD,
        (
            "importerror", "modulenotfounderror", "undefined symbol", "cannot open shared", "setup.py", "building wheel",
            "cmake error",
        ),
        r"ImportError|ModuleNotFoundError|undefined symbol|cannot open shared object|setup\.py|Building wheel|CMake Error",
    ),
)  # fmt: skip
# Logs are searched for these; after the others, which are on every other line, `progress` looks.
_STAGE_WORDS = (
    *dict.fromkeys(word for _, words, _ in _STAGES for word in words if word not in progress.WORDS),
    *doing.WORDS,
    *nccl_reading.WORDS,
)


@cache
def prefilter() -> Prefilter:
    """The literals of all signatures, then the words of comparisons, trouble, stages and identities (see `interest`)."""
    signatures = (literal for literal, _ in _literals())
    words = (*signatures, *crosscheck.WORDS, *_TROUBLE_WORDS, *_STAGE_WORDS, *identities.WORDS)
    return Prefilter(words, progress.WORDS)


@cache
def _literals() -> tuple[tuple[str, int], ...]:
    """Each literal with the number of its entry. A signature may give several, separated by " | ", of which every
    match contains one."""
    return tuple(
        (literal, number)
        for number, entry in enumerate(index.entries())
        for literal in entry.signature.literal.split(" | ")
    )


class Interest(IntEnum):
    """Why a line is kept: the less of a diagnosis it can carry, the fewer of its kind are needed."""

    SIGNATURE = 0
    TROUBLE = 1
    PROGRESS = 2
    IDENTITY = 3


@cache
def interest(numbers: frozenset[int]) -> Interest:
    """What the literals found in a line (their numbers in `prefilter`) can be good for, at best."""
    return _interest(min(numbers))


def _interest(number: int) -> Interest:
    for interest_, words in ((Interest.SIGNATURE, len(_literals()) + len(crosscheck.WORDS)),
                             (Interest.TROUBLE, len(_TROUBLE_WORDS)), (Interest.PROGRESS, len(_STAGE_WORDS))):  # fmt: skip
        if number < words:
            return interest_
        number -= words
    return Interest.IDENTITY


@cache
def tells_identity(numbers: frozenset[int]) -> bool:
    """Whether a line with these literals can say which rank a process is."""
    return _interest(max(numbers)) is Interest.IDENTITY


@cache
def _compared(numbers: frozenset[int]) -> bool:
    """Whether a comparison of ranks, or the stage, may want a line with these literals whatever else is in it."""
    signatures = len(_literals())
    return any(
        signatures <= n < signatures + len(crosscheck.WORDS) or _interest(n) is Interest.PROGRESS for n in numbers
    )


def is_useful(line: LogLine, numbers: frozenset[int]) -> bool:
    """Whether anything that judges lines could want this one. `numbers`: of the literals in it."""
    return _compared(numbers) or bool(_hits(line, numbers, first=True)) or is_trouble(line.text)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A signature's pattern; compiled when its literal was met, since compiling all costs more than a short log."""
    return re.compile(pattern)


def scan(lines: Sequence[LogLine]) -> tuple[Hit, ...]:
    """Every signature that matches a line outside of advice, in the order of the lines."""
    return tuple(hit for line, numbers in _candidates(lines) for hit in _hits(line, numbers))


def _hits(line: LogLine, numbers: frozenset[int], *, first: bool = False) -> list[Hit]:
    """The signatures that match one line with these literals; with `first`, one of them."""
    table, hits = index.entries(), []
    matched: dict[str, re.Match[str] | None] = {}  # several causes share a wording
    for number in _entries_of(numbers):
        cause, signature = table[number]
        if signature.pattern not in matched:
            matched[signature.pattern] = _match(signature, line.text)
        if (match := matched[signature.pattern]) is not None:
            named = match.groupdict().get("rank")
            hits.append(Hit(cause, signature, line, int(named) if named else None))
            if first:
                break
    return hits


@cache
def _entries_of(numbers: frozenset[int]) -> tuple[int, ...]:
    """The entries whose literals these are."""
    literals = _literals()
    return tuple(sorted({literals[n][1] for n in numbers if n < len(literals)}))


def troubles(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    """The lines that look like errors, library advice excepted."""
    return tuple(line for line in lines if is_trouble(line.text))


@lru_cache(_ASKED_AGAIN)
def is_trouble(text: str) -> bool:
    """Whether a line says that something went wrong."""
    match = TROUBLE.search(text, 0, _WINDOW)
    return match is not None and not advice.is_advice(text, match.start(), match.end())


@lru_cache(_ASKED_AGAIN)
def is_fatal(text: str) -> bool:
    """Whether a line tells of an end, not of a warning."""
    return is_trouble(text) and compiled(FATAL).search(text, 0, _WINDOW) is not None


def is_error(text: str) -> bool:
    """Whether a line tells of an end, or PyTorch's own log calls it an error."""
    return is_fatal(text) or (is_trouble(text) and compiled(_LEVEL_ERROR).search(text, 0, _WINDOW) is not None)


def last_progress(lines: Sequence[LogLine]) -> dict[str, int]:
    """By source, the last kept line in which training goes on."""
    return {
        line.source: line.number
        for line in lines
        if _has_word(line.text, progress.WORDS) and compiled(progress.GOES_ON).search(line.text, 0, _WINDOW)
    }


def stage_of(lines: Sequence[LogLine]) -> Stage | None:
    """How far the job had come, by the marks of progress in its text; None when nothing tells."""
    for stage, words, pattern in _STAGES:
        if any(_has_word(x.text, words) and compiled(pattern).search(x.text, 0, _WINDOW) for x in lines):
            return stage
    return None


def _has_word(text: str, words: Sequence[str]) -> bool:
    """Whether one of these small texts is in a line."""
    small = text[:_WINDOW].lower()
    return any(word in small for word in words)


def _candidates(lines: Sequence[LogLine]) -> list[tuple[LogLine, frozenset[int]]]:
    """The lines that contain a signature's literal, each with the numbers of those literals."""
    block = "\n".join(line.text.replace("\n", " ") for line in lines).encode("utf-8", "replace")
    return [(lines[found.row], found.numbers) for found in prefilter().find(block).found]


def _match(signature: Signature, text: str) -> re.Match[str] | None:
    """Where a signature matches a text outside of advice."""
    if len(text) > _WINDOW:
        small = text.lower()
        found = [at for literal in signature.literal.split(" | ") if (at := small.find(literal)) >= 0]
        begin = max(0, min(found, default=0) - _WINDOW // 2)
        text = text[begin : begin + _WINDOW]
    pieces: tuple[tuple[int, int], ...] | None = None
    for match in compiled(signature.pattern).finditer(text):
        if pieces is None:
            pieces = advice.spans(text)
        if not any(b <= match.start() and match.end() <= e for b, e in pieces):
            return match
    return None
