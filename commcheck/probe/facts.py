"""Everything that can be known about this host without starting anything on it.

Works inside whatever network, mount and UTS namespaces it is called in, as any user, in at most
`names.NAME_DEADLINE` and a few milliseconds.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from commcheck.model.case import HostFacts, Limit
from commcheck.model.fabric import Fabric
from commcheck.probe import interfaces, limits, routes, versions
from commcheck.probe import names as resolver
from commcheck.probe.text import read_text

T = TypeVar("T")


def host_facts(host: str, *, names: tuple[str, ...] = (), reverse: tuple[str, ...] = ()) -> HostFacts:
    """The facts of the host that this runs on, under the name `host`.

    `names` are looked up besides the host's own name, `reverse` are addresses whose names are asked for. Never raises:
    what could not be read is named in `not_read`, with its reason."""
    not_read: list[str] = []

    def read(what: str, source: Callable[[], T], otherwise: T) -> T:
        try:
            return source()
        except Exception as e:  # whatever it is, the other facts are still worth having
            not_read.append(f"{what}: {getattr(e, 'strerror', None) or f'{type(e).__name__}: {e}'}")
            return otherwise

    own = read("own host name", resolver.host_name, "")
    asked = tuple(name for name in (own, *names) if name)
    no_limits: tuple[Limit, ...] = ()
    return HostFacts(
        host=host,
        hostname=own,
        identity=read("the network's identity", identity, ""),
        interfaces=read("interfaces", interfaces.interfaces, ()),
        routes=read("routes", routes.routes, ()),
        lookups=read("names", lambda: resolver.look_up(asked, reverse), ()),
        nameservers=read("name servers", resolver.nameservers, ()),
        limits=read("limits", limits.limits, no_limits),
        port_range=read("port range", limits.port_range, None),
        shm_bytes=read("shared memory", limits.shm_bytes, None),
        memory_bytes=read("memory", limits.memory_bytes, None),
        versions=read("versions", versions.versions, {}),
        fabric=read("RDMA cards", _fabric, None),
        not_read=tuple(not_read),
    )


def _fabric() -> Fabric | None:
    """RDMA cards and GPUs. What reads them is loaded where there is one of the two alone."""
    if not os.path.isdir("/sys/class/infiniband") and not os.path.isdir("/proc/driver/nvidia"):
        return None
    from commcheck.probe.fabric import fabric

    return fabric()


def identity() -> str:
    """The running kernel and, in it, the network namespace. Raises OSError."""
    boot = read_text("/proc/sys/kernel/random/boot_id").strip()
    return f"{boot}/{os.stat('/proc/self/ns/net').st_ino}"
