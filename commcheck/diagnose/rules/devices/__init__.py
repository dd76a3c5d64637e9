"""Causes at accelerators and their assignment to ranks."""
