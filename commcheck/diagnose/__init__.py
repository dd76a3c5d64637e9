"""Evidence in, diagnoses out. What may not be here: I/O, the clock, the environment, or an import of what has effects."""
