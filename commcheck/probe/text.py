"""Read a small file of /proc, /sys or /etc."""


def read_text(path: str) -> str:
    """The whole file; bytes that are not UTF-8 become replacement characters. Raises OSError.

    Not `Path.read_text`: pathlib costs 6 ms of the start-up that the static commands must fit into."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
