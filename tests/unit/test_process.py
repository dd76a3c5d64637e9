"""What is done to a process from outside: its shared memory goes before it is killed."""

import os
import subprocess
import sys
from pathlib import Path

from commcheck.system.process import unlink_shared

MAPS = """
import mmap, sys
for name in sys.argv[1:]:
    with open(name, "w+b") as file:
        file.truncate(4096)
        globals()[name] = mmap.mmap(file.fileno(), 4096)
print(flush=True)
sys.stdin.read()
"""


def test_only_the_shared_memory_that_it_maps_and_that_is_meant_goes(tmp_path) -> None:
    mapped, other, unmapped = (tmp_path / name for name in ("nccl-Ab12Cd", "torch_4711", "nccl-Zz98Yy"))
    unmapped.write_bytes(b"of another job")
    with subprocess.Popen(
        [sys.executable, "-c", MAPS, str(mapped), str(other)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout.readline() == b"\n"
        unlink_shared(started.pid, str(tmp_path / "nccl-"))
        unlink_shared(started.pid, str(tmp_path / "nccl-"))
        assert [mapped.exists(), other.exists(), unmapped.exists()] == [False, True, True]
        assert started.poll() is None
        started.kill()
    unlink_shared(started.pid, str(tmp_path / "nccl-"))


def test_a_process_that_is_gone_has_none() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    before = set(os.listdir("/dev/shm"))
    unlink_shared(gone.pid, str(Path("/dev/shm/nccl-")))
    assert set(os.listdir("/dev/shm")) == before
