"""One all-reduce and nothing else, no probes and no looks either: what a world costs by itself."""

from commcheck.worker.steps import Step

FIRST = (Step(op="all_reduce", size=4, reduce_op="sum"),)

LOOKS = False
VERIFY: tuple[Step, ...] = ()
