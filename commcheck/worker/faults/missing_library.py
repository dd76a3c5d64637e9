"""The program loads what is not installed: a shared library, as an extension does, or a Python module."""

import ctypes
import importlib

from commcheck.worker.context import Fault


class MissingLibrary(Fault):
    """`argument`: a file (libmpi_cxx.so.1, of an Open MPI that nobody ships any more), or the name of a module."""

    def act(self) -> None:
        """Load it."""
        name = self.argument or "libmpi_cxx.so.1"
        if ".so" in name:
            ctypes.CDLL(name)
        else:
            importlib.import_module(name)


FAULT = MissingLibrary
