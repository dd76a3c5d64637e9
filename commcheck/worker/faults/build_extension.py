"""The program builds a C++ extension when it starts, as DeepSpeed and many layers do, on a host without the tools."""

import os
import tempfile

from commcheck.worker.context import Fault


class BuildExtension(Fault):
    """`argument`: the PATH on which the tools are looked for (/nowhere)."""

    def act(self) -> None:
        """Build; torch looks for ninja first."""
        from torch.utils import cpp_extension  # takes long, and only this fault needs it

        os.environ["PATH"] = self.argument or "/nowhere"
        with tempfile.TemporaryDirectory() as directory:
            cpp_extension.load_inline("layer", "int one() { return 1; }", functions=["one"], build_directory=directory)


FAULT = BuildExtension
