"""The frozen values that everything else exchanges.

What may not be here: I/O, the clock, the environment, or any import of another part of commcheck
but this package. The values are `msgspec.Struct(frozen=True)` rather than dataclasses because creating
forty frozen dataclasses costs 65 ms at start-up here and forty structs 5 ms, and because the same types
then validate what is read back (report directories) and generate the published JSON Schema.
"""
