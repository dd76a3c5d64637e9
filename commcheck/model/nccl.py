"""What a host's libnccl says of itself and of a job's settings, without a GPU. Part of the host's facts."""

from commcheck.model.base import Value


class NcclAddress(Value, frozen=True):
    """An address as getifaddrs gives it. NCCL takes the first that fits, so their order is the kernel's.

    `family` is "ipv4" or "ipv6", `prefix` its network's length in bits, `scope` the number of the interface for a
    link-local IPv6 address and else 0. `running`: the interface is up and has a carrier (IFF_RUNNING)."""

    interface: str
    family: str
    address: str
    prefix: int
    running: bool = True
    scope: int = 0


class NcclParameter(Value, frozen=True):
    """What the library's parameter interface (2.30 and later) says of one variable, in its own words."""

    name: str
    kind: str
    value: str = ""
    default: str = ""
    set_by: str = ""
    accepted: str = ""


class NcclLibrary(Value, frozen=True):
    """A libnccl that was loaded. `found_by`: whose it is, or which variable names it. `version` as NCCL counts: 23203.

    `names`: every NCCL_ name among its texts, which is what it reads; `parameters`: those of which it also tells more."""

    path: str
    found_by: str
    version: int
    names: tuple[str, ...] = ()
    parameters: tuple[NcclParameter, ...] = ()

    @property
    def text(self) -> str:
        """The version as people write it: 2.32.3."""
        return version_text(self.version)


def version_text(version: int) -> str:
    """23203 is 2.32.3. Before 2.9 a minor version had one digit less."""
    if version < 10000:
        return f"{version // 1000}.{version // 100 % 10}.{version % 100}"
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


class NcclAnswer(Value, frozen=True):
    """What ncclGetUniqueId did with the job's settings. `result`: as in nccl.h, 0 is success.

    `address` and `port`: where the others would find the root, from the unique id itself; `interface`: what the library
    says that it uses. `said`: its warnings. `failed`: why there is no result (it crashed, or took too long). `predicted`: nobody
    was asked, this is what the newest version would do."""

    result: int = 0
    interface: str = ""
    address: str = ""
    port: int = 0
    said: tuple[str, ...] = ()
    failed: str = ""
    predicted: bool = False

    @property
    def works(self) -> bool:
        """The library made a unique id."""
        return self.result == 0 and not self.failed


class NcclSetting(Value, frozen=True):
    """A line of a configuration file that sets a variable. `hidden_by`: who set it before; that one counts."""

    name: str
    value: str
    line: int
    hidden_by: str = ""


class NcclFile(Value, frozen=True):
    """A configuration file that NCCL reads. `wanted_by`: the variable that names it. `error`: why it could not be read.
    `ignored`: numbers and texts of lines that set nothing."""

    path: str
    settings: tuple[NcclSetting, ...] = ()
    ignored: tuple[tuple[int, str], ...] = ()
    wanted_by: str = ""
    error: str = ""


class NcclPlugin(Value, frozen=True):
    """A library beside libnccl that NCCL would load. `kind`: net, tuner, profiler or env. `wanted`: what the settings ask
    for, empty for NCCL's own search. `path` where it was found, else `error` has the loader's words."""

    kind: str
    wanted: str
    tried: tuple[str, ...]
    path: str = ""
    error: str = ""


class NcclReach(Value, frozen=True):
    """An attempt from this host to connect to the address that NCCL chose on another one. `outcome` as in a `Probe`; `rank`:
    whose address it is, where ranks have tried each other's."""

    host: str
    address: str
    port: int
    outcome: str
    detail: str = ""
    rank: int | None = None


class NcclFacts(Value, frozen=True):
    """All of it. `environment`: the variables that NCCL was asked with, those of its files included; `library` is None where
    none was found, and `looked` says where. `rdma`: the cards below /sys/class/infiniband."""

    environment: dict[str, str] = {}
    library: NcclLibrary | None = None
    looked: tuple[str, ...] = ()
    answer: NcclAnswer | None = None
    addresses: tuple[NcclAddress, ...] = ()
    files: tuple[NcclFile, ...] = ()
    plugins: tuple[NcclPlugin, ...] = ()
    rdma: tuple[str, ...] = ()
    reached: tuple[NcclReach, ...] = ()
    not_read: tuple[str, ...] = ()
