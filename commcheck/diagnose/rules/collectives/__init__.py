"""Causes in the calls that ranks issue. What may not be here: I/O."""
