"""The rule: PASS is earned. Pure; written as what a good part satisfies, so that NaN fails."""

from __future__ import annotations

from inspector.core.types import Limits, Mode, Outcome, Prediction
from plc.registers import Reason, Verdict


def decide(p: Prediction, limits: Limits) -> Outcome:
    """Judge one prediction. Order: is a whole, right part there at all; anomaly; confidence; class."""
    low, high = limits.novelty_range
    if not low <= p.novelty_score <= high:  # `not <=`: NaN rejects
        return Outcome(Verdict.NOT_INSPECTED, Reason.NO_PART)
    limit, score = limits.max_anomaly_score, p.anomaly_score
    strange = limit is not None and not (score is not None and score <= limit)
    wrong_class = p.label not in limits.good_labels
    if strange:
        return Outcome(Verdict.FAIL, Reason.CLASS_AND_ANOMALY if wrong_class else Reason.ANOMALY)
    if not p.confidence >= limits.min_confidence:
        return Outcome(Verdict.UNCERTAIN, Reason.LOW_CONFIDENCE)
    if wrong_class:
        return Outcome(Verdict.FAIL, Reason.CLASS)
    return Outcome(Verdict.PASS, Reason.NONE)


def under_mode(outcome: Outcome, mode: Mode) -> Outcome:
    """Only a station in `inspect` may say PASS; elsewhere a pass is NOT_INSPECTED / collecting."""
    if outcome.verdict is Verdict.PASS and mode is not Mode.INSPECT:
        return Outcome(Verdict.NOT_INSPECTED, Reason.COLLECTING)
    return outcome


def judge(prediction: Prediction | None, limits: Limits | None, mode: Mode) -> Outcome:
    """The outcome under the station's mode; where nothing judged (mode `collect`) it is 4/114."""
    if mode is Mode.COLLECT or prediction is None or limits is None:
        return Outcome(Verdict.NOT_INSPECTED, Reason.COLLECTING)
    return under_mode(decide(prediction, limits), mode)
