"""A batch script for Slurm: its header, the settings, and srun."""

from __future__ import annotations

from shlex import quote

from commcheck.suggest.form import PROGRAM, Form, by_node, exports, shared, to_unset, with_defaults
from commcheck.suggest.model import Suggestion


def render(found: Suggestion) -> str:
    """Nodes and tasks as they were tried. `srun` sets no RANK: each task takes it from Slurm's own variables."""
    counts = {len(ranks) for ranks in found.ranks.values()}
    lines = ["#!/bin/bash", f"#SBATCH --nodes={len(found.hosts)}", f"#SBATCH --ntasks={found.size}"]
    if len(counts) == 1:
        lines.append(f"#SBATCH --ntasks-per-node={counts.pop()}")
    if len(found.hosts) > 1:
        names = [found.hostnames[h] for h in found.hosts]
        lines.append(f"#SBATCH --nodelist={','.join(names)}")
        if names != sorted(names):
            lines.append("# Slurm sorts its nodes: the first of them has rank 0, and MASTER_ADDR has to be that one's.")
    lines += [f"unset {name}" for name in to_unset(found)]
    lines += exports(with_defaults(shared(found)))
    task = [
        *by_node(found, "$SLURMD_NODENAME"),
        "export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID",
        f"exec python {PROGRAM}",
    ]
    lines.append("srun bash -c " + quote("\n".join(task)))
    return "\n".join(lines) + "\n"


FORM = Form(name="slurm", what="a batch script", render=render)
