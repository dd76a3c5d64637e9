"""Causes in the choice and build of a backend. What may not be here: I/O."""
