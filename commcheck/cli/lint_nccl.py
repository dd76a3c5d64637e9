"""What `commcheck lint` adds where the job may use NCCL: the installed libnccl is asked, or it is said that there is none."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from commcheck.model.case import Case
from commcheck.model.nccl import NcclAnswer, NcclFacts

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from commcheck.diagnose.index import Listed


def with_nccl(case: Case, environment: Mapping[str, str], library: str) -> Case:
    """The case, its host's facts with what libnccl says of the whole `environment`."""
    from commcheck.probe.nccl_library import ask

    facts = ask(environment, library=library)
    if facts.library is None:
        facts = predicted(facts, environment)
    host = replace(case.hosts[0], nccl=facts)
    return replace(case, hosts=(host,), not_read=(*case.not_read, *unread(facts)))


def predicted(facts: NcclFacts, environment: Mapping[str, str]) -> NcclFacts:
    """Where there is no library to ask: what the newest would do with settings that choose an interface."""
    from commcheck.predict.nccl_interfaces import choose
    from commcheck.probe.nccl_addresses import addresses

    if not {"NCCL_SOCKET_IFNAME", "NCCL_SOCKET_FAMILY", "NCCL_COMM_ID"} & facts.environment.keys():
        return facts
    try:
        found = addresses()
    except OSError:
        return facts
    from commcheck.catalog.env.nccl_versions import NEWEST

    chosen = choose(facts.environment, found, 20000 + 100 * NEWEST)
    if chosen.result is None:
        return facts
    answer = NcclAnswer(
        result=chosen.result, interface=chosen.interface, address=chosen.address, port=chosen.port, predicted=True
    )
    return replace(facts, answer=answer, addresses=found)


def unread(facts: NcclFacts) -> tuple[str, ...]:
    """What could not be had, for the report's line of what was not judged."""
    if facts.library is None:
        if facts.not_read:
            return facts.not_read
        looked = ", ".join(facts.looked)
        return (f"what NCCL itself says: no libnccl was found ({looked}); --nccl-library names one",)
    failed = facts.answer.failed if facts.answer is not None else ""
    return (*facts.not_read, *((f"which interface NCCL takes: {failed}",) if failed else ()))


def nccl_rules() -> tuple[Listed, ...]:
    """The rules that judge it."""
    from commcheck import registry
    from commcheck.diagnose import index
    from commcheck.model.rule import Rule

    return index.by_code(registry.exporting(f"{index.RULES}.nccl", "RULE", Rule))


def nccl_notes(case: Case) -> tuple[str, ...]:
    """The library, its choice, its files and plug-ins, a line each."""
    facts = case.hosts[0].nccl
    if facts is None or facts.library is None:
        return ()
    library = facts.library
    lines = [f"NCCL {library.text}: {library.path} ({library.found_by}); it reads {len(library.names)} variables"]
    if facts.answer is not None and facts.answer.works:
        lines.append(f"NCCL forms communicators from {facts.answer.interface}, {facts.answer.address}")
    for file in facts.files:
        count = [s for s in file.settings if not s.hidden_by]
        if count:
            lines.append(f"NCCL reads {file.path}: " + ", ".join(f"{s.name}={s.value}" for s in count[:8]))
    lines += [f"NCCL loads the {p.kind} plug-in {p.path}" for p in facts.plugins if p.path]
    return tuple(lines)
