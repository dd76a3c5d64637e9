"""The preflight's workload: every collective that jobs use, several dtypes and sizes.

The largest tensor has 64 KiB, so that a link of 1 Mbit/s still comes through."""

from commcheck.worker.steps import Step

LOOKS = True
FIRST = (Step(op="all_reduce", size=4, reduce_op="sum"),)

VERIFY = (
    Step(op="broadcast", size=1),
    Step(op="all_gather", size=8),
    Step(op="all_reduce", size=1, reduce_op="max"),
    Step(op="all_reduce", size=1000, dtype="float64", reduce_op="sum"),
    Step(op="all_reduce", size=16384, reduce_op="sum"),
    Step(op="all_reduce", size=257, dtype="int64", reduce_op="sum"),
    Step(op="all_reduce", size=64, dtype="bfloat16", reduce_op="max"),
    # Two of the same size: what swaps them is silent, and only the values and the calls show it.
    Step(op="all_reduce", size=64, reduce_op="sum"),
    Step(op="all_reduce", size=64, reduce_op="max"),
    Step(op="broadcast", size=4097, dtype="int32"),
    Step(op="all_gather", size=513, dtype="float64"),
    Step(op="reduce_scatter", size=33, reduce_op="sum"),
    Step(op="all_to_all", size=17),
    Step(op="send_recv", size=1025),
    Step(op="barrier", size=1),
)
