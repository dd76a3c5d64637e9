"""Our figures of a link beside those of independent tools: `python benchmarks/links.py [--rounds N]`.

Between two virtual hosts, over cables of several kinds, in turns: what `commcheck cluster` measures, then

  iperf3      bandwidth of one stream, as its receiver counts it
  TCP ping    what a connection takes (connect() of a plain program of its own), to a port where another listens
  sockperf    round trip of a small message over TCP (ping-pong, a compiled program), where it is installed

Medians of the rounds, and ours divided by theirs. A busy machine spoils the fast cables; the capped and the distant ones are
bounded by the cable. Exit code 1 where bandwidth or the TCP ping is more than 10 % apart on those.
Debian: apt-get install iperf3 sockperf. Needs root."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402

from commcheck.cluster.inlab import measured  # noqa: E402
from commcheck.cluster.lead import Options  # noqa: E402
from commcheck.lab.fault import kinds  # noqa: E402
from commcheck.lab.host import Host  # noqa: E402
from commcheck.lab.lab import Lab  # noqa: E402

PORT = 5201
SECONDS = 1.0
CLOSE = 0.1
"""By which ours may differ."""
BOTH = {"hosts": (0, 1)}
CABLES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "as it is": [],
    "1 Gbit/s": [("bandwidth", {**BOTH, "rate": "1gbit"})],
    "200 Mbit/s": [("bandwidth", {**BOTH, "rate": "200mbit"})],
    "20 Mbit/s": [("bandwidth", {**BOTH, "rate": "20mbit"})],
    "2 x 5 ms": [("delay", {"hosts": (1,), "milliseconds": 5.0})],
}
BOUNDED = {"bandwidth": ("1 Gbit/s", "200 Mbit/s", "20 Mbit/s"), "TCP ping": ("2 x 5 ms",)}
"""Where the cable decides, and not how busy the machine is."""

PING = f"""
import socket, sys, time
from statistics import median
times = []
for _ in range(20):
    one = socket.socket()
    begin = time.perf_counter()
    one.connect((sys.argv[1], {PORT}))
    times.append(time.perf_counter() - begin)
    one.close()
print(median(times) * 1e6)
"""


LISTEN = f"""
import socket, time
one = socket.create_server(("0.0.0.0", {PORT}), backlog=1024)
time.sleep(60)
"""


def ours(lab: Lab) -> dict[str, float]:
    found = measured(lab, lambda _: None, Options(seconds=SECONDS))
    (one,) = found.quiet
    gbit = (one.there if one.source == 0 else one.back).gbit
    assert one.latency_us is not None, one
    assert one.connect_us is not None, one
    assert gbit is not None, one
    return {"bandwidth": gbit, "TCP ping": one.connect_us, "round trip": one.latency_us}


@contextmanager
def listening(host: Host, *command: str) -> Iterator[None]:
    program = host.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        program.kill()
        program.wait()


def asked(host: Host, *command: str) -> str:
    """What a client says, once its server listens."""
    end = time.monotonic() + 10
    while True:
        done = host.run(command, timeout=60)
        if done.returncode == 0 and '"error"' not in done.stdout:  # iperf3 -J ends with 0 in any case
            return done.stdout
        if time.monotonic() > end:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}{done.stdout}")


def theirs(client: Host, server: Host) -> dict[str, float]:
    found = {}
    to = server.address
    with listening(server, sys.executable, "-c", LISTEN):
        found["TCP ping"] = float(asked(client, sys.executable, "-c", PING, to))
    with listening(server, "iperf3", "-s", "-p", str(PORT)):
        done = json.loads(asked(client, "iperf3", "-c", to, "-p", str(PORT), "-t", f"{SECONDS:g}", "-O", "1", "-J"))
        found["bandwidth"] = done["end"]["sum_received"]["bits_per_second"] / 1e9
    if shutil.which("sockperf"):
        with listening(server, "sockperf", "server", "--tcp", "-i", to, "-p", str(PORT)):
            text = asked(client, "sockperf", "ping-pong", "--tcp", "-i", to, "-p", str(PORT), "-t", "1", "-m", "14")
        half = re.search(r"percentile 50\.0+ = *([\d.]+)", text)
        if half:
            found["round trip"] = 2 * float(half[1])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if shutil.which("iperf3") is None:
        raise SystemExit("no iperf3 on PATH (Debian: apt-get install iperf3)")
    far = []
    print("cable       what          ours        theirs      ratio   (bandwidth in Gbit/s, times in us)")
    for name, faults in CABLES.items():
        own: list[dict[str, float]] = []
        other: list[dict[str, float]] = []
        with Lab() as lab, ExitStack() as stack:
            for kind, given in faults:
                fault = kinds()[kind]
                stack.enter_context(fault.make(lab, msgspec.convert({"kind": kind, **given}, fault.spec)))
            for _ in range(args.rounds):
                own.append(ours(lab))
                other.append(theirs(lab[0], lab[1]))
        for what in own[0]:
            told = [x[what] for x in other if what in x]
            if told:
                a, b = median(x[what] for x in own), median(told)
                bounded = name in BOUNDED.get(what, ())
                if bounded and abs(a / b - 1) > CLOSE:
                    far.append((name, what))
                print(f"{name:11} {what:10} {a:12.4f} {b:12.4f} {a / b:9.3f}{'  *' if bounded else ''}", flush=True)
    print("*: has to be within 10 %" + "".join(f"; {name}: {what} is not" for name, what in far))
    return 1 if far else 0


if __name__ == "__main__":
    sys.exit(main())
