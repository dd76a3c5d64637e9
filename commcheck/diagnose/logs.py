"""Judging text: from the blocks of logs to a `Case`, and from a case's lines to matches of rules.

Three things keep this honest. A wording that many causes share has a low weight under each of them, so a timeout
alone gives several candidates and no verdict. What a peer says about a failure elsewhere loses to what the failing
rank says itself. And a failed log without a known wording is called exactly that, with its most unusual lines.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from commcheck.diagnose import blamed, crosscheck, doing, index, raising, retracted, scan, showing, worded
from commcheck.diagnose.consequences import plausible
from commcheck.diagnose.finding import Finding
from commcheck.diagnose.ingest import ras_text
from commcheck.diagnose.ingest.identities import Identities
from commcheck.diagnose.ingest.unpack import unpacked
from commcheck.diagnose.keeping import Budget, Kept, Source
from commcheck.diagnose.prefilter import shape_of
from commcheck.diagnose.rules.launch.unclassified import RULE as UNCLASSIFIED
from commcheck.model.case import Case, Ended, LogLine, Origin, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.ras import Answer
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import Stage, Symptom

_SCRIPT = "script-error"
_AS_THE_PROGRAM = ("disk-full", "fd-limit")  # what fails then is what the program was doing
_OF_SOFTWARE = frozenset({"library-missing", "version-mismatch"})
_WATCHDOG = "watchdog caught collective operation timeout"
_SUMMARIES = frozenset(
    {
        *("childfailederror", "exitcode", " terminated with ", "one or more processes exited", "exited with exit code"),
        "closing signal sigterm",
        *("engine core initialization failed", "scheduler hit an exception", "sigquit from a child"),
    }
)
_EVIDENCE = 5
_SURE = 0.6
_EARLY = (Stage.BUILD, Stage.SETUP)
_NOISE = 0.15
_EARLIER = 0.05  # of the confidence in a cause, where the job had not come so far
_TEXT = 2000  # of a line's text, for a report
_LISTED = 5  # names of sources in one sentence
_HOSTS = 64  # of one diagnosis
_ANSWERS = 3  # symptoms that are offered
_GUESS = 0.2
_WARNS, _WARNED = "NCCL WARN", 0.1
_ENDED = (Symptom.TRAIN_OTHER_FAILURE,)  # what a launcher says of an end: any other wording tells more


class Reading:
    """Logs as they are read, one after the other; `case` is what they tell so far, at any moment."""

    def __init__(self) -> None:
        self._budget, self._identities = Budget(), Identities()
        self._sources: list[Source] = []

    def source(self, name: str) -> Source:
        """Begin with the next log: feed it blocks, then `finish` it."""
        self._sources.append(Source(name, self._budget, self._identities))
        return self._sources[-1]

    def drop(self, source: Source) -> None:
        """Forget a source: it turned out to be no log."""
        self._sources.remove(source)

    @property
    def kept(self) -> int:
        """How many lines are kept so far: when it grows there may be more to say."""
        return sum(len(source.kept) for source in self._sources)

    def case(self) -> Case:
        """The evidence so far."""
        kept = [(source, source.lines()) for source in self._sources]
        lines = [self._line(one) for _, rows in kept for one in rows]
        answers = _answers(lines)
        hosts: dict[int, str] = {}
        for line in lines:
            if line.rank is not None and not hosts.get(line.rank):
                hosts[line.rank] = line.host
        return Case(
            origin=Origin.LOG,
            lines=tuple(lines),
            ranks=tuple(
                RankRecord(slot=slot, rank=rank, world_size=None, host=hosts[rank])
                for slot, rank in enumerate(sorted(hosts))
            ),
            ras=answers,
            complete=False,  # a log need not hold every rank
            ended=Ended.FAILED
            if any(a.failed for a in answers[-1:]) or any(scan.is_fatal(line.text) for line in lines)
            else Ended.NOT_RUN,
            not_read=(
                *_told("it is empty", "they are empty", [s.name for s in self._sources if s.empty]),
                *_told(
                    "no line in it tells of a failure",
                    "no line in them tells of a failure",
                    [source.name for source, rows in kept if not source.empty and not rows],
                ),
            ),
        )

    def _line(self, kept: Kept) -> LogLine:
        """A line with its rank, which another line of the same process may have told."""
        if kept.line.rank is not None:
            return kept.line
        rank = self._identities.rank(kept.line.host, kept.pid)
        if rank is None and kept.number is not None:
            rank = self._identities.meant(kept.number)
        return kept.line if rank is None else replace(kept.line, rank=rank)


def _answers(lines: Sequence[LogLine]) -> tuple[Answer, ...]:
    """What `ncclras` has printed among the lines; few logs hold any."""
    return ras_text.read(lines) if any(mark in line.text for line in lines for mark in ras_text.BEGINS) else ()


def _told(one: str, many: str, names: Sequence[str]) -> list[str]:
    """What is true of some sources, as a sentence for each, or for all together where they are many."""
    if len(names) <= _LISTED:
        return [f"{name}: {one}" for name in names]
    return [f"{len(names)} files: {many} ({', '.join(names[:_LISTED])}, ...)"]


def case_from_text(sources: Iterable[tuple[str, bytes | Iterable[bytes]]]) -> Case:
    """The case that logs make: name, and bytes or blocks of bytes, of each. Only lines that some rule or the time-line
    could want are kept. Compressed ones are unpacked.

    Raises InputError for a source that is not text."""
    reading = Reading()
    for name, data in sources:
        source = reading.source(name)
        for block in unpacked(name, [data] if isinstance(data, bytes) else data):
            source.feed(block)
        source.finish()
    return reading.case()


def log_matches(case: Case) -> tuple[tuple[Rule, Match], ...]:
    """What the case's text shows (its lines and the output of its ranks), the most confident first."""
    lines = (*case.lines, *(line for rank in case.ranks for line in rank.output))
    if not lines:
        return ()
    hits = _primary(retracted.without(scan.scan(lines), lines))
    stage = scan.stage_of(lines)
    by_cause: dict[str, list[scan.Hit]] = {}
    for hit in hits:
        by_cause.setdefault(hit.cause, []).append(hit)
    known = index.rules()
    progress = scan.last_progress(lines)
    survived = {
        cause
        for cause, found in by_cause.items()
        if cause in known and known[cause].stage in _EARLY and all(_went_on(hit, progress) for hit in found)
    }
    sure = any(_weight(found) >= _SURE for cause, found in by_cause.items() if cause not in survived)
    alone = () if sure else raising.findings(lines, hits)
    compared = (*alone, *crosscheck.findings(lines))
    sure = sure or any(finding.confidence >= _SURE and finding.cause in known for finding in compared)
    first = min((_position(h) for h in hits if h.signature.weight >= _SURE), default=(0.0, 0))
    symptoms = {
        cause: _symptoms(known[cause], found, lines, stage) for cause, found in by_cause.items() if cause in known
    }
    matches = {
        cause: _match(known[cause], by_cause[cause], likely, sure=sure, first=first, survived=cause in survived)
        for cause, (likely, *_) in symptoms.items()
    }
    matches = blamed.told(worded.fixed(matches, by_cause, lines), by_cause, lines)
    for cause in raising.too_early({cause: by_cause[cause] for cause in matches}, lines, stage):
        matches[cause] = replace(matches[cause], confidence=round(matches[cause].confidence - _EARLIER, 3))
    if sure:  # of what peers say beside a failure that names itself, the least likely is noise
        matches = plausible(matches, _NOISE)
    for finding in compared:
        before = matches.get(finding.cause)
        if finding.cause in known and (before is None or before.confidence < finding.confidence):
            found = _compared(known[finding.cause], finding, stage)
            matches[finding.cause] = replace(found, symptom=before.symptom) if before else found
        elif before is not None and finding.ranks:
            matches[finding.cause] = replace(before, ranks=finding.ranks)  # whom no line by itself can name
    if case.origin is Origin.LOG and all(match.confidence < scan.GENERIC_BELOW for match in matches.values()):
        best = max((match.confidence for match in matches.values()), default=0.0)
        unknown = unclassified(lines, stage, best=best) or (None if matches else warned(lines, stage))
        if unknown:
            likeliest = max(matches.values(), key=lambda match: match.confidence, default=unknown[1])
            matches[UNCLASSIFIED.cause] = replace(unknown[1], symptom=likeliest.symptom)  # whatever the cause
    pairs = [(UNCLASSIFIED if cause == UNCLASSIFIED.cause else known[cause], match) for cause, match in matches.items()]
    if case.origin is Origin.LOG:  # of a world the phase is known
        pairs += _otherwise(pairs, symptoms)
    return tuple(sorted(pairs, key=lambda pair: (-pair[1].confidence, pair[0].code)))


def _primary(hits: Sequence[scan.Hit]) -> list[scan.Hit]:
    """The hits without those that another hit explains.

    An exception that another wording of some cause describes is no fault of the script; an abort after the watchdog's
    verdict, or over NCCL's error, is their own doing; a launcher's summary adds nothing to what a rank has said itself."""
    described: dict[tuple[str, int], set[str]] = {}
    for hit in hits:
        if hit.cause != _SCRIPT:
            described.setdefault((hit.line.source, hit.line.number), set()).add(hit.signature.pattern)
    watchdog = any(h.signature.literal == _WATCHDOG or _thrown_by_nccl(h.line.text) for h in hits)
    told = any(not _summary(h) and scan.is_error(h.line.text) for h in hits)
    kept = []
    for hit in hits:
        generic = hit.signature.weight < scan.GENERIC_BELOW
        others = described.get((hit.line.source, hit.line.number), set()) - {hit.signature.pattern}
        if hit.cause == _SCRIPT and others and not _summary(hit):
            continue
        if watchdog and generic and hit.cause == "rank-crashed":
            continue
        if told and generic and _summary(hit):
            continue
        kept.append(hit)
    return kept


def _thrown_by_nccl(text: str) -> bool:
    """What the C++ run time says of an exception over NCCL's error that nobody caught."""
    return "what():" in text and "NCCL" in text


def _summary(hit: scan.Hit) -> bool:
    """A launcher's summary stands for the script's failure and the rank's exit alike."""
    return not _SUMMARIES.isdisjoint(hit.signature.literal.split(" | "))


def _compared(rule: Rule, finding: Finding, stage: Stage | None) -> Match:
    """What lines of several ranks show together."""
    return Match(
        symptom=showing.ranked(rule, stage, finding.shows)[0],
        title=rule.title,
        confidence=finding.confidence,
        ranks=finding.ranks,
        evidence=tuple(_evidence(line) for line in finding.lines),
        fixes=fixes_of(rule),
    )


def unclassified(lines: Sequence[LogLine], stage: Stage | None, best: float) -> tuple[Rule, Match] | None:
    """The answer without a known signature; None where no line tells of a failure at all.

    `best` is the confidence of the best candidate: where there are candidates, this one stands behind them."""
    if not any(scan.is_fatal(line.text) for line in lines):
        return None
    unusual = _unusual(scan.troubles(lines))
    match = Match(
        symptom=showing.ranked(UNCLASSIFIED, stage, doing.shown(lines))[0],
        title=UNCLASSIFIED.title,
        confidence=0.2 if best == 0.0 else min(0.2, best - 0.01),
        evidence=tuple(_evidence(line) for line in unusual),
    )
    return UNCLASSIFIED, match


def warned(lines: Sequence[LogLine], stage: Stage | None) -> tuple[Rule, Match] | None:
    """NCCL has warned, in words that no signature knows, and nothing tells that the job failed: shown, and not judged."""
    said = [line for line in lines if _WARNS in line.text and scan.is_trouble(line.text)]
    if not said:
        return None
    match = Match(
        symptom=showing.ranked(UNCLASSIFIED, stage, ())[0],
        title="NCCL has warned of something that commcheck does not know; whether it matters cannot be told from that",
        confidence=_WARNED,
        ranks=tuple(sorted({line.rank for line in said if line.rank is not None})),
        evidence=tuple(_evidence(line) for line in _unusual(said)),
    )
    return UNCLASSIFIED, match


def _weight(hits: Sequence[scan.Hit]) -> float:
    """What the wordings of one cause weigh together: the best, and a little for every other good one."""
    weights = sorted({hit.signature.pattern: hit.signature.weight for hit in hits}.values(), reverse=True)
    return min(0.97, weights[0] + sum(0.05 for weight in weights[1:] if weight >= 0.4))


def _went_on(hit: scan.Hit, progress: dict[str, int]) -> bool:
    """Whether the same log shows training behind this line, which itself ended nothing."""
    return progress.get(hit.line.source, 0) > hit.line.number and not scan.is_fatal(hit.line.text)


def _position(hit: scan.Hit) -> tuple[float, int]:
    """Where in time a hit is: by its clock where it has one, else by its line."""
    return (hit.line.seconds if hit.line.seconds is not None else 0.0, hit.line.number)


def _symptoms(
    rule: Rule, hits: Sequence[scan.Hit], lines: Sequence[LogLine], stage: Stage | None
) -> tuple[Symptom, ...]:
    """What a cause may show as, the likeliest first: what its weightiest wording says, or else what the program was
    doing, at the stage that its traceback tells, or else the rest of the log."""
    best = max(hits, key=lambda hit: (hit.cause != _SCRIPT and hit.signature.symptoms != _ENDED, hit.signature.weight))
    if best.cause in _OF_SOFTWARE and (shown := doing.installing(lines, best.line)):
        return shown
    shown = best.signature.symptoms
    if shown in ((), _ENDED) and best.cause in (_SCRIPT, *_AS_THE_PROGRAM):
        shown = doing.shown(lines, best.line)
    stage = showing.stage_at(lines, best.line) or stage
    symptoms = showing.ranked(rule, stage, shown, best.line.text)
    return (symptoms[0], *showing.undecided(symptoms, stage))


def _otherwise(
    pairs: Sequence[tuple[Rule, Match]], symptoms: dict[str, tuple[Symptom, ...]]
) -> list[tuple[Rule, Match]]:
    """The likeliest cause again as what else it may show as, where too little is told to know, behind all others."""
    roots = sorted((pair for pair in pairs if not pair[1].consequence), key=lambda pair: -pair[1].confidence)
    if not roots:
        return []
    rule, match = roots[0]
    said = {other.symptom for _, other in roots}
    least = min(other.confidence for _, other in roots)
    others = [symptom for symptom in symptoms.get(rule.cause, ()) if symptom not in said][
        : max(0, _ANSWERS - len(said))
    ]
    return [
        (
            rule,
            replace(
                match,
                symptom=symptom,
                title=f"{rule.title} ({showing.when(symptom)})",
                confidence=round(min(_GUESS, least / 2) / number, 3),
                fixes=(),
            ),
        )
        for number, symptom in enumerate(others, 1)
    ]


def _match(
    rule: Rule,
    hits: Sequence[scan.Hit],
    symptom: Symptom,
    *,
    sure: bool,
    first: tuple[float, int],
    survived: bool,
) -> Match:
    """One cause's hits as a match. `sure`: some cause has a wording of its own; `first`: where the first of those is."""
    confidence = _weight(hits)
    told_by_peers = rule.cause != _SCRIPT  # a program's exception is its own, however little it tells
    late = all(hit.late for hit in hits)
    follows = late or (sure and told_by_peers and not survived and confidence < scan.GENERIC_BELOW)
    if survived:
        confidence *= 0.5  # training went on after it, so it was a warning and no failure to set up
    elif sure and confidence < scan.GENERIC_BELOW:
        confidence *= 0.5  # timeouts and resets beside a failure that names itself are its consequences
    elif sure and confidence >= _SURE and min(map(_position, hits)) > first:
        confidence -= 0.03  # of several failures that name themselves, the first one leads
    named = {hit.named for hit in hits if hit.named is not None}
    own = {hit.line.rank for hit in hits if hit.line.rank is not None and hit.signature.weight >= scan.GENERIC_BELOW}
    return Match(
        symptom=symptom,
        title=rule.title,
        confidence=round(confidence, 3),
        ranks=tuple(sorted(named or own)),
        hosts=_hosts(hits, named),
        evidence=tuple(_evidence(hit.line) for hit in _different(hits)),
        fixes=fixes_of(rule),
        consequence=follows,
    )


def _hosts(hits: Sequence[scan.Hit], named: set[int]) -> tuple[str, ...]:
    """Where the lines were written, unless they blame a rank that may be elsewhere."""
    own = (hit for hit in hits if hit.signature.weight >= scan.GENERIC_BELOW)
    return () if named else tuple(dict.fromkeys(hit.line.host for hit in own if hit.line.host))[:_HOSTS]


def _different(hits: Sequence[scan.Hit]) -> list[scan.Hit]:
    """A few hits as evidence: the weightiest wordings first, each wording and rank once."""
    seen: set[tuple[bytes, int | None]] = set()
    chosen: list[scan.Hit] = []
    own = [hit for hit in hits if hit.signature.weight >= scan.GENERIC_BELOW]
    for hit in sorted(own or hits, key=lambda h: -h.signature.weight):
        key = (shape_of(hit.line.text), hit.line.rank)
        if key not in seen and len(chosen) < _EVIDENCE:
            seen.add(key)
            chosen.append(hit)
    return chosen


def _unusual(lines: Sequence[LogLine]) -> list[LogLine]:
    """The rarest error-like lines, in their order."""
    groups: dict[bytes, list[LogLine]] = {}
    for line in lines:
        groups.setdefault(shape_of(line.text), []).append(line)
    rare = sorted(groups.values(), key=lambda group: (len(group), group[0].number))[:_EVIDENCE]
    return sorted((group[0] for group in rare), key=lambda line: (line.source, line.number))


def _evidence(line: LogLine) -> Evidence:
    """A line as a report shows it."""
    return Evidence(kind=EvidenceKind.LOG, text=line.text[:_TEXT], rank=line.rank, source=line.source, line=line.number)


def fixes_of(rule: Rule, ranks: tuple[int, ...] = ()) -> tuple[Fix, ...]:
    """A rule's general repairs as fixes of a match."""
    return tuple(Fix(pattern=pattern, text=text, applies_to_ranks=ranks) for pattern, text in rule.fixes)
