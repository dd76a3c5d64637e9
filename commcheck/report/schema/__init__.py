"""The published JSON Schema of the report, generated from the types (`python -m commcheck.report.schema`).

What may not be here: a second description of the report. The types in `commcheck.model.diagnosis` are the source.
"""
