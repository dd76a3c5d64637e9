"""Files with the output of the verbs tools among the paths of `commcheck diagnose`: a host's RDMA cards, known by what is in
them. What stands with them of NCCL's variables counts as the job's settings."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from commcheck.diagnose.ingest.verbs import Told
    from commcheck.model.case import Case

_HEAD = 1 << 13
_LARGEST = 1 << 20
"""Bytes of a file of such output: that of a host with many cards has some 100 KB (ibv_devinfo -v)."""
_SIGN = re.compile(
    rb"^(?:CA '[^'\n]+'\r?$|hca_id:\s|DEV\s+PORT\s+INDEX\s+GID\b|[^\n]{1,200} ==> \S+ \((?:Up|Down)\))", re.MULTILINE
)


class Cards:
    """The case of the hosts whose cards were shown, None where there are none, and the paths that hold something else."""

    def __init__(self, case: Case | None, rest: list[str]) -> None:
        self.case, self.rest = case, rest


def take(paths: list[str]) -> Cards:
    """Find and read such files."""
    told: dict[str, Told] = {}
    for path in dict.fromkeys(paths):
        found = _read(path)
        if found is not None:
            told[path] = found
    if not told:
        return Cards(None, paths)
    return Cards(_case(told), [path for path in paths if path not in told])


def beside(cards: Case, case: Case) -> Case:
    """A case of logs or dumps, with the hosts' cards."""
    return replace(
        case,
        hosts=(*case.hosts, *cards.hosts),
        environment=cards.environment | case.environment,
        not_read=(*case.not_read, *cards.not_read),
    )


def _read(path: str) -> Told | None:
    """What a file shows; None where that is no tool's output."""
    try:
        if path == "-" or not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as file:
            data = file.read(_HEAD)
            if not _SIGN.search(data):
                return None
            data += file.read(_LARGEST)
    except (OSError, ValueError):  # the reader of logs says why
        return None
    from commcheck.diagnose.ingest.verbs import read

    found = read(data.decode(errors="replace"))
    return found if found.cards and len(data) <= _LARGEST else None


def _case(told: dict[str, Told]) -> Case:
    """One host where the texts agree, else one for each file."""
    from commcheck.catalog.env.select import relevant
    from commcheck.diagnose.ingest.verbs import completed, merged
    from commcheck.model.case import Case, HostFacts, Origin

    together = merged(one.fabric for one in told.values())
    names = [os.path.basename(path) for path in told]
    if together is None and len(set(names)) < len(names):
        names = list(told)
    fabrics = [one.fabric for one in told.values()]
    shown = {", ".join(names): together} if together else dict(zip(names, fabrics, strict=True))
    settings = {name: value for one in told.values() for name, value in one.settings}
    whole = {name: completed(fabric) for name, fabric in shown.items()}
    return Case(
        origin=Origin.STATIC,
        hosts=tuple(HostFacts(host=name, fabric=fabric) for name, (fabric, _) in whole.items()),
        environment=relevant(settings),
        not_read=tuple(text for _, lacking in whole.values() for text in lacking),
    )
