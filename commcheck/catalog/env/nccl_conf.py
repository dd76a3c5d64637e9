"""NCCL's configuration files: which are read, what their lines set, and which setting counts.

Read in NCCL's `src/misc/param.cc`: the environment first, then NCCL_CONF_FILE or else ~/.nccl.conf, then /etc/nccl.conf.
What is set already is never replaced, so that within a file the first line counts too. Nothing is trimmed or unquoted."""

from collections.abc import Mapping

from commcheck.model.nccl import NcclFile, NcclSetting

SYSTEM_FILE = "/etc/nccl.conf"
USER_FILE = ".nccl.conf"
NAMED_SINCE = 22300
"""NCCL_CONF_FILE is read since 2.23."""
HOME_SINCE = 23003
"""~ is $HOME since 2.30; before, it is what the system's list of accounts has, whatever HOME says."""
COMMENTS_SINCE = 22600
"""Lines that begin with # are comments since 2.26; before, one with = sets a variable of that name, which nobody reads."""
CARRIAGE_RETURNS_SINCE = 23003
"""Since 2.30 a line may end as on Windows."""


def files(environment: Mapping[str, str], version: int, account: str | None = None) -> tuple[tuple[str, str], ...]:
    """The files that NCCL reads, in its order, each with the variable that names it ("" for the usual ones).

    `account`: the home directory in the system's list of accounts."""
    named = environment.get("NCCL_CONF_FILE", "") if version >= NAMED_SINCE else ""
    if named:
        return ((named, "NCCL_CONF_FILE"), (SYSTEM_FILE, ""))
    home = environment.get("HOME") if version >= HOME_SINCE else account
    return (*(((f"{home}/{USER_FILE}", ""),) if home is not None else ()), (SYSTEM_FILE, ""))


def parsed(path: str, text: str, version: int, wanted_by: str = "") -> NcclFile:
    """What the lines of a file set, each for itself, and those that set nothing."""
    settings, ignored = [], []
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole.removesuffix("\r") if version >= CARRIAGE_RETURNS_SINCE else whole
        if not line or (line.startswith("#") and version >= COMMENTS_SINCE):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name:
            if not line.startswith("#") and line.strip():
                ignored.append((number, line[:200]))
            continue
        settings.append(NcclSetting(name=name, value=value, line=number))
    return NcclFile(path=path, settings=tuple(settings), ignored=tuple(ignored), wanted_by=wanted_by)


def ordered(environment: Mapping[str, str], read: tuple[NcclFile, ...]) -> tuple[NcclFile, ...]:
    """The same files, with what hides each of their settings: the environment, an earlier line or an earlier file."""
    taken = dict.fromkeys(environment, "the environment")
    done = []
    for file in read:
        settings = []
        for one in file.settings:
            settings.append(
                NcclSetting(name=one.name, value=one.value, line=one.line, hidden_by=taken.get(one.name, ""))
            )
            taken.setdefault(one.name, f"{file.path}, line {one.line}")
        done.append(
            NcclFile(
                path=file.path,
                settings=tuple(settings),
                ignored=file.ignored,
                wanted_by=file.wanted_by,
                error=file.error,
            )
        )
    return tuple(done)


def effective(environment: Mapping[str, str], read: tuple[NcclFile, ...]) -> dict[str, str]:
    """The environment that NCCL has once it has read its files."""
    settings = dict(environment)
    for file in read:
        for one in file.settings:
            settings.setdefault(one.name, one.value)
    return settings
