"""Whether processes work or only wait, by what the kernel counts of them: the one measure for worlds, for running jobs and
for `commcheck run`."""

IDLE = 0.05
"""Part of a core that a process uses while it only waits (polling threads, heartbeats, reconnecting clients)."""
IDLE_CPU = 0.02
"""CPU seconds of which the same is true in however short a time: the kernel counts in hundredths."""
IDLE_FAULTS = 20
"""Pages that a process is given while it only waits. One that loads kernels or makes buffers is given hundreds; one that asks
the same memory again and again is given none."""
IDLE_FAULT_RATE = 50.0
"""The same per second, where it is looked for longer."""
DEVICE = "/dev/nvidia"
"""Who has such a file open may wait in CUDA or NCCL, and these wait by asking again and again."""


def works(cpu: float, faults: int, seconds: float = 0.0, *, spins: bool) -> bool:
    """Whether a process that used so many CPU seconds and was given so many pages in `seconds` did something. `spins`: using
    a processor alone is no sign of work."""
    busy = cpu > max(IDLE_CPU, IDLE * seconds)
    return busy and (not spins or faults > max(IDLE_FAULTS, IDLE_FAULT_RATE * seconds))
