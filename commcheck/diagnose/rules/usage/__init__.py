"""Causes in how a program uses its process groups."""
