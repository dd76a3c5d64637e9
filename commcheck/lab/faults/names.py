"""What a hosts file says."""

NO_NAMES = "127.0.0.1 localhost\n::1 localhost\n"
"""A hosts file that knows no host."""


def entry(text: str, name: str, address: str | None) -> str:
    """A hosts file's text with `name` at `address`, or without it. Pure."""
    kept = [line for line in text.splitlines() if name not in line.split()[1:]]
    return "\n".join(kept + ([f"{address} {name}"] if address else [])) + "\n"
