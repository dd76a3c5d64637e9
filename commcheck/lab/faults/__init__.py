"""Faults of hosts and networks, made on purpose in a lab. One idea per module.

Each fault is a context manager over a `Host` (or several): entering makes it, leaving takes it back, and they nest.
A lab that ends takes its faults along, so leaving early is needed only where the lab lives on.

What may not be here: faults inside a rank's program (those are `commcheck.worker.faults`), and any opinion on how
a fault should be diagnosed.
"""
