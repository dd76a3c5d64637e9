"""Cluster reports as a measurement leaves them, made with chance for tests of what reads them."""

import random

from msgspec.structs import replace

from commcheck.cluster.saying import diagnosis, network_fix
from commcheck.model.case import Address, HostFacts, Interface, Limit
from commcheck.model.cluster import ClusterReport, Drift, HostRow, Reach, Step
from commcheck.model.diagnosis import Evidence, EvidenceKind, Link, Verdict


def host(number, kernel="6.1.0"):
    own = Address(family="ipv4", address=f"10.64.{number >> 8}.{number & 255}", prefix=16)
    eth = Interface(name="eth0", up=True, carrier=True, loopback=False, mtu=9000, mac="02:00", addresses=(own,))
    name = f"node{number:04d}"
    facts = HostFacts(
        host=name,
        hostname=name,
        interfaces=(eth,),
        limits=(Limit(name="nofile", soft=1024, hard=65536),),
        nameservers=("10.64.0.2",),
        versions={"kernel": kernel, "torch": "2.13.0", "python": "3.11.7"},
    )
    return HostRow(name=name, address=own.address, interface="eth0", port=4000, facts=facts)


def cluster(size, *, seed=0, slow=None, dead=None, link=None, noise=0.04, begun=1_700_000_000.0, loaded=True):
    """`slow`: a host with a quarter of the bandwidth; `dead`: one that nobody gets an answer from; `link`: two hosts between
    which the bandwidth is a fifth."""
    chance = random.Random(seed)

    def numbers(usual, worse):
        rows = []
        for a in range(size):
            row = []
            for b in range(size):
                value = None
                if a != b and dead not in (a, b):
                    factor = 4.0 if slow in (a, b) else 5.0 if link == (a, b) else 1.0
                    value = usual * chance.lognormvariate(0, noise) * (factor if worse else 1 / factor)
                row.append(value)
            rows.append(tuple(row))
        return tuple(rows)

    def letter(a, b):
        return Reach.ITSELF if a == b else Reach.DROPPED if b == dead else Reach.OK

    found = []
    if dead is not None:
        name = f"node{dead:04d}"
        seen = Evidence(
            kind=EvidenceKind.PROBE, text=f"nothing came back from {name} port 4000", source="own connection"
        )
        fix = network_fix("open the ports of the job", f"sudo nft list ruleset   # on {name}")
        found.append(
            diagnosis(
                "data-ports-dropped", f"{name} lets nobody in", 0.95, hosts=(name,), evidence=(seen,), fixes=(fix,)
            )
        )
    if slow is not None:
        name = f"node{slow:04d}"
        seen = Evidence(kind=EvidenceKind.PROBE, text="9.8 Gbit/s is usual, 2.4 here", source="own stream")
        found.append(diagnosis("link-slow", f"{name} is slow", 0.9, hosts=(name,), evidence=(seen,)))
    if link is not None:
        ends = [f"node{n:04d}" for n in link]
        k = Link(source=ends[0], target=ends[1])
        found.append(diagnosis("link-slow", f"{ends[0]} -> {ends[1]} is slow", 0.85, links=(k,)))
    rows = tuple(host(n, kernel="6.5.0" if n == 1 else "6.1.0") for n in range(size))
    return ClusterReport(
        verdict=Verdict.UNHEALTHY if found else Verdict.HEALTHY,
        command=("commcheck", "cluster"),
        versions={"commcheck": "0.1.0"},
        hosts=rows,
        reach=tuple("".join(letter(a, b) for b in range(size)) for a in range(size)),
        latency_us=numbers(45.0, True),
        gbit=numbers(9.8, False),
        gbit_loaded=numbers(9.1, False) if loaded else (),
        diagnoses=tuple(found),
        drift=(
            Drift(
                kind="kernel",
                name="kernel",
                values={"6.1.0": tuple(r.name for r in rows if r.name != "node0001"), "6.5.0": ("node0001",)},
            ),
        ),
        bad_hosts=tuple(f"node{n:04d}" for n in (dead, slow) if n is not None),
        rounds=max(size - 1, 1),
        begun=begun,
        seconds=12.3,
    )


def with_steps(report, *, late=None, silent=None, rounds=None, seed=0):
    """The report with the steps of its run. `late`: a host for which the others wait again and again; `silent`: one that
    gives no answer to the first round of links."""
    chance = random.Random(seed)
    size = len(report.hosts)
    steps, at = [Step(name="start", begin=0.0, seconds=1.5)], 1.5

    def add(name, number, usual, hosts, worse=0.0):
        nonlocal at
        took = [round(chance.uniform(0.9, 1.1) * usual, 3) if h in hosts else None for h in range(size)]
        asked, waits = (), ()
        if late in hosts and worse:
            took[late] = round(usual + worse, 3)
            waits = (late,)
        if silent in hosts and (name, number) == ("quiet", 1):
            took[silent], asked, waits = None, (silent,), (silent,)
        seconds = 5.0 if asked else max(t for t in took if t is not None)
        steps.append(
            Step(
                name=name,
                round=number,
                begin=round(at, 3),
                seconds=seconds,
                took=tuple(took),
                waited_for=waits,
                silent=asked,
            )
        )
        at += seconds

    everyone = set(range(size))
    add("facts", 0, 0.8, everyone)
    add("reach", 0, 0.2 + size / 400, everyone, worse=0.6)
    for name, many in (("quiet", rounds or size - 1), ("loaded", min(rounds or size - 1, 32))):
        for number in range(1, many + 1):
            idle = {number % size} if size % 2 else set()
            add(name, number, 0.35, everyone - idle - ({silent} if name == "loaded" else set()), worse=0.25)
    return replace(report, steps=tuple(steps), seconds=round(at, 3))
