"""A fragment of a pod's specification, for a PyTorchJob's template or any other."""

from __future__ import annotations

from commcheck.suggest.form import Form, differing
from commcheck.suggest.model import Suggestion

_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def render(found: Suggestion) -> str:
    """One document, or one per node where settings differ. The network is the node's, since that is what was tried."""
    if not any(found.environment(h) for h in found.hosts):
        return "# nothing needs to be set\n"
    if not differing(found):
        return _pod(found.environment(found.main), "")
    return "---\n".join(_pod(found.environment(h), found.hostnames[h]) for h in found.hosts)


def _pod(settings: dict[str, str], node: str) -> str:
    lines = ["spec:", "  hostNetwork: true", "  dnsPolicy: ClusterFirstWithHostNet"]
    if node:
        lines += ["  nodeSelector:", f"    kubernetes.io/hostname: {quoted(node)}"]
    lines += ["  containers:", "    - name: pytorch", "      env:" if settings else "      env: []"]
    for name, value in settings.items():
        # Kubernetes expands $(NAME) in values, and takes $$ for a dollar sign.
        lines += [f"        - name: {quoted(name)}", f"          value: {quoted(value.replace('$', '$$'))}"]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A double-quoted scalar of YAML 1.1 and 1.2; what cannot be printed is written by its number."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in _SHORT:
        return _SHORT[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


FORM = Form(name="kubernetes", what="env of a pod's containers", render=render)
