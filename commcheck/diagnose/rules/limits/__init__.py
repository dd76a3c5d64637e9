"""Causes that are limits of a process or host. What may not be here: a look at the real limits (a Case has them)."""
