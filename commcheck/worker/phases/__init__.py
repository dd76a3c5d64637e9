"""The phases of a rank, one module each: `run(ctx) -> str` does the work and returns a note for the report."""
