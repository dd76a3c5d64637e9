"""Whether gloo has the call that the ranks are to issue (the workload `call`): what worlds have shown, and no more."""

from __future__ import annotations

from commcheck.model.calls import REDUCING
from commcheck.model.taxonomy import Symptom
from commcheck.predict.model import Part, Prediction, Ranks, fails

MISSING_TYPES = frozenset({"int16", "uint16", "float8_e5m2", "float8_e4m3fn"})
"""Gloo says "Invalid scalar type" of these, whatever the call; a barrier brings no elements."""


def types(ranks: Ranks) -> Prediction | None:
    """The type of the elements is one that gloo knows, and what it does with it is what torch would do."""
    if ranks.plan.workload != "call":
        return None
    for rank in ranks.plan.ranks:
        told = rank.environment
        op, dtype = told.get("COMMCHECK_CALL_OP", "all_reduce"), told.get("COMMCHECK_CALL_DTYPE", "float32")
        if dtype in MISSING_TYPES and op != "barrier":
            return fails("op-unsupported", Symptom.TRAIN_NOT_IMPLEMENTED, f"gloo has no {op} of {dtype}", (rank.slot,))
        if dtype == "bool" and op in REDUCING and told.get("COMMCHECK_CALL_REDUCE", "sum") == "sum":
            why = f"gloo adds up the bytes of a bool: an {op} gives 2 for two that are true, and nothing for 256"
            return fails("wrong-values", Symptom.PERF_UNEXPECTED_RESULT, why)
    return None


PARTS: tuple[Part, ...] = (types,)
