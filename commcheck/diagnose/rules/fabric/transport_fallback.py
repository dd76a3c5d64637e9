"""Communication runs over a slower transport than the hardware offers.

**What you see**
It works, but slowly; before a job, `commcheck lint` names what it sees of the cards: ports, NCCL_IB_HCA, NCCL_IB_DISABLE,
/dev/infiniband, nvidia_peermem, ACS, rates, distances from the GPUs. In a job, NCCL's log says `NET/IB : No device found` and `Using network Socket` where InfiniBand or
RoCE cards are present, `GPU Direct RDMA Disabled`, `NET/Plugin: Could not find`.

**Why it happens**
The container has no /dev/infiniband, the RDMA libraries or the plugin are not installed, a variable switches
the transport off or selects a card that is not there.

**How to fix**
Pass the devices into the container, install rdma-core and the plugin, correct NCCL_IB_HCA and NCCL_IB_DISABLE;
where TCP is meant, nothing is to be done.

**How to confirm**
`ibv_devinfo` in the rank's container must list active ports; then NCCL's log says `NET/IB : Using`.
"""

from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """What the cards of the hosts show, under the settings of the processes."""
    if not any(host.fabric for host in case.hosts):
        return None
    # Late: of most hosts no cards are known, and lint is held to its start.
    from commcheck.diagnose.fabric_slower import findings
    from commcheck.diagnose.rules.environment.settings import match_of

    return match_of(findings(case))


RULE = Rule(
    cause="transport-fallback",
    code="CC401",
    title="Communication runs over a slower transport than the hardware offers",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_UNEXPECTED_PROTOCOL,
        Symptom.PERF_LOW_EFFICIENCY,
    ),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "Correct NCCL_IB_HCA and NCCL_IB_DISABLE, or leave them unset."),
        (
            FixPattern.MISSING_DEPENDENCY,
            "Install rdma-core (libibverbs) and the network plugin in the container, and pass /dev/infiniband into it.",
        ),
        (FixPattern.NETWORK_SETTING, "Choose the fast interface (NCCL_SOCKET_IFNAME) where sockets are meant."),
    ),
    signatures=(
        Signature(
            pattern="NET/IB : No device found",
            literal="net/ib : no device found",
            source="nccl: src/transport/net_ib (normal on hosts without such cards)",
            positive="trainer-a:41:41 [0] NCCL INFO NET/IB : No device found.",
            negative="NET/IB : Using [0]mlx5_0:1/IB",
            weight=0.28,
        ),
        Signature(
            pattern=r"Using network Socket\b",
            literal="using network socket",
            source="nccl: src/plugin/net.cc (normal on hosts without such cards)",
            positive="trainer-a:41:41 [0] NCCL INFO Using network Socket",
            negative="Using network IB",
            weight=0.26,
        ),
        Signature(
            pattern="GPU Direct RDMA Disabled for (?:HCA|GPU)",
            literal="gpu direct rdma disabled",
            source="nccl: src/transport/net.cc",
            positive="NCCL INFO NET/IB : GPU Direct RDMA Disabled for HCA 0 mlx5_0",
            negative="GPU Direct RDMA Enabled for HCA 0",
            weight=0.28,
        ),
        Signature(
            pattern=r"transport retry (?:count )?exceeded.*fall(?:ing)? back|[Ff]alling back to (?:TCP|sockets?|tcp)\b",
            literal="transport retry | back to tcp | back to socket",
            source="openmpi, UCX and launchers",
            positive="UCX WARN no RDMA device, falling back to tcp",
            negative="falling back to defaults",
            weight=0.55,
        ),
    ),
    match=match,
    needs=("hosts",),
)
