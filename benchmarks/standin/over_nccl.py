"""The scenarios of gloo's worlds, over NCCL: how much of what is said of them holds there too.

`DIR/python benchmarks/standin/over_nccl.py [NAME ...]` in an environment of build.py, or with GPUs. Each rank gets another
NCCL_HOSTID and the first GPU, GLOO_SOCKET_IFNAME becomes NCCL_SOCKET_IFNAME, and the rest stays. What is not as expected is
printed, with what was said: much of it must differ (NCCL does not ask for the own host name, and calls a missing interface
by a cause of its own), so this is to be read, and is no test. Exit code 0.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path

from msgspec.structs import replace

from commcheck.model.scenario import RankSettings, Scenario
from commcheck.scenarios.load import folder, load_all
from commcheck.scenarios.needs import NEEDS, missing
from commcheck.scenarios.run import Runner

LEFT_OUT = ("nccl/*", "training/*", "healthy/training*", "healthy/64-ranks")
"""What has GPUs of its own, programs that put nothing on a device, and more ranks than two cores can spin for."""


def over_nccl(scenario: Scenario) -> Scenario:
    """The same world, with NCCL."""

    def named(settings: dict[str, str]) -> dict[str, str]:
        return {name.replace("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"): value for name, value in settings.items()}

    world = replace(scenario.world, backend="nccl", env={"LOCAL_RANK": "0", **named(scenario.world.env)})
    ranks = {}
    for number in range(world.size):
        own = scenario.ranks.get(str(number), RankSettings())
        ranks[str(number)] = replace(own, env={"NCCL_HOSTID": f"host-{number}", **named(own.env)})
    return replace(scenario, world=world, ranks=ranks)


def main() -> None:
    """Run them, and print what is not as expected."""
    if why := NEEDS["nccl"]():
        sys.exit(f"nothing was run: {why}")
    wanted = sys.argv[1:] or ["*"]
    as_expected, others = 0, []
    with Runner() as runner:
        for found in load_all(folder(str(Path(__file__).resolve().parents[2] / "scenarios"))):
            scenario = found.scenario
            chosen = any(fnmatch(found.name, w) for w in wanted) and not any(fnmatch(found.name, w) for w in LEFT_OUT)
            if not chosen or scenario.world.backend != "gloo" or missing(scenario):
                continue
            row = runner.run(found.name, over_nccl(scenario))
            as_expected += not row.problems
            if row.problems:
                others.append(row)
                print(f"{found.name}: {'; '.join(row.problems)}", flush=True)
    print(f"{as_expected} of {as_expected + len(others)} as expected")


if __name__ == "__main__":
    main()
