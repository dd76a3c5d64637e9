"""Starts, watches and ends worlds, and takes the evidence before it ends anything.

What may not be here: torch, or judgement: whether the evidence decides is asked of a function that comes in.
"""
