"""The launchers that people start their ranks with, one file each: what their variables say of this process, and what
would be started to run a preflight under them.

What may not be here: starting anything, or a look at the machine. An engine is data and two pure functions; a module of
this folder exports it as `ENGINE`.
"""
