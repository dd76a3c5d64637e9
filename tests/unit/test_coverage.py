"""Every cause and every symptom is shown by a real world, or it is written down why none can."""

import pytest

from commcheck.diagnose.match import rules
from commcheck.model.taxonomy import Symptom
from commcheck.scenarios.coverage import NOT_PRODUCED, NOT_SHOWN
from commcheck.scenarios.load import folder, load_all


@pytest.fixture(scope="module")
def scenarios():
    return [found.scenario for found in load_all(folder(None))]


def test_every_cause_is_produced_or_it_is_said_why_not(scenarios):
    produced = {s.expect.cause for s in scenarios} - {""}
    assert {r.cause for r in rules()} - produced == set(NOT_PRODUCED)


def test_every_symptom_is_shown_or_it_is_said_why_not(scenarios):
    shown = {symptom for s in scenarios for symptom in s.expect.symptoms}
    assert set(Symptom) - shown == set(NOT_SHOWN)


def test_the_reasons_are_single_sentences():
    for reason in (*NOT_PRODUCED.values(), *NOT_SHOWN.values()):
        assert reason
        assert reason[-1] not in ".!?"
