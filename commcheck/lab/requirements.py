"""What a lab needs of the machine."""

import os
import shutil
import sys

from commcheck.lab.netlink import missing_package

PROGRAMS = ("ip", "nft", "tc", "nsenter")


def missing_requirement() -> str:
    """Why no lab can be built here, in one sentence; empty when it can."""
    if not sys.platform.startswith("linux"):
        return "a lab of virtual hosts needs Linux"
    if os.geteuid() != 0:
        return "a lab of virtual hosts needs root (namespaces, firewall rules)"
    without = missing_package()
    if without:
        return without
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return (
            f"a lab of virtual hosts needs the programs {', '.join(absent)} (packages iproute2, nftables, util-linux)"
        )
    return ""
