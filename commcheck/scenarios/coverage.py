"""Which causes and symptoms no scenario shows, and why this kind of machine cannot. Everything else is in some file.

A scenario is a real world of gloo on the CPU between virtual hosts, or of NCCL where there is a GPU. What needs a card or
another program than commcheck to fail is known from logs alone: the signatures of those rules have their tests in
`tests/unit`."""

from commcheck.model.taxonomy import Symptom

_GPU = "it needs a GPU"
_NCCL = "a scenario is a world of gloo; libnccl is asked about it in tests/unit/test_nccl_lint.py and tests/cluster/test_nccl_*.py"

NOT_PRODUCED: dict[str, str] = {
    "launcher-failure": "the launcher itself fails before it starts a rank; here commcheck starts all ranks, so it is seen in logs alone",
    "ssh-failure": "mpirun and Horovod reach hosts by ssh; commcheck starts its ranks without, so it is seen in logs alone",
    "memlock-limit": "only RDMA cards need locked memory; where the limit is small, `commcheck lint` says so",
    "local-rank-unused": f"{_GPU} that all ranks of a host could choose: on the CPU nothing depends on LOCAL_RANK",
    "peer-access-broken": "it needs two GPUs whose direct access to each other fails",
    "device-fault": "it needs a GPU that fails: nothing on the CPU raises its errors",
    "driver-mismatch": "it needs a GPU's driver that is older than the CUDA of torch",
    "transport-fallback": "it needs an InfiniBand card that NCCL does not use, and NCCL",
    "nccl-comm-id": _NCCL,
    "nccl-config-file": _NCCL,
    "nccl-plugin-missing": _NCCL,
    "address-order-dependent": "what blocks the direction that nobody needed leads, and this follows from it, as in interfaces/interface-loopback-0-low",
    "unclassified": "it is the answer where no cause fits, and a world that shows it on purpose would have one",
}
"""By cause."""

NOT_SHOWN: dict[Symptom, str] = {}
"""By symptom."""
