"""Thin wrappers of Linux calls that the launcher, its ranks and the probes share.

What may not be here: judgement, torch, or any state that outlives a call.
"""
