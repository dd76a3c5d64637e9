"""What `ncclras` prints, read from a log's lines: any number of answers, one after the other, whole or in part.

The wordings are those of NCCL 2.24 to 2.30 (src/ras/client_support.cc: rasClientRunInit, rasClientRunComms,
rasClientBreakDownErrors). Until 2.25 counts of all collectives are taken together, and missing ranks are a list of numbers;
what is UNKNOWN there is NOCOMM later. Ranks and processes are named where they are few (see `commcheck.model.ras.Group`).

What may not be here: I/O, or judgement.
"""

import re
from collections.abc import Iterable

from msgspec.structs import replace

from commcheck.diagnose.lazy import Lazy
from commcheck.model.case import LogLine
from commcheck.model.ras import Answer, Communicator, Failure, Group, Member, Process, Said, Split

WORDS = (
    "job summary", "communicators... (", "considered dead (unreachable via", "missing communicator data from",
    " managed by process ", " managing gpu", ") incomplete", ") mismatch", ") error", "ranks have launched up to",
    "ranks have not launched any", "ranks have status", "ranks reported", "communicator ranks have different",
    "communication timeout", "the missing rank", "process information not found", "has status unknown", "peer_dead: ",
    "   running  ", "  finalize  ", "      init  ", "     abort  ",
)  # fmt: skip
"""Each line that is read has one of these."""

BEGINS = ("Job summary", "Communicators... (", "PEER_DEAD: ")
"""An answer begins with a line that has one of these."""
STATUS = "status"
_MOST = 20  # answers of one log that are kept: the last ones say how it stands

_BEGIN = Lazy(r"^Job summary$")
_COLLECTED = Lazy(r"^Communicators\.\.\. \([\d.]{1,12}s\)$")
_VERSION = Lazy(r"^NCCL version (?P<version>\d+\.\d+\.\d+)\S* compiled with CUDA")
_ROW = Lazy(
    r"^ *(?P<group>\d{1,6}) +\d{1,7} +\d{1,7} +\d{1,7}(?:-\d{1,7})? +(?P<size>\d{1,7}) +(?P<there>\d{1,7}) +"
    r"(?P<status>NOCOMM|UNKNOWN|INIT|RUNNING|FINALIZE|ABORT) +(?:OK|[A-Z,]{5,40})$"
)
_DEAD = Lazy(r"^(?P<count>\d{1,7}) job process(?:es are| is) considered dead \(unreachable via the RAS network\)$")
_SILENT = Lazy(r"^Missing communicator data from (?P<count>\d{1,7}) (?P<what>job process|rank)(?:es|s)?$")
_PROCESS = Lazy(r"Process (?P<pid>\d{1,9}) on node (?P<host>\S{1,64}) managing GPUs? ")
_OF = Lazy(r"^#(?P<group>\d{1,6})-\d{1,6} \((?P<hash>[0-9a-f]{16})\) (?:INCOMPLETE|ERROR|MISMATCH)$")
_RANK = Lazy(
    r"^Rank (?P<rank>\d{1,7})(?P<of> has launched up to operation \d{1,20}| has not launched any operations| has status \w{4,8}"
    r"| reported [\w ]{5,40}?)?(?: -- (?:GPU [^\n]{1,40} managed by process (?P<pid>\d{1,9}) on node (?P<host>\S{1,64})"
    r"|\[process information not found\]))?$"
)
_MANY = Lazy(
    r"^(?P<count>\d{1,7}) ranks (?P<of>have launched up to operation \d{1,20}|have not launched any operations|have status \w{4,8}"
    r"|reported [\w ]{5,40})$"
)
_DIFFER = Lazy(r"^Communicator ranks have different (?:(?P<op>\w{4,20}) operation counts|status)$")
_NUMBERS = Lazy(r"^The missing ranks?: (?P<ranks>[\d,]{1,200})$")
_TIMEOUTS = Lazy(r"^Encountered (?P<count>\d{1,7}) communication timeouts? while gathering communicator data$")
_GONE = Lazy(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] PEER_DEAD: ")


def read(lines: Iterable[LogLine]) -> tuple[Answer, ...]:
    """The answers in some lines, in their order."""
    reader = _Reader()
    for line in lines:
        reader.take(line)
    reader.end()
    return tuple(reader.answers[-_MOST:])


class _Reader:
    """Goes through the lines: an answer, in it a communicator, in that one what the ranks after it are named for."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._answer: Answer | None = None
        self._of: Communicator | None = None
        self._version = ""
        self._rows: dict[
            str, tuple[int, int, str]
        ] = {}  # by group: its communicators' size, the ranks that are there, status
        self._differ: tuple[str, Said] | None = None
        self._groups: list[Group] = []
        self._silent = False  # ranks that follow are missing
        self._dead = False  # processes that follow are dead
        self._members: dict[Process, None] = {}

    def end(self) -> None:
        """The answer is over."""
        self._close()
        if self._answer is not None:
            self.answers.append(replace(self._answer, whole=self._whole(), members=tuple(self._members)))
        self._members.clear()
        self._answer, self._rows = None, {}

    def _whole(self) -> int:
        """Of the largest communicators the size, unless they have more ranks together than one of them."""
        largest = max((size for size, _, _ in self._rows.values()), default=0)
        return largest if sum(there for size, there, _ in self._rows.values() if size == largest) <= largest else 0

    def take(self, line: LogLine) -> None:
        text = line.text.strip()
        if version := _VERSION.re.search(text):
            self._version = version["version"]
        elif _BEGIN.re.search(text):
            self.end()
            self._answer = Answer(source=line.source, version=self._version, seconds=line.seconds)
        elif _GONE.re.search(text):
            self._event(line, text)
        elif _COLLECTED.re.search(text) and self._answer is None:  # cut off at its head
            self._answer = Answer(source=line.source, version=self._version, seconds=line.seconds)
        elif self._answer is not None and self._answer.source == line.source:
            self._in_answer(self._answer, text, Said(text=text, line=line.number))

    def _event(self, line: LogLine, text: str) -> None:
        """`ncclras -m` tells of a process when it is given up."""
        found = _PROCESS.re.search(text)
        self.end()
        self.answers.append(
            Answer(
                source=line.source,
                seconds=line.seconds,
                dead=(_process(found),) if found else (),
                dead_count=1,
                said=(Said(text=text, line=line.number),),
            )
        )

    def _in_answer(self, answer: Answer, text: str, said: Said) -> None:
        if row := _ROW.re.search(text):
            self._rows[row["group"]] = (int(row["size"]), int(row["there"]), row["status"])
        elif found := _DEAD.re.search(text):
            self._dead = True
            self._answer = replace(answer, dead_count=int(found["count"]), said=(*answer.said, said))
        elif (found := _SILENT.re.search(text)) and found["what"] == "job process":
            self._dead = False
            self._answer = replace(answer, silent_count=int(found["count"]), said=(*answer.said, said))
        elif found and self._of is not None:
            self._silent = True
            self._of = replace(self._of, silent_count=int(found["count"]), said=(*self._of.said, said))
        elif found := _PROCESS.re.match(text):
            one = _process(found)
            self._members[one] = None
            whole = (*answer.said, said)
            self._answer = (
                replace(answer, dead=(*answer.dead, one), said=whole)
                if self._dead
                else replace(answer, silent=(*answer.silent, one), said=whole)
            )
        elif found := _TIMEOUTS.re.search(text):
            self._close()
            self._answer = replace(self._answer or answer, timeouts=int(found["count"]))
        elif found := _OF.re.search(text):
            self._close()
            size, _, status = self._rows.get(found["group"], (0, 0, ""))
            self._of = Communicator(name=text.split(" ", 1)[0], identity=found["hash"], size=size, status=status)
        elif self._of is not None:
            self._in_communicator(self._of, text, said)

    def _in_communicator(self, of: Communicator, text: str, said: Said) -> None:
        if found := _DIFFER.re.search(text):
            self._part()
            op = found["op"] or ""
            self._differ = ("" if op == "collective" else op or STATUS, said)
        elif found := _NUMBERS.re.search(text):
            ranks = tuple(Member(rank=int(n)) for n in found["ranks"].split(",") if n)
            self._of = replace(of, silent=(*of.silent, *ranks), said=(*of.said, said))
        elif found := _MANY.re.search(text):
            self._many(of, int(found["count"]), found["of"], said)
        elif found := _RANK.re.search(text):
            process = _process(found) if found["pid"] else None
            member = Member(rank=int(found["rank"]), process=process)
            if process is not None:
                self._members[process] = None
                of = self._of = replace(of, members=(*of.members, member))
            self._one(of, member, (found["of"] or "").strip(), said)

    def _many(self, of: Communicator, count: int, what: str, said: Said) -> None:
        """Ranks that are alike; those of them that are named follow."""
        self._silent = False
        if what.startswith("reported "):
            failure = Failure(error=what.removeprefix("reported "), count=count, said=said)
            self._of = replace(of, failures=(*of.failures, failure))
            return
        self._groups.append(Group(value=_value(what), count=count))

    def _one(self, of: Communicator, member: Member, what: str, said: Said) -> None:
        """A rank by itself, or one of those just told of."""
        if what.startswith("reported "):
            failure = Failure(error=what.removeprefix("reported "), count=1, said=said, members=(member,))
            self._of = replace(of, failures=(*of.failures, failure))
        elif what:
            self._groups.append(Group(value=_value(what), count=1, members=(member,)))
        elif self._silent:
            self._of = replace(of, silent=(*of.silent, member), said=(*of.said, said))
        elif self._differ is not None and self._groups:
            last = self._groups[-1]
            self._groups[-1] = replace(last, members=(*last.members, member))
        elif of.failures:
            *before, last_failure = of.failures
            self._of = replace(of, failures=(*before, replace(last_failure, members=(*last_failure.members, member))))

    def _part(self) -> None:
        """A comparison of the ranks is over."""
        if self._of is not None and self._differ is not None and self._groups:
            what, said = self._differ
            self._of = replace(
                self._of, splits=(*self._of.splits, Split(what=what, groups=tuple(self._groups), said=said))
            )
        self._differ, self._groups, self._silent = None, [], False

    def _close(self) -> None:
        """A communicator's part is over; one may have several."""
        self._part()
        if self._of is not None and self._answer is not None:
            merged: list[Communicator] = []
            new: Communicator | None = self._of
            for one in self._answer.communicators:
                if new is not None and one.name == new.name:
                    merged.append(_joined(one, new))
                    new = None
                else:
                    merged.append(one)
            self._answer = replace(self._answer, communicators=(*merged, *([new] if new is not None else [])))
        self._of = None
        self._dead = False


def _joined(one: Communicator, other: Communicator) -> Communicator:
    return replace(
        one,
        silent=(*one.silent, *other.silent),
        silent_count=max(one.silent_count, other.silent_count),
        failures=(*one.failures, *other.failures),
        splits=(*one.splits, *other.splits),
        said=(*one.said, *other.said),
        members=(*one.members, *other.members),
    )


def _process(found: re.Match[str]) -> Process:
    return Process(pid=int(found["pid"]), host=found["host"])


def _value(what: str) -> str:
    """A count, or a status; UNKNOWN is what 2.24 and 2.25 call NOCOMM."""
    last = what.rsplit(" ", 1)[-1]
    return "0" if last == "operations" else "NOCOMM" if last == "UNKNOWN" else last
