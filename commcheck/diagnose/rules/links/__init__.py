"""Causes between two hosts: firewalls, routes, sizes, addresses. What may not be here: I/O."""
