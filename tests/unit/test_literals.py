"""The first pass over a large log sees only a signature's literals: every text that its pattern matches must hold one."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commcheck.diagnose import index
from commcheck.model.rule import Signature

_SIGNATURES = {entry.signature.pattern: entry.signature for entry in index.entries()}
_TEXT = st.characters(codec="ascii", exclude_characters="\n")


@pytest.mark.parametrize("signature", _SIGNATURES.values(), ids=lambda s: s.literal[:40])
def test_every_match_holds_a_literal(signature: Signature) -> None:
    literals, pattern = signature.literal.split(" | "), re.compile(signature.pattern)

    @settings(max_examples=12, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(pattern, alphabet=_TEXT))
    def check(text: str) -> None:
        small = text.lower()
        assert pattern.search(text) is None or any(literal in small for literal in literals)

    check()
