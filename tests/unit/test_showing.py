"""Which symptom a cause is said to show: by its wording, by its traceback, by the rest of the log, and what else it may be."""

import pytest

from commcheck.diagnose.build import report
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import FLAGGED, judge
from commcheck.model.diagnosis import Diagnosis
from commcheck.report import to_text

_CLOSED = (
    "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.9.0.2]:38032"
)
_TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 9, in <module>\n{frame}\n'


def _said(text: str) -> tuple[Diagnosis, ...]:
    return judge(case_from_text([("job.log", text.encode())])).diagnoses


@pytest.mark.parametrize(
    ("frame", "symptom"),
    [
        ('  File "t/distributed_c10d.py", line 9, in init_process_group', "setup-failure"),
        ('  File "t/nn/parallel/distributed.py", line 674, in __init__', "prep-communication-error"),
        ('  File "t/autograd/__init__.py", line 2, in backward', "train-communication-error"),
        ('  File "t/autograd/grad_mode.py", line 27, in decorate_context', "train-communication-error"),
    ],
)
def test_the_traceback_tells_the_stage(frame: str, symptom: str) -> None:
    assert _said(_TRACEBACK.format(frame=frame) + _CLOSED)[0].symptom.value == symptom


def test_the_traceback_is_nearer_than_the_rest_of_the_log() -> None:
    setup = _TRACEBACK.format(frame='  File "t/distributed_c10d.py", line 9, in init_process_group')
    assert _said("Epoch 1 step 3 loss 0.5\n" + setup + _CLOSED)[0].symptom.value == "setup-failure"


def test_the_start_of_a_process_is_no_stage() -> None:
    frame = '  File "/usr/lib/python3.10/multiprocessing/process.py", line 314, in _bootstrap'
    assert _said(_TRACEBACK.format(frame=frame) + _CLOSED)[0].symptom.value == "train-communication-error"


@pytest.mark.parametrize(
    ("line", "symptom"),
    [
        ("RuntimeError: connect: No route to host", "setup-failure"),
        ("RuntimeError: connect() timed out. Original timeout was 60000 ms.", "setup-hang-timeout"),
        ("RuntimeError: Connection refused", "setup-failure"),
    ],
)
def test_an_error_is_no_hang(line: str, symptom: str) -> None:
    assert _said(line)[0].symptom.value == symptom


def test_what_the_log_does_not_decide_is_offered_behind_all_else() -> None:
    said = _said(_CLOSED)
    symptoms = list(dict.fromkeys(d.symptom.value for d in said))
    assert {"train-communication-error", "prep-communication-error", "setup-failure"} <= set(symptoms[:3])
    first = {d.cause: d.confidence for d in reversed(said)}
    again = [d for d in said if d.title.endswith("(before the first step)")]
    assert again
    assert all(d.confidence < min(first.values()) + 1e-9 and d.confidence < FLAGGED for d in again)


def test_what_the_log_decides_is_not_asked_again() -> None:
    setup = _TRACEBACK.format(frame='  File "t/distributed_c10d.py", line 9, in init_process_group')
    assert {d.symptom.value for d in _said(setup + _CLOSED)} == {"setup-failure"}


def test_a_cause_that_stands_there_again_gets_a_line_and_is_not_counted() -> None:
    logs = (("job.log", "RuntimeError: CUDA error: invalid device ordinal"),)
    case = case_from_text([(name, text.encode()) for name, text in logs])
    said = report(case, judge(case), command=("commcheck", "diagnose"), seconds=0.0)
    text = to_text.render(said)
    assert text.splitlines()[0].startswith("UNHEALTHY  device-ordinal-out-of-range  (")
    assert text.count("  why ") == 1
    assert text.count("  or else ") == 2
