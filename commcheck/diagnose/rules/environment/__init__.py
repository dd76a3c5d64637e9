"""Causes that stand in the environment variables. What may not be here: a look at the real environment (a Case has it)."""
