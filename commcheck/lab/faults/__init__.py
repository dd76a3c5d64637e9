"""Faults of hosts and networks, made on purpose in a lab. One kind per module.

A kind is a module that exports `FAULT` (`commcheck.lab.fault.Fault`): its parameters, how to make it, and what it leads
to. Entering makes it, leaving takes it back and leaves the lab exactly as it was, in whatever order several end. What
kinds share lies beside them, in modules that export no `FAULT`. A lab that ends takes its faults along.

What may not be here: faults inside a rank's program (those are `commcheck.worker.faults`), and any opinion on how
a fault should be diagnosed.
"""
