"""Causes in the choice of a network interface. What may not be here: I/O."""
