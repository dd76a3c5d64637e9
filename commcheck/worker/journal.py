"""The writing end of a rank's journal."""

import errno
import os
import time
from collections.abc import Callable
from threading import Lock

from msgspec.structs import replace

from commcheck.model import journal as lines
from commcheck.model.case import Collective, PairMeasure, Probe, Published, RankError, Socket, ValueCheck
from commcheck.model.phase import Phase


class Journal:
    """Writes events to `fd`, one `write` each, from any thread of the rank."""

    def __init__(self, fd: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._fd = fd
        self._clock = clock
        self._lock = Lock()
        self._issued = 0

    def _write(self, event: lines.Event) -> None:
        data = lines.encode(event)
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]

    def began(self, phase: Phase) -> None:
        """Say that `phase` begins."""
        self._write(lines.Began(at=self._clock(), phase=phase))

    def finished(self, phase: Phase, note: str) -> None:
        """Say that `phase` is done."""
        self._write(lines.Finished(at=self._clock(), phase=phase, note=note))

    def failed(self, phase: Phase, error: BaseException) -> None:
        """Say which exception ended the rank."""
        text = str(error)[:4000]
        kind, full = type(error).__name__, _no_descriptor_left()
        self._write(
            lines.Failed(
                at=self._clock(), error=RankError(phase=phase, kind=kind, message=text, no_descriptor_left=full)
            )
        )

    def claimed(
        self, rank: int | None, world_size: int | None, versions: dict[str, str], backends: tuple[str, ...]
    ) -> None:
        """Say who this rank takes itself to be."""
        self._write(
            lines.Claimed(at=self._clock(), rank=rank, world_size=world_size, versions=versions, backends=backends)
        )

    def probed(self, probe: Probe) -> None:
        """Report one probe."""
        self._write(lines.Probed(at=self._clock(), probe=probe))

    def tries(self, ranks: tuple[int, ...]) -> None:
        """Report whom this rank sets out to connect to."""
        self._write(lines.Tries(at=self._clock(), ranks=ranks))

    def carriers(self, changes: dict[str, int]) -> None:
        """Report how often the interfaces' carriers have changed."""
        self._write(lines.Carriers(at=self._clock(), changes=changes))

    def told(self, published: Published) -> None:
        """Report one published address."""
        self._write(lines.Told(at=self._clock(), published=published))

    def issued(self, collective: Collective) -> int:
        """Record a call that is about to be made; its index is assigned here and returned."""
        index = self._issued
        self._issued += 1
        self._write(lines.Issued(at=self._clock(), collective=replace(collective, index=index)))
        return index

    def returned(self, index: int) -> None:
        """Record that the call came back."""
        self._write(lines.Returned(at=self._clock(), index=index))

    def checked(self, check: ValueCheck) -> None:
        """Report a comparison with a reference value."""
        self._write(lines.Checked(at=self._clock(), check=check))

    def saw(self, sockets: tuple[Socket, ...]) -> None:
        """Report this process's sockets."""
        self._write(lines.Saw(at=self._clock(), sockets=sockets))

    def met(self, members: tuple[tuple[int, int], ...]) -> None:
        """Report the members of the group."""
        self._write(lines.Met(at=self._clock(), members=members))

    def waits(self, ranks: tuple[int, ...]) -> None:
        """Report the ranks that are waited for."""
        self._write(lines.Waits(at=self._clock(), ranks=ranks))

    def noted(self, kind: str, text: str) -> None:
        """Pass on what the workload's own program says."""
        self._write(lines.Noted(at=self._clock(), kind=kind, text=text))

    def measured(self, pair: PairMeasure) -> None:
        """Report a pair's latency and bandwidth."""
        self._write(lines.Measured(at=self._clock(), pair=pair))


def _no_descriptor_left() -> bool:
    """This process can open nothing more. Libraries say that in other words: gloo takes it for an unknown address."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno == errno.EMFILE
    return False
