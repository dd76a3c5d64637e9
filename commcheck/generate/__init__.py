"""Configurations as values: what can be set, which combinations are worth a world, and Hypothesis strategies.

Pure. What may not be here: the real environment, hosts, processes, the clock, randomness without a seed. hypothesis is
imported by `strategies` alone.

config      everything that one world is configured by
parameter   what can be varied: named choices, each valid, invalid or unknown, and what it changes
space       the parameters of a host or lab, drawn from its facts
variables   the choices of an environment variable, by its kind in the catalogue
covering    rows that hold every combination of t choices
shrink      the fewest settings that still show it
strategies  the same for property-based tests (hypothesis)
"""
