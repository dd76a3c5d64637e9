"""Worlds in which nothing is wrong, some of them slow, large or unusual: none of them may be called broken. Data only."""

from rows import EXTRA, HIGH, Row, at, env, on

from commcheck.lab.faults import bandwidth, firewall
from commcheck.model.phase import Phase

V6 = {"subnet": None, "subnet6": "fd77::/64"}

HEALTHY: tuple[Row, ...] = (
    Row(id="one-machine", hosts=0, interface="lo"),
    Row(id="one-rank", hosts=0, size=1),
    Row(id="64-ranks", hosts=0, size=64, interface="lo"),
    Row(id="two-hosts", interface="eth0"),
    Row(id="four-hosts", hosts=4, size=4, interface="eth0"),
    Row(id="two-ranks-per-host", hosts=2, size=4, interface="eth0"),
    Row(id="high-subnet", lab={"subnet": HIGH}, interface="eth0"),
    Row(id="names", plan=env(MASTER_ADDR="h0"), interface="eth0"),
    Row(id="interface-named", plan=env(GLOO_SOCKET_IFNAME="eth0"), interface="eth0"),
    Row(id="ipv6-only", lab=V6, plan=env(MASTER_ADDR="fd77::a"), interface="eth0"),
    Row(id="ipv6-only-names", lab=V6, plan=env(MASTER_ADDR="h0", GLOO_SOCKET_IFNAME="eth0"), interface="eth0"),
    Row(id="dual-stack", lab={"subnet6": "fd77::/64"}, plan=env(MASTER_ADDR="h0"), interface="eth0"),
    Row(id="no-reverse-dns", lab={"names": False}, plan=env(GLOO_SOCKET_IFNAME="eth0"), interface="eth0"),
    Row(id="second-network", lab={"second": "10.78.0.0/24"}, interface="eth0"),
    Row(
        id="second-network-for-data", lab={"second": "10.78.0.0/24"}, plan=env(GLOO_SOCKET_IFNAME="eth1"),
        interface="eth1",
    ),
    Row(id="docker0-not-chosen", lab=EXTRA, interface="eth0"),
    Row(id="default-route", lab={"gateway": True}, interface="eth0"),
    Row(id="slow-link", spoil=on(0, bandwidth.limited, "10mbit"), interface="eth0"),
    Row(id="very-slow-link", spoil=on(0, bandwidth.limited, "2mbit"), interface="eth0"),
    Row(id="late-rank", plan=at(1, "late", Phase.RESOLVE, "2.0"), interface="eth0"),
    Row(id="late-rank-0", plan=at(0, "late", Phase.RESOLVE, "2.0"), interface="eth0"),
    Row(id="late-in-group", plan=at(1, "late", Phase.GROUP, "1.5"), interface="eth0"),
    Row(id="other-port-closed", spoil=on(0, firewall.blocked, "drop", ports="22"), interface="eth0"),
)  # fmt: skip
