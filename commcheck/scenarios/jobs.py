"""Many scenarios: several at once, each worker a thread with a warm process of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from commcheck.errors import CommcheckError
from commcheck.scenarios.load import Found
from commcheck.scenarios.run import Kept, Runner
from commcheck.scenarios.score import Outcome, failed

Said = Callable[[Outcome], None]


def run_all(wanted: Sequence[Found], jobs: int, said: Said, kept: Kept | None = None) -> tuple[Outcome, ...]:
    """Run all, `jobs` at a time, and give their outcomes in the order of `wanted`; `said` is called with each as it ends
    (by one thread at a time), `kept` with all that was seen of it (by several at once). One that fails for our own
    reasons does not stop the others."""
    # The dear ones first: a long one that comes last would keep the other workers waiting.
    order = sorted(range(len(wanted)), key=lambda i: -wanted[i].scenario.world.size)
    left: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in order:
        left.put(number)
    rows: dict[int, Outcome] = {}
    lock, stop = threading.Lock(), threading.Event()
    broken: list[BaseException] = []

    def work() -> None:
        try:
            with Runner(kept=kept) as runner:
                while not stop.is_set():
                    try:
                        number = left.get_nowait()
                    except queue.Empty:
                        return
                    row = _one(runner, wanted[number])
                    with lock:
                        rows[number] = row
                        said(row)
        except BaseException as error:  # handed over to the caller's thread
            broken.append(error)
            stop.set()

    # Daemons: after Ctrl-C nobody waits for a world's deadline. All that a worker has started dies with this process.
    count = max(1, min(jobs, len(wanted)))
    threads = [threading.Thread(target=work, name=f"scenarios {n}", daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        stop.set()
    if broken:
        raise broken[0]
    return tuple(rows[number] for number in range(len(wanted)))


def _one(runner: Runner, found: Found) -> Outcome:
    begin = time.monotonic()
    try:
        return runner.run(found.name, found.scenario)
    except CommcheckError as error:
        why = str(error)
    except Exception as error:  # of ours: minutes of other rows must not be lost with it
        why = f"internal error: {type(error).__name__}: {error}"
    return failed(found.name, found.scenario, why, time.monotonic() - begin)
