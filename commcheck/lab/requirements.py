"""What a lab needs of the machine."""

import os
import shutil
import subprocess
import sys
from functools import cache

from commcheck.lab.netlink import missing_package, no_links
from commcheck.lab.unprivileged import missing_inside
from commcheck.model.topology import Topology

PROGRAMS = ("ip", "nft", "ss", "tc", "nsenter", "unshare")


TRIALS = {
    "vlan": "link add a0 type veth peer name b0\nlink add link a0 name v0 type vlan id 5\n",
    "vxlan": "link add v0 type vxlan id 5 dstport 4789\n",
}
"""What a kernel may lack, as `ip -batch` makes it in a network of its own."""
TRIAL_SECONDS = 10.0


def missing_for(topology: Topology) -> str:
    """Why this topology cannot be built here, in one sentence; empty when it can. Kinds of links are tried, once each."""
    return missing_requirement() or next(
        filter(None, (_missing_kind(network.kind) for network in topology.networks)), ""
    )


@cache
def _missing_kind(kind: str) -> str:
    if kind not in TRIALS:
        return ""
    done = subprocess.run(
        ["unshare", "--net", "ip", "-batch", "-"],
        input=TRIALS[kind], capture_output=True, text=True, check=False, timeout=TRIAL_SECONDS,
    )  # fmt: skip
    return "" if done.returncode == 0 else no_links(kind)


def missing_requirement() -> str:
    """Why no lab can be built here, in one sentence; empty when it can."""
    if not sys.platform.startswith("linux"):
        return "a lab of virtual hosts needs Linux"
    if os.geteuid() != 0:
        return "a lab of virtual hosts needs root, of a user namespace at least (unprivileged.become_root enters one)"
    without = missing_package()
    if without:
        return without
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return (
            f"a lab of virtual hosts needs the programs {', '.join(absent)} (packages iproute2, nftables, util-linux)"
        )
    return missing_inside()
