"""The settings that work here: the smallest environment with which a world forms on these hosts, found and proven by worlds.

What may not be here: a setting that was not tried and is not marked so.

model       a setting, a candidate, the hosts, and the answer
networks    by which interfaces and addresses all hosts can reach each other (pure)
choices     what may be set, from facts alone (pure)
search      which world to try next, and when the answer is proven (pure)
environment which of a shell's variables the worlds are tried with (pure)
advice      what is said of NCCL where neither a world with it can be tried nor its library be asked (pure)
survey      the facts of all hosts, and which ports are free and let through (effects)
trials      worlds, watched and judged (effects)
meeting     processes of a launcher's ranks, each on its host, and the directory where they meet (effects)
joined      worlds of these (effects)
nccl        NCCL's interface, by its library and by worlds of gloo's, where there is no GPU
answer      the whole
text        the answer for a reader
forms/      the answer for a shell, Slurm, torchrun, Kubernetes, a Dockerfile: one file each
"""
