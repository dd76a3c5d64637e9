"""Faults in few words, for tests."""

import msgspec

from commcheck.lab.fault import kinds


def made(lab, kind, **given):
    """The fault of that kind with these parameters, checked as those of a scenario are; entering makes it."""
    fault = kinds()[kind]
    return fault.make(lab, msgspec.convert({"kind": kind, **given}, fault.spec))
