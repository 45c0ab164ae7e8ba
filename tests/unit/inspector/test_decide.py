"""The rule that earns a PASS."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.decide import decide, judge
from inspector.core.types import Limits, Mode, Outcome, Prediction
from plc.registers import Reason, Verdict

LIMITS = Limits(min_confidence=0.9, max_anomaly_score=2.0, novelty_range=(-1.0, 1.0), good_labels=frozenset({"good"}))
GOOD = Prediction("good", 0, 0.95, (0.95, 0.05), novelty_score=0.0, anomaly_score=1.0)


def test_a_part_that_satisfies_every_limit_passes():
    assert decide(GOOD, LIMITS) == Outcome(Verdict.PASS, Reason.NONE)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"novelty_score": 1.01}, Outcome(Verdict.NOT_INSPECTED, Reason.NO_PART)),
        ({"novelty_score": -1.01}, Outcome(Verdict.NOT_INSPECTED, Reason.NO_PART)),
        ({"novelty_score": math.nan}, Outcome(Verdict.NOT_INSPECTED, Reason.NO_PART)),
        ({"anomaly_score": 2.01}, Outcome(Verdict.FAIL, Reason.ANOMALY)),
        ({"anomaly_score": math.nan}, Outcome(Verdict.FAIL, Reason.ANOMALY)),
        ({"anomaly_score": None}, Outcome(Verdict.FAIL, Reason.ANOMALY)),
        ({"anomaly_score": 3.0, "label": "dent"}, Outcome(Verdict.FAIL, Reason.CLASS_AND_ANOMALY)),
        ({"confidence": 0.89}, Outcome(Verdict.UNCERTAIN, Reason.LOW_CONFIDENCE)),
        ({"confidence": math.nan}, Outcome(Verdict.UNCERTAIN, Reason.LOW_CONFIDENCE)),
        ({"label": "dent"}, Outcome(Verdict.FAIL, Reason.CLASS)),
    ],
)
def test_one_limit_missed_is_a_reject_that_says_why(change, expected):
    assert decide(replace(GOOD, **change), LIMITS) == expected


def test_a_limit_of_zero_is_a_limit():
    assert decide(GOOD, replace(LIMITS, max_anomaly_score=0.0)).verdict is Verdict.FAIL


any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(any_float, any_float, st.none() | any_float, st.sampled_from(["good", "dent"]))
def test_pass_is_given_only_inside_every_limit(confidence, novelty, anomaly, label):
    p = replace(GOOD, confidence=confidence, novelty_score=novelty, anomaly_score=anomaly, label=label)
    earned = -1.0 <= novelty <= 1.0 and anomaly is not None and anomaly <= 2.0 and confidence >= 0.9 and label == "good"
    assert (decide(p, LIMITS).verdict is Verdict.PASS) == earned


@pytest.mark.parametrize("mode", [Mode.MONITOR, Mode.COLLECT])
def test_a_station_that_only_watches_never_passes(mode):
    assert judge(GOOD, LIMITS, mode) == Outcome(Verdict.NOT_INSPECTED, Reason.COLLECTING)


def test_a_monitoring_station_still_says_why_it_would_reject():
    assert judge(replace(GOOD, label="dent"), LIMITS, Mode.MONITOR) == Outcome(Verdict.FAIL, Reason.CLASS)


@pytest.mark.parametrize(("prediction", "limits"), [(None, LIMITS), (GOOD, None)])
def test_no_prediction_or_no_limits_is_never_a_pass(prediction, limits):
    assert judge(prediction, limits, Mode.INSPECT).verdict is Verdict.NOT_INSPECTED
