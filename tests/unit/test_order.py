"""Which of several causes lead: from a cause follows what it explains, and something always leads."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.diagnose import index
from commcheck.diagnose.match import FLAGGED, order
from commcheck.model.case import Case, Origin
from commcheck.model.diagnosis import Match, Role

RULE = index.rules()["port-dropped"]
NAMES = ("a", "b", "c", "d", "e")
CASES = (Case(origin=Origin.WORLD), Case(origin=Origin.LOG))


def found(explains, sure):
    return [
        (
            replace(RULE, cause=name, code=f"CC{n}", explains=explains.get(name, ())),
            Match(symptom=RULE.symptoms[0], title=name, confidence=confidence),
        )
        for n, (name, confidence) in enumerate(sure.items())
    ]


def roots(explains, sure, case=CASES[0]):
    return [d.cause for d in order(found(explains, sure), case) if d.role is Role.ROOT]


def test_what_another_explains_follows_from_it_unless_it_is_far_surer():
    assert roots({"a": ("b",)}, {"a": 0.8, "b": 0.9}) == ["a"]
    assert roots({"a": ("b",)}, {"a": 0.6, "b": 0.9}) == ["b", "a"]
    assert roots({"a": ("b",)}, {"a": 0.8, "b": 0.9}, CASES[1]) == ["b", "a"]
    assert roots({"a": ("b",)}, {"a": 0.49, "b": 0.4}) == ["a", "b"]


def test_of_two_that_explain_each_other_the_surer_leads():
    both = {"a": ("b",), "b": ("a",)}
    assert roots(both, {"a": 0.8, "b": 0.9}) == ["b"]
    assert roots(both, {"a": 0.8, "b": 0.8}) == ["a"]
    assert roots(both, {"a": 0.8, "b": 0.8}, CASES[1]) == ["a"]


def test_two_that_explain_each_other_both_follow_from_a_third():
    assert roots({"a": ("b",), "b": ("a",), "c": ("a",)}, {"a": 0.8, "b": 0.9, "c": 0.8}) == ["c"]


def test_in_the_catalogue_no_two_causes_hide_each_other():
    rules = index.rules()
    for a, b in permutations(rules.values(), 2):
        if b.cause in a.explains and a.cause in b.explains:
            match = Match(symptom=a.symptoms[0], title="", confidence=0.8)
            made = order([(a, match), (b, replace(match, symptom=b.symptoms[0]))], CASES[0])
            assert [d.role for d in made] == [Role.ROOT, Role.CONSEQUENCE]


@given(
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=3).map(tuple)),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0.3, 0.5, 0.6, 0.7, 0.8, 0.9]), min_size=1),
    st.sampled_from(CASES),
)
def test_something_leads_and_what_follows_follows_from_something(explains, sure, case):
    leading = roots(explains, sure, case)
    assert leading
    for name in sure.keys() - set(leading):
        assert any(name in explains.get(other, ()) and sure[other] >= FLAGGED for other in sure.keys() - {name})
