"""Causes in the life of one process. What may not be here: I/O."""
