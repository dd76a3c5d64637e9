"""An extension was built against another torch: a function that it needs is not in this one."""

import ctypes
from pathlib import Path

import torch

from commcheck.worker.context import Fault

OF_TORCH_1_4 = "_ZN2at5emptyEN3c108ArrayRefIlEERKNS0_13TensorOptionsE"
"""at::empty(c10::ArrayRef<long>, c10::TensorOptions const&), which every extension of that time called; the signature
has changed since."""


class OldExtension(Fault):
    """`argument`: the symbol (default: one of torch 1.4)."""

    def act(self) -> None:
        """Look the symbol up in torch's library, as the dynamic linker does for the extension."""
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        getattr(library, self.argument or OF_TORCH_1_4)


FAULT = OldExtension
