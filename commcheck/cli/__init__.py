"""The command line: arguments in, an exit code out. One module per verb, imported only when it is chosen.

What may not be here: decisions about the world (they are `commcheck.api`'s), or an import at module top of anything
that `commcheck --help` does not need.
"""
