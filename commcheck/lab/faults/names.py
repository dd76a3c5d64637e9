"""Names that do not resolve, or resolve to something else, and a resolver that never answers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commcheck.lab.faults.firewall import chain
from commcheck.lab.host import Host

NO_NAMES = "127.0.0.1 localhost\n::1 localhost\n"
"""A hosts file that knows no host."""


@contextmanager
def file_with(host: Host, file: str, text: str) -> Iterator[None]:
    """`file` (one of those that a host has for itself) holds `text` while this is open."""
    path = host.path(file)
    before = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def entry(text: str, name: str, address: str | None) -> str:
    """A hosts file's text with `name` at `address`, or without it. Pure."""
    kept = [line for line in text.splitlines() if name not in line.split()[1:]]
    return "\n".join(kept + ([f"{address} {name}"] if address else [])) + "\n"


@contextmanager
def unresolvable(host: Host, name: str) -> Iterator[None]:
    """`host` cannot resolve `name`."""
    with file_with(host, "/etc/hosts", entry(host.path("/etc/hosts").read_text(encoding="utf-8"), name, None)):
        yield


@contextmanager
def resolves_to(host: Host, name: str, address: str) -> Iterator[None]:
    """`name` is `address` for `host`."""
    with file_with(host, "/etc/hosts", entry(host.path("/etc/hosts").read_text(encoding="utf-8"), name, address)):
        yield


@contextmanager
def loopback_as_debian(host: Host) -> Iterator[None]:
    """The host's own name resolves to 127.0.1.1, as Debian's installer writes it."""
    with resolves_to(host, host.name, "127.0.1.1"):
        yield


@contextmanager
def silent_resolver(*hosts: Host, hosts_files: bool = False) -> Iterator[None]:
    """The hosts' name server is up and never answers, and no hosts file helps: each look-up takes seconds.
    `hosts_files`: they still name all hosts, in the usual form, which does not answer for IPv4-mapped addresses.

    The switch swallows the queries. A rule on the host itself would not do: the kernel tells the sender of its own
    dropped packets, and the look-up would fail at once."""
    if not hosts:
        return
    with ExitStack() as stack:
        stack.enter_context(chain(hosts[0].switch, ["meta l4proto { tcp, udp } th dport 53 counter drop"]))
        for host in hosts:
            text = f"nameserver {host.wires[0].gateway}\n"
            stack.enter_context(file_with(host, "/etc/resolv.conf", text))
            if not hosts_files:
                stack.enter_context(file_with(host, "/etc/hosts", NO_NAMES))
        yield
