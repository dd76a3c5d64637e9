"""Which libnccl a host has, what configures it, and which address it would take there.

It is read and predicted, not asked: to load it takes a tenth of a second and half a gigabyte, on hosts that may be virtual
ones of one machine; tests compare what is predicted with the library's own choice."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from commcheck.catalog.env import nccl_conf
from commcheck.catalog.env.select import relevant
from commcheck.cluster.values import LIBRARY
from commcheck.model.case import HostFacts
from commcheck.model.nccl import NcclAnswer, NcclFacts, NcclLibrary
from commcheck.predict.nccl_interfaces import choose
from commcheck.probe import nccl_elf
from commcheck.probe.nccl_addresses import addresses
from commcheck.probe.nccl_find import find
from commcheck.probe.nccl_library import config_files


def with_nccl(facts: HostFacts, environment: Mapping[str, str]) -> HostFacts:
    """The facts of this host with those of NCCL, where a job with this environment would find one."""
    found = find(environment)
    if not found.path:
        return facts
    try:
        version, near = nccl_elf.version(found.path), addresses()
    except (OSError, ValueError) as error:
        return replace(facts, not_read=(*facts.not_read, f"what {found.path} is: {error}"))
    files = config_files(environment, version)
    settings = nccl_conf.effective(environment, files)
    taken = choose(settings, near, version)
    answer = NcclAnswer(
        result=taken.result or 0, interface=taken.interface, address=taken.address, port=taken.port, predicted=True
    )
    library = NcclLibrary(path=found.path, found_by=found.found_by, version=version)
    return replace(
        facts,
        versions=facts.versions | {LIBRARY: library.text},
        nccl=NcclFacts(
            environment=relevant(settings),
            library=library,
            answer=None if taken.result is None else answer,
            files=files,
        ),
    )
