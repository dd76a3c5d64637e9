"""How often the carrier (the cable, or the peer at its other end) of each interface has come or gone, from /sys."""

import os


def changes(root: str = "/", macs: dict[str, str] | None = None) -> dict[str, int]:
    """By interface; the loopback, and what is no device of its own, left out where it has no count.

    `root`: the file system to look in, such as /proc/PID/root. /sys shows the network in which it was mounted, which may
    be another than that of the process: where `macs` gives an interface's hardware address, one of another address
    there is left out. Empty where /sys cannot be read."""
    directory = os.path.join(root, "sys/class/net")
    try:
        names = os.listdir(directory)
    except OSError:
        return {}
    found = {}
    for name in names:
        try:
            if macs is not None and name in macs and _text(f"{directory}/{name}/address") != macs[name].lower():
                continue
            found[name] = int(_text(f"{directory}/{name}/carrier_changes"))
        except (OSError, ValueError):
            continue  # taken away meanwhile, or a kernel without the count
    return found


def _text(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read().strip().lower()
