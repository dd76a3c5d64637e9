"""Ask several places at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from commcheck.errors import LaunchError
from commcheck.model.plan import Place
from commcheck.probe.agent import Answer, Request
from commcheck.probe.ras import GREETING

AGENT_DEADLINE = 4.0
"""Seconds for one agent: its start, and probes that are bounded by themselves."""
FACTS_DEADLINE = 20.0
"""The same where the hosts' facts are asked for: without them causes are told apart worse, and no verdict waits for
them on a machine that is not starved (they take a tenth of a second, and names.NAME_DEADLINE at most)."""

_ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from commcheck.probe.agent import main; main()"


class Asking:
    """Agents at work, one per place; `answers` waits for all of them. A context manager that leaves none behind."""

    def __init__(self, requests: Mapping[Place, Request]) -> None:
        self._running: dict[Place, subprocess.Popen[bytes]] = {}
        longer = max((sum(GREETING + door.patience for door in r.ras) for r in requests.values()), default=0.0)
        self._deadline = (FACTS_DEADLINE if any(r.facts for r in requests.values()) else AGENT_DEADLINE) + longer
        for place, request in requests.items():
            full = msgspec.structs.replace(request, place=place, parent=os.getpid())
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, _ROOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert process.stdin is not None
            try:
                process.stdin.write(msgspec.json.encode(full))
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has ended already; its empty answer says so
            process.stdin = None
            self._running[place] = process

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def answers(self) -> dict[Place, Answer]:
        """One answer per place. An agent that was refused its place raises LaunchError; one that was too slow or
        broke gives an answer whose `failed` says so."""
        deadline = time.monotonic() + self._deadline
        found = {}
        for place, process in self._running.items():
            try:
                out, _ = process.communicate(timeout=max(0.05, deadline - time.monotonic()))
                found[place] = msgspec.json.decode(out, type=Answer)
            except subprocess.TimeoutExpired:
                found[place] = Answer(failed=f"no answer from the probe within {self._deadline:g} s")
            except msgspec.DecodeError:
                found[place] = Answer(failed=f"the probe ended with exit code {process.returncode} and no answer")
            if found[place].failed.startswith(("cannot ", "no network namespace")):
                raise LaunchError(found[place].failed)
        return found
