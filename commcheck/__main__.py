"""`python -m commcheck`: the same as the `commcheck` command."""

import sys

from commcheck.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
