"""PyTorch's flight recorder: the dumps of some ranks -> a `Case` of the group of ranks in which the trouble began.

A dump is a dict, as JSON (`_dump_fr_trace_json`, `_dump_nccl_trace_json`) or pickled (`_dump_fr_trace`,
`TORCH_FR_DUMP_TEMP_FILE` + rank): `version`, `pg_config` (the groups), and `entries`, a ring buffer of the calls that
this rank has issued (torch/csrc/distributed/c10d/FlightRecorder.hpp and FlightRecorderDetail.hpp; version 2.10 of the
format; 1.x and 2.x differ in fields that are not read here). Three things about it are not obvious:

- The rank is in the file's name alone.
- `collective_seq_id` counts per group, and is what tells which calls of two ranks belong together.
- A call between two ranks has no such number: it says "send 0->1" or "recv 1<-0", in ranks of its group, and the two sides
  are told to belong together by their order alone, as long as nothing was forgotten. Only NCCL's are recorded.
- gloo's calls stay "scheduled" for ever; that one has ended shows as `retired`, and so does one that timed out. NCCL's
  become "completed", and a retired one that is not completed has timed out.

What may not be here: files; `pickle`; judgement about causes, which the rules make of the case.
"""

import re
import sys
from collections.abc import Iterable, Sequence

import msgspec

from commcheck.diagnose.ingest.plain_pickle import NotPlainError, load
from commcheck.diagnose.ingest.repeats import Alike, Maker
from commcheck.errors import InputError
from commcheck.model.base import Value

_HEAD = 1 << 16
_LARGE = 1 << 63
_JSON_SIGNS = (b'"pg_config"', b'"pg_status"', b'"entries"', b'"collective_seq_id"')
_PICKLE_SIGNS = (b"pg_config", b"pg_status", b"entries")
_RANKS = re.compile(r"\d{1,7}")
_BETWEEN = re.compile(r"(?:send|recv) \d{1,7}(?:->|<-)(\d{1,7})$")
_NAMED_RANK = re.compile(r"rank[_-]?(\d{1,7})", re.IGNORECASE)
_LAST_NUMBER = re.compile(r"(\d{1,7})(?=\D*$)")

DTYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
}  # fmt: skip
"""c10::toString(ScalarType) -> the name in Python."""
OPS = {
    "_all_gather_base": "all_gather_into_tensor",
    "_reduce_scatter_base": "reduce_scatter_tensor",
    "all_reduce_barrier": "barrier",
    "_broadcast_oop": "broadcast",
    "_reduce_oop": "reduce",
}
"""Names inside torch -> those that a program calls."""
_BY_OUTPUT = frozenset(("scatter",))
"""Where the ranks must agree in the output's size: only the root has an input."""
_OWN_SIZES = ("all_to_all", "_v", "coalesced", "send", "recv", "split")
"""Where every rank may bring another size."""


class Call(Value, frozen=True):
    """A call in a dump. `seq` counts from 1 within its group; `elements` is what the ranks must agree in, 0 where
    they need not; `ended`: it has come back, in whatever way; `created` in seconds since the epoch; `frames`: where it
    was called, the innermost first, of a rank's newest call alone; empty in JSON. `peer`: of a send or recv, the other
    one's rank in the group; None of a collective."""

    seq: int
    op: str
    elements: int
    dtype: str
    group: str
    ended: bool
    backend: str
    created: float
    timeout: float = 0.0
    peer: int | None = None
    frames: tuple[str, ...] = ()


class Dump(Value, frozen=True):
    """What one rank had recorded. `groups`: the ranks of each group that the dump names, by the group's name. `whole`:
    the name of the group of all ranks, empty where none of its calls is there. `forgotten`: there were older calls."""

    rank: int
    source: str
    calls: tuple[Call, ...]
    groups: dict[str, tuple[int, ...]]
    whole: str = ""
    forgotten: bool = False


def is_dump(data: bytes) -> bool:
    """Whether a file's bytes look like a recorder's dump; cheap, and wrong only for what imitates one."""
    head = data[:_HEAD].lstrip()
    if head.startswith(b"{"):
        return b'"version"' in data and sum(sign in data for sign in _JSON_SIGNS) >= 2
    return head.startswith((b"\x80", b"}", b"(d")) and all(sign in data for sign in _PICKLE_SIGNS[:1])


def parse(name: str, data: bytes, rank: int | None = None) -> Dump:
    """One dump. `rank` where it is known; else the file's name must tell it.

    Raises InputError, naming the file, for what is no dump, or a pickle that is no plain data."""
    made = _Made()
    value = _decoded(name, data, made)
    found = rank_of(name) if rank is None else rank
    if found is None:
        raise InputError(f"{name}: its name does not tell the rank: name it like nccl_trace_rank_3")
    calls: list[Call] = []
    newest: tuple[int, dict[object, object]] = (0, {})
    entries = _list(value.get("entries"))
    for entry in entries:
        if type(entry) is Call:  # nearly always
            calls.append(entry)
            continue
        call = call_of(entry)
        if call is not None and isinstance(entry, dict):
            calls.append(call)
            newest = (len(calls), entry)
            if is_whole(entry):
                made.whole.add(call.group)
    if calls:  # of thousands of calls, the stacks would take most of the time and memory
        last = newest[1] if newest[0] == len(calls) else made.newest
        calls[-1] = msgspec.structs.replace(calls[-1], frames=_frames(last.get("frames")))
    whole = next((call.group for call in reversed(calls) if call.group in made.whole), "")
    oldest = entries[0].get("record_id") if entries and isinstance(entries[0], dict) else 0
    return Dump(
        rank=found,
        source=name,
        calls=tuple(calls),
        groups=_groups(value.get("pg_config")),
        whole=whole,
        forgotten=_int(oldest) > 0,
    )


class _Made:
    """The calls of entries that differ in numbers alone, without a dict for each. `whole`: the groups of all ranks; `newest`: an
    entry that is as the last one was, but for numbers."""

    def __init__(self) -> None:
        self.whole: set[str] = set()
        self.newest: dict[object, object] = {}

    def __call__(self, first: dict[object, object], keys: list[object]) -> Maker | None:
        call = call_of(first)
        if call is None or not _list(first.get("process_group")):  # the group may be told by a number
            return None
        if is_whole(first):
            self.whole.add(call.group)
        at = {key: n for n, key in enumerate(keys)}
        seq = at.get("collective_seq_id" if "collective_seq_id" in first else "seq_id")
        created, timeout = at.get("time_created_ns"), at.get("timeout_ms")

        def make(numbers: Sequence[int | float]) -> Call:
            self.newest = first
            return Call(
                seq=call.seq if seq is None else _int(numbers[seq]),
                op=call.op,
                elements=call.elements,
                dtype=call.dtype,
                group=call.group,
                ended=call.ended,
                backend=call.backend,
                created=call.created if created is None else _int(numbers[created]) / 1e9,
                timeout=call.timeout if timeout is None else _int(numbers[timeout]) / 1e3,
                peer=call.peer,
            )

        return make


def decoded(name: str, data: bytes) -> dict[object, object]:
    """The dict that a dump is. Raises InputError, as `parse` does."""
    return _decoded(name, data, None)


def _decoded(name: str, data: bytes, alike: Alike | None) -> dict[object, object]:
    if data[:_HEAD].lstrip().startswith(b"{"):
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{name} is no whole JSON of a flight recorder ({error}): copy it again") from error
    else:
        try:
            value = load(data, alike)
        except NotPlainError as error:
            raise InputError(f"{name} is no flight recorder's pickle that can be trusted: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{name} is no flight recorder's dump: it holds a {type(value).__name__}")
    return value


def rank_of(name: str) -> int | None:
    """The rank in a file's name: `nccl_trace_rank_3`, `fr_7.json`, `trace12`."""
    base = name.replace("\\", "/").rpartition("/")[2]
    match = _NAMED_RANK.search(base) or _LAST_NUMBER.search(base)
    return int(match[1]) if match else None


def is_whole(entry: dict[object, object]) -> bool:
    """The entry is a call of the group of all ranks."""
    group = entry.get("process_group")
    return isinstance(group, list | tuple) and len(group) > 1 and group[1] == "default_pg"


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _int(value: object) -> int:
    """A number, whether it is one or written as text; 0 for what is neither."""
    if type(value) is int and -_LARGE < value < _LARGE:  # nearly always
        return value
    if isinstance(value, int | float) and abs(value) < _LARGE:
        return int(value)
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else 0


def _groups(config: object) -> dict[str, tuple[int, ...]]:
    """The ranks of each group. They are written as text: "[0, 1]"."""
    found: dict[str, tuple[int, ...]] = {}
    for name, about in config.items() if isinstance(config, dict) else ():
        ranks = about.get("ranks") if isinstance(about, dict) else None
        numbers: Iterable[int] = ()
        if isinstance(ranks, str):
            numbers = map(int, _RANKS.findall(ranks))
        elif isinstance(ranks, list | tuple):
            numbers = (r for r in ranks if isinstance(r, int))
        known = tuple(sorted(set(numbers)))
        if known:
            found[str(name)] = known
    return found


def call_of(entry: object) -> Call | None:
    """A collective, or a send or recv; None for what is no entry, and for a call between ranks that does not say which."""
    name = entry.get("profiling_name") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(name, str):
        return None
    between = _BETWEEN.search(name) if entry.get("is_p2p") is True else None
    if between is None and entry.get("is_p2p") is True:
        return None
    backend, _, op = name.rpartition(":")
    op = op.strip().partition(" ")[0]
    group = entry.get("process_group")
    label = str(group[0]) if isinstance(group, list | tuple) and group else str(entry.get("pg_id", ""))
    by_output = op in _BY_OUTPUT or (between is not None and op == "recv")
    sizes, dtypes = ("output_sizes", "output_dtypes") if by_output else ("input_sizes", "input_dtypes")
    own = between is None and any(part in op for part in _OWN_SIZES)
    types = _list(entry.get(dtypes))
    kind = str(types[0]) if types else ""
    state = entry.get("state")
    return Call(
        seq=_int(entry.get("collective_seq_id", entry.get("seq_id"))),
        op=sys.intern(OPS.get(op, op)),  # a thousand dumps name the same few
        elements=0 if own else elements_in(entry.get(sizes)),
        dtype=sys.intern(DTYPES.get(kind, kind.lower())),
        group=sys.intern(label),
        ended=state == "completed" or (backend == "gloo" and entry.get("retired") is True),
        backend=sys.intern(backend),
        created=_int(entry.get("time_created_ns")) / 1e9,
        timeout=_int(entry.get("timeout_ms")) / 1e3,
        peer=int(between[1]) if between else None,
    )


def elements_in(sizes: object) -> int:
    """How many elements tensors of these sizes have together."""
    total = 0
    for size in _list(sizes):
        product = 1
        for dim in _list(size):
            product *= max(0, _int(dim))
        total += product
    return min(total, 1 << 62)


def _frames(frames: object) -> tuple[str, ...]:
    return tuple(
        f"{frame.get('name', '?')} ({frame.get('filename', '?')}:{_int(frame.get('line'))})"
        for frame in _list(frames)[:64]
        if isinstance(frame, dict)
    )
