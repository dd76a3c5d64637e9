"""One recognisable cause a file. What may not be here: I/O. See `commcheck.model.rule`."""
