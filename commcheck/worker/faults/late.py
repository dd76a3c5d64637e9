"""The rank comes late, as after a slow import or a slow file system. Healthy, only slow."""

import time

from commcheck.worker.context import Fault


class Late(Fault):
    """`argument`: seconds."""

    def act(self) -> None:
        """Wait: the delay is the fault itself."""
        time.sleep(float(self.argument or 1))


FAULT = Late
