"""Tests on virtual hosts, and with faults between them."""

import pytest

from commcheck.lab.requirements import missing_for
from commcheck.model.topology import Topology

SUITE = """
    import pytest, torch, torch.distributed as dist

    @pytest.mark.ranks(4, lab=2, ranks_per_host=2)
    def test_hosts(world, host_facts):
        assert (world.local_rank, world.local_world_size) == (world.rank % 2, 2)
        assert world.host == f"h{world.rank // 2}"
        assert any(a.address.startswith("10.77.0.") for i in host_facts.interfaces for a in i.addresses)
        x = torch.ones(2)
        dist.all_reduce(x)
        assert x.tolist() == [4.0] * 2

    @pytest.mark.ranks(2, lab=2, fault=[{"kind": "drop", "hosts": [0], "ports": "29500"}])
    def test_dropped(world):
        pass

    @pytest.mark.ranks(2, lab=2)
    def test_mended(world):
        dist.barrier()
"""


@pytest.mark.skipif(bool(missing_for(Topology())), reason=missing_for(Topology()) or "it can be")
def test_labs(run, tmp_path):
    done = run(tmp_path, {"test_it.py": SUITE})
    assert done.outcome("test_hosts")[0] == "PASSED", done.text
    assert done.outcome("test_mended")[0] == "PASSED", done.text
    assert " port-dropped]" in done.failure("test_dropped")
