"""`python -m commcheck.report.schema [--write | --check]`: print the report's JSON Schema, or keep its file current."""

import sys

from commcheck.report.schema.generate import FILE, text


def main(arguments: list[str]) -> int:
    """Print by default; --write updates the published file; --check exits 1 when it is not current."""
    if arguments == ["--write"]:
        FILE.write_text(text(), encoding="utf-8")
        return 0
    if arguments == ["--check"]:
        current = FILE.is_file() and FILE.read_text(encoding="utf-8") == text()
        if not current:
            print(f"{FILE.name} is not current: python -m commcheck.report.schema --write", file=sys.stderr)
        return 0 if current else 1
    if arguments:
        print("usage: python -m commcheck.report.schema [--write | --check]", file=sys.stderr)
        return 2
    sys.stdout.write(text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
