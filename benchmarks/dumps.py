"""Flight-recorder pickles of many ranks, as torch writes them: how long they take to read, opcode by opcode and as it is done,
and to be judged. Ratios, side by side.

    python benchmarks/dumps.py [--ranks 1024] [--entries 2000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from commcheck.cli.dumps import take
from commcheck.diagnose.ingest import flight_recorder
from commcheck.diagnose.ingest.plain_pickle import load
from commcheck.diagnose.match import judge

OPS = ("all_reduce", "_all_gather_base", "_reduce_scatter_base", "broadcast")
EXPECTED = 10.0
SHAPES = 24
"""Sizes of tensors: a model has so many kinds of layers, and their order repeats with every step."""


def _integer(value: int) -> bytes:
    if 0 <= value < 1 << 16:
        return struct.pack("<cB", b"K", value) if value < 1 << 8 else struct.pack("<cH", b"M", value)
    return struct.pack("<ci", b"J", value) if abs(value) < 1 << 31 else b"\x8a\x08" + struct.pack("<q", value)


class Pickler:
    """c10's (torch/csrc/jit/serialization/pickler.cpp), as far as a dump needs it: protocol 2; texts are
    remembered, and the frames that stacks share; no list is."""

    def __init__(self) -> None:
        self.out = bytearray(b"\x80\x02")
        self._known: dict[object, int] = {}

    def write(self, value: object) -> None:
        """Any value of a dump."""
        out = self.out
        match value:
            case None:
                out += b"N"
            case bool():
                out += b"\x88" if value else b"\x89"
            case int():
                out += _integer(value)
            case float():
                out += struct.pack(">cd", b"G", value)
            case str():
                self._once(value, lambda: self._text(value))
            case tuple():
                for part in value:
                    self.write(part)
                out += b"\x86"
            case list():
                out += b"]("
                for part in value:
                    self.write(part)
                out += b"e"
            case dict() if "filename" in value:  # a frame
                self._once(id(value), lambda: self._dict(value))
            case dict():
                self._dict(value)

    def _dict(self, value: dict[str, object]) -> None:
        self.out += b"}("
        for key, part in value.items():
            self.write(key)
            self.write(part)
        self.out += b"u"

    def _text(self, value: str) -> None:
        data = value.encode()
        self.out += b"X" + struct.pack("<I", len(data)) + data

    def _once(self, key: object, write: Callable[[], None]) -> None:
        """Written the first time, then referred to."""
        at = self._known.get(key)
        if at is not None:
            self.out += struct.pack("<cB", b"h", at) if at < 1 << 8 else struct.pack("<cI", b"j", at)
            return
        write()
        at = self._known[key] = len(self._known)
        self.out += struct.pack("<cB", b"q", at) if at < 1 << 8 else struct.pack("<cI", b"r", at)


def dump(rank: int, ranks: int, entries: int, *, late: bool) -> bytes:
    """One rank's. A rank that is late has not issued the last call."""
    names = ("all_reduce", "wrapper", "forward", "step", "train", "<module>")
    frames = [
        [{"name": n, "filename": f"/opt/train/{n}.py", "line": 100 + kind} for n in names] for kind in range(SHAPES)
    ]
    rows = []
    for number in range(entries - late):
        kind = number % SHAPES
        last = number == entries - 1
        rows.append({
            "frames": frames[kind][: 4 + kind % 3],
            "record_id": 5000 + number,
            "pg_id": 0,
            "process_group": ("0", "default_pg"),
            "thread_name": "python",
            "thread_id": "140670086163328",
            "collective_seq_id": 5001 + number,
            "p2p_seq_id": 0,
            "op_id": 5001 + number,
            "profiling_name": f"nccl:{OPS[kind % len(OPS)]}",
            "time_created_ns": 1_795_324_965_000_000_000 + number * 3_000_000 + rank,
            "input_sizes": [[1024, 64 * (1 + kind)]],
            "input_dtypes": ["BFloat16"],
            "output_sizes": [[1024, 64 * (1 + kind)]],
            "output_dtypes": ["BFloat16"],
            "state": "started" if last else "completed",
            "time_discovered_started_ns": 1_795_324_965_000_400_000 + number * 3_000_000,
            "time_discovered_completed_ns": None if last else 1_795_324_965_000_900_000 + number * 3_000_000,
            "retired": not last,
            "timeout_ms": 600_000,
            "is_p2p": False,
        })  # fmt: skip
    members = ", ".join(map(str, range(ranks)))
    config = {"0": {"name": "0", "desc": "default_pg", "ranks": f"[{members}]"}}
    pickler = Pickler()
    pickler.write({"version": "2.10", "pg_config": config, "entries": rows})
    return bytes(pickler.out) + b"."


def main() -> int:
    """Make, read in both ways, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=1024)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        late = args.ranks * 2 // 3
        for rank in range(args.ranks):
            path = folder / f"nccl_trace_rank_{rank}"
            if not path.exists():
                path.write_bytes(dump(rank, args.ranks, args.entries, late=rank == late))
        one = (folder / "nccl_trace_rank_0").read_bytes()
        every, quick = (min(_seconds(one, copying) for _ in range(5)) for copying in (False, True))
        assert load(one, copying=False) == load(one)
        print(f"one dump of {args.entries} entries, {len(one) / 1e6:.2f} MB, processor time:")
        print(f"  every opcode      {1e3 * every:8.1f} ms")
        print(f"  as it is read     {1e3 * quick:8.1f} ms   {every / quick:.1f} times as fast")
        begin, cpu = time.perf_counter(), time.process_time()
        taken = take([str(folder)])
        read, read_cpu = time.perf_counter() - begin, time.process_time() - cpu
        assert taken.case is not None
        begin = time.perf_counter()
        found = judge(taken.case).diagnoses[0]
        print(
            f"{args.ranks} of them: read in {read:.1f} s ({read_cpu:.1f} s of processor time), judged in {time.perf_counter() - begin:.1f} s"
        )
        print(
            f"  most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB; {found.cause} on {found.ranks}"
        )
        return 0 if found.ranks == (late,) and every / quick >= EXPECTED else 1


def _seconds(data: bytes, copying: bool) -> float:
    begin = time.process_time()
    if copying:
        flight_recorder.parse("rank_0", data)
    else:
        for entry in cast("dict[str, list[object]]", load(data, copying=False))["entries"]:
            flight_recorder.call_of(entry)
    return time.process_time() - begin


if __name__ == "__main__":
    sys.exit(main())
