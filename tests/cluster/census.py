"""Count what a lab could leave behind: processes, namespaces, links, mounts, control groups, files."""

import os
import subprocess
import time
from pathlib import Path

GONE_SECONDS = 3.0


def descendants(root):
    """All live processes below `root`, by the parent links."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found, fresh = set(), {root}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def namespaces(kind, pids=None):
    """The ids of the namespaces that live processes are in, but our own."""
    own = str(Path(f"/proc/self/ns/{kind}").readlink())
    ids = set()
    for entry in Path("/proc").iterdir() if pids is None else [Path("/proc", str(pid)) for pid in pids]:
        if entry.name.isdigit():
            try:
                ids.add(str((entry / "ns" / kind).readlink()))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return ids - {own}


def machine():
    """What a lab must never touch on the machine itself."""
    return {
        "netns": subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout,
        "links": subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout,
        "addresses": subprocess.run(["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=True).stdout,
        "rules": subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout,
        "mounts": Path("/proc/self/mounts").read_text(),
        "hosts": Path("/etc/hosts").read_text(),
        "resolv": Path("/etc/resolv.conf").read_text(),
        "hostname": os.uname().nodename,
        "etc-netns": sorted(str(p) for p in Path("/etc/netns").glob("*")),
    }


def wait_until(condition, seconds=GONE_SECONDS):
    """True as soon as `condition()` is; the kernel reports the end of somebody else's child by no event."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def gone(pids):
    """None of these processes is alive (a zombie is not)."""
    for pid in pids:
        try:
            if Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                return False
        except (FileNotFoundError, ProcessLookupError):
            continue
    return True
