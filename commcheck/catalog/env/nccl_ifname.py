"""How NCCL reads NCCL_SOCKET_IFNAME: prefixes, `=` for exact names, `^` for what is left out.

Read in NCCL's `src/misc/utils.cc` (parseStringList, matchIfList) and `src/misc/socket.cc`, 2.10 to 2.30, and compared
with the libraries themselves up to 2.32."""

from typing import NamedTuple

MOST_NAMES = 16
"""Entries of the list that NCCL looks at (MAX_IFS); the rest is not read."""
LONGEST_NAME = 63
"""Characters of an entry that fit; before 2.30.7 longer ones overwrite memory."""


class Pattern(NamedTuple):
    """A list of interfaces as NCCL understands it. Without names all fit, or none where it excludes."""

    names: tuple[str, ...]
    exact: bool = False
    excludes: bool = False

    def takes(self, interface: str) -> bool:
        """Whether an interface of this name may be used."""
        return self.names_it(interface) != self.excludes

    def names_it(self, interface: str) -> bool:
        """Whether the list means the interface, be it to use or to leave it out."""
        if not self.names:
            return True
        if self.exact:
            return interface in self.names
        return interface.startswith(self.names)


def pattern(value: str) -> Pattern:
    """The list that NCCL reads in a value: `^` first and then `=`, each once and in front of the whole list alone.

    A colon ends a name (what follows is a port, which interfaces have none of); blanks belong to the name."""
    excludes = value.startswith("^")
    rest = value[1:] if excludes else value
    exact = rest.startswith("=")
    rest = rest[1:] if exact else rest
    names = (entry.partition(":")[0][:LONGEST_NAME] for entry in rest.split(","))
    return Pattern(tuple(name for name in names if name)[:MOST_NAMES], exact, excludes)


def is_set(value: str | None) -> bool:
    """NCCL takes a value of one character for none: it then chooses by itself."""
    return value is not None and len(value.encode()) > 1
