"""Lines for a shell, to be copied or sourced before the job is started."""

from __future__ import annotations

from commcheck.suggest.form import Form, by_node, exports, shared, to_unset
from commcheck.suggest.model import Suggestion


def render(found: Suggestion) -> str:
    """`export`, and a `case` on the host's name for what differs between hosts."""
    lines = [*(f"unset {name}" for name in to_unset(found)), *exports(shared(found)), *by_node(found, "$(uname -n)")]
    return "\n".join(lines or ["# nothing needs to be set"]) + "\n"


FORM = Form(name="shell", what="export lines", render=render)
