"""Regular expressions that wait until they are needed: compiling all that we have takes longer than reading a short log."""

import re
from functools import cached_property


class Lazy:
    """A regular expression that is compiled when it is first used."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._pattern, self._flags = pattern, flags

    @cached_property
    def re(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self._pattern, self._flags)
