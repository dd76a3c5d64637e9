"""Sentences that libraries print as guesses or recommendations: they are not evidence of anything.

A line that says of itself that it is no failure is one as a whole. A watchdog that says "this may indicate a network problem" has not seen one. A signature that matches only inside
such a sentence does not count.
"""

import re
from functools import lru_cache

from commcheck.diagnose.lazy import Lazy

_HEDGES = Lazy(
    r"(?:can|could|may|might)(?: also)? (?:be(?! stuck\b)|have been|indicate|happen|mean)\b"  # XLA's are stuck at that time
    r"|\b(?:possibly|potentially|likely|typically|usually|often|probably) (?:due to|because|caused|indicates?|reflects|a sign)"
    r"|\bthis (?:typically|usually|generally|often) (?:indicates?|means|reflects|happens)"
    r"|\b(?:may|might|could) be (?:due|because)"
    r"|\b(?:consider|try) (?:using|setting|increasing|decreasing|adding|reducing|disabling|enabling|to |passing|running)"
    r"|\byou (?:can|may|might|could) (?:try|also|set|use|want|need|consider|check|increase)"
    r"|\b(?:please|also) (?:check|make sure|verify|ensure|see|refer|try|consider)"
    r"|^\s*(?:hint|tip|note|suggestion)s?\s?[:!]|\bpossible (?:reasons?|causes?|solutions?)\b"
    r"|\bif you (?:suspect|are (?:not )?(?:running|using|trying)|believe|want|wish|see this)"
    r"|\bfor debugging consider|\bmake sure (?:that )?(?:your|you|the|all)"
    r"|\bmight be asynchronously reported",
    re.IGNORECASE,
)
# Each of the hedges above contains one of these, and most lines none of them: the long expression costs a microsecond a
# character.
_HINTS = (
    "can ", "could ", "may ", "might ", "possib", "potential", "likely", "this ", "typical", "usual", "often", "probabl",
    "consider", "try ", "you ", "please ", "also ", "hint", "tip", "note", "suggest", "make sure",
    "(ignored)",
)  # fmt: skip
# Whole lines that say of themselves that nothing has failed (tensorflow: bfc_allocator.cc; vllm, sglang: custom_all_reduce.py;
# Open MPI, PRRTE, PMIx: mca/base, "unable to open mca_op_avx: ... (ignored)").
_NO_FAILURE = (
    "the caller indicates that this is not a failure", "to silence this warning", "can be safely ignored",
    "you can safely ignore", "can safely be ignored", " (ignored)",
)  # fmt: skip
_ONE_MESSAGE = 1000  # characters; a longer line may hold several messages
_CLAUSE_BEGIN = Lazy(r"[.,;:!?(]\s+|(?<=[a-z0-9])\.(?=[A-Z])")
_SENTENCE_END = Lazy(r"[.!?;:](?=\s|$)|(?<=[a-z0-9])\.(?=[A-Z])")


@lru_cache(1024)  # one line is asked about by every wording that matches it
def spans(text: str) -> tuple[tuple[int, int], ...]:
    """The parts of a line that are advice, as (begin, end) offsets. Usually none.

    A piece begins with the clause that holds the hedge, not with the sentence: "group not found, please make sure
    that ..." states a fact first."""
    small = text.lower()
    for hint in _HINTS:  # not any(): it is asked of every line that is kept
        if hint in small:
            break
    else:
        return ()
    if len(text) <= _ONE_MESSAGE and any(phrase in small for phrase in _NO_FAILURE):
        return ((0, len(text)),)
    found: list[tuple[int, int]] = []
    for hedge in _HEDGES.re.finditer(text):
        begin = 0
        for boundary in _CLAUSE_BEGIN.re.finditer(text, 0, hedge.start() + 1):
            begin = boundary.end()
        end = _SENTENCE_END.re.search(text, hedge.end())
        found.append((begin, end.end() if end else len(text)))
    return tuple(found)


def is_advice(text: str, begin: int, end: int) -> bool:
    """Whether the part from `begin` to `end` lies wholly inside one piece of advice."""
    return any(b <= begin and end <= e for b, e in spans(text))
