"""Will this job's distributed-training communication work, and if not, which setting is wrong?

What may not be here: imports. `import commcheck` loads nothing, so that every light command starts
as fast as the interpreter; ask for the module that you need (`commcheck.api`, `commcheck.model`).
"""

__version__ = "0.1.0"
