"""Causes that keep the ranks from meeting at the store. What may not be here: I/O."""
