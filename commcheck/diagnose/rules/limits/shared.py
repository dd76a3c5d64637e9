"""What the rules of this folder share: limits of hosts, and errors that say that a limit was met."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from commcheck.model.base import remembered
from commcheck.model.case import Case, HostFacts, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind

UNLIMITED = -1


def soft(host: HostFacts, name: str) -> int | None:
    """The soft limit of a host's processes; None when it is unlimited or not known."""
    value = next((limit.soft for limit in host.limits if limit.name == name), None)
    return None if value == UNLIMITED else value


def hard(host: HostFacts, name: str) -> int | None:
    """The hard limit; None when it is unlimited or not known."""
    value = next((limit.hard for limit in host.limits if limit.name == name), None)
    return None if value == UNLIMITED else value


def of_host(host: HostFacts, text: str) -> Evidence:
    """A fact of a host as evidence."""
    return Evidence(kind=EvidenceKind.FACT, text=f"{host.host}: {text}", source="facts")


def ranks_on(case: Case, host: str) -> int:
    """How many ranks of the case run on a host."""
    return _counted(case.ranks)[host]


@remembered
def _counted(ranks: tuple[RankRecord, ...]) -> Counter[str]:
    return Counter(r.host for r in ranks)


def said(case: Case, patterns: Iterable[str]) -> Iterator[tuple[RankRecord, Evidence]]:
    """The ranks whose exception or output matches one of the patterns, each with its first such line."""
    if not case.ranks:
        return  # lint: compiling patterns that meet nothing would cost it a millisecond
    either = "|".join(f"(?:{p})" for p in patterns)
    search = re.compile(either, re.IGNORECASE).search
    anywhere = re.compile(either, re.IGNORECASE | re.MULTILINE).search
    for rank in case.ranks:
        if rank.finished:
            continue  # it got over it
        if rank.error is not None and search(rank.error.message):
            text = next((line for line in rank.error.message.splitlines() if search(line)), rank.error.message)
            yield rank, Evidence(kind=EvidenceKind.LOG, text=text[:400], rank=rank.name, source=rank.error.kind)
            continue
        if not anywhere("\n".join([line.text for line in rank.output])):
            continue  # of thousands of ranks nearly none says it: one search each
        line = next((line for line in rank.output if search(line.text)), None)
        if line is not None:
            yield (
                rank,
                Evidence(
                    kind=EvidenceKind.LOG,
                    text=line.text[:400],
                    rank=rank.name,
                    source=line.source,
                    line=line.number,
                ),
            )
