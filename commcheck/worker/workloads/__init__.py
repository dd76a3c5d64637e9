"""What ranks communicate: each module exports FIRST and VERIFY, the calls of those phases, and LOOKS: whether the ranks
also probe each other, name the members and read the kernel's tables. New workload, new file.

A workload may also have a program of its own: `prepare(ctx)` is called at the end of the first collectives' phase, where
a job loads data and model, and `train(ctx)` in the steady phase, after the pairs are measured, and
`leave(ctx)` before it leaves the group. One with `host(serve, where)` has ranks forked, or run, from inside of a program
of its own: it calls `serve` when that is ready; `where` is what the launcher was told beside the workload's name."""
