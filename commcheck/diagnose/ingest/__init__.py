"""Bytes of a log -> `LogLine`s: decoding, terminal codes, rank marks, advice, secrets.

What may not be here: files, clocks, processes, or any judgement about causes. Everything is a pure function of the
bytes that were given.
"""
