"""Limits from good pictures that nothing was fitted on, for a share of overkill of the whole decision.

Each good picture gets one number, its *strain*: how far the worse of its scores lies out in its own tail (novelty above
or below, confidence below), in units of that tail's width. The limits are where the strain reaches its conformal
quantile, so that the target holds for the decision as a whole and not for each limit by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_deploy.errors import DeployError
from inspector.core.manifest import LimitSpec, LimitsSpec
from inspector.core.stats import conformal_limit
from inspector.core.types import Limits, Prediction

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """overkill: share of good parts that the whole decision may reject, 0..1.

    tail: quantile that measures a tail's width. The low novelty limit lies `low_slack` times further out than the high
    one: a score below all good parts means a stuck picture, not a strange part. min_confidence stays in `confidence`:
    below, nearly any class would do; above, rounding on another CPU would decide. Where there are too few pictures for
    the target, the limits lie at the worst good picture times `few_slack`, and the bounds say what that is worth.
    """

    overkill: float = 0.005
    tail: float = 0.95
    low_slack: float = 2.0
    few_slack: float = 1.1
    confidence: tuple[float, float] = (0.5, 0.99)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Limits, still without bounds (those come from the test split), and what a person should know."""

    limits: LimitsSpec
    notes: tuple[str, ...]


def calibrate(
    good: Sequence[Prediction],
    negatives: Mapping[str, Sequence[Prediction]],
    good_labels: frozenset[str],
    cfg: CalibrationConfig = CalibrationConfig(),
) -> Calibrated:
    """good: predictions of held-out good pictures; negatives: by kind, {} where built without.

    Raises DeployError: no good pictures, none of them recognised, or a negative inside the limits.
    """
    right = [p for p in good if p.label in good_labels]
    if len(right) < max(2, len(good) / 2):
        raise DeployError(
            f"only {len(right)} of {len(good)} good calibration pictures are classed as good: "
            "train longer or look at the labels; there is nothing to set limits from"
        )
    novelty, unsure = np.array([p.novelty_score for p in right]), np.array([_unsure(p.confidence) for p in right])
    middle, above, below = _tails(novelty, cfg.tail)
    unsure_middle, unsure_above, _ = _tails(unsure, cfg.tail)
    tails = [
        (novelty - middle) / above,
        (middle - novelty) / below / cfg.low_slack,
        (unsure - unsure_middle) / unsure_above,
    ]
    k, notes = _reach(np.max(tails, axis=0), len(good) - len(right), cfg)
    low, high = middle - k * cfg.low_slack * below, middle + k * above
    confidence = float(np.clip(_sure(unsure_middle + k * unsure_above), *cfg.confidence))
    _refuse_inside(negatives, low, high)
    scores = [p.novelty_score for predictions in negatives.values() for p in predictions]
    limits = LimitsSpec(
        min_confidence=LimitSpec(confidence, (min(cfg.confidence[0], confidence), 1.0)),
        novelty_low=LimitSpec(low, (_halfway(low, [s for s in scores if s < low], low - (middle - low)), middle)),
        novelty_high=LimitSpec(high, (middle, _halfway(high, [s for s in scores if s > high], high + (high - middle)))),
        max_anomaly_score=None,
        novelty_median=middle,
        anomaly_median=None,
        chosen_by=f"overkill {cfg.overkill:.2%} of the whole decision, {len(good)} good pictures",
        bounds=(),
    )
    return Calibrated(limits, notes)


def default_limits(spec: LimitsSpec, good_labels: frozenset[str]) -> Limits:
    """What `decide` takes, at the defaults."""
    anomaly = spec.max_anomaly_score
    return Limits(
        min_confidence=spec.min_confidence.default,
        max_anomaly_score=None if anomaly is None else anomaly.default,
        novelty_range=(spec.novelty_low.default, spec.novelty_high.default),
        good_labels=good_labels,
    )


def _reach(strain: Float, misclassed: int, cfg: CalibrationConfig) -> tuple[float, tuple[str, ...]]:
    """How far out the limits lie, in tail widths; misclassed good pictures have strained beyond any limit."""
    n, largest = len(strain) + misclassed, float(strain.max())
    beyond = np.full(misclassed, 1e9)
    try:
        k = conformal_limit(np.concatenate([strain, beyond]), cfg.overkill)
    except ValueError as exc:
        return largest * cfg.few_slack, (f"{exc}; the limits lie at the worst good picture and a little",)
    if k <= largest:
        return k, ()
    share = f"{misclassed} of {n} good calibration pictures are classed as defects"
    return largest, (f"{share}: an overkill of {cfg.overkill:.2%} is out of reach of any limit",)


def _refuse_inside(negatives: Mapping[str, Sequence[Prediction]], low: float, high: float) -> None:
    inside = {
        kind: [p.novelty_score for p in found if low <= p.novelty_score <= high] for kind, found in negatives.items()
    }
    told = [
        f"{len(scores)} of {len(negatives[kind])} {kind} (scores {min(scores):.3g} to {max(scores):.3g})"
        for kind, scores in inside.items()
        if scores
    ]
    if told:
        raise DeployError(
            f"negatives lie inside the novelty limits {low:.3g} to {high:.3g}: {'; '.join(told)}. A picture without a "
            "whole, right part could pass. Look at these pictures first (is one of them a good part?); more good and "
            "defect pictures make the limits tighter; --overkill sets how many good parts they may cost"
        )


def _tails(values: Float, tail: float) -> tuple[float, float, float]:
    """Median, and the widths of the upper and the lower tail; never zero, so that equal scores give a limit too."""
    low, middle, high = (float(q) for q in np.quantile(values, [1 - tail, 0.5, tail]))
    smallest = max(1e-6, 1e-3 * abs(middle))
    return middle, max(high - middle, smallest), max(middle - low, smallest)


def _unsure(confidence: float) -> float:
    """Log odds of being wrong: confidence piles up at 1, this does not."""
    p = min(max(confidence, 1e-7), 1 - 1e-7)
    return math.log((1 - p) / p)


def _sure(unsure: float) -> float:
    return 1 / (1 + math.exp(unsure))


def _halfway(limit: float, beyond: Sequence[float], furthest: float) -> float:
    """How far a recipe may loosen a limit: half the way to the nearest negative, and no further than `furthest`."""
    if not beyond:
        return furthest
    nearest = min(beyond, key=lambda score: abs(score - limit))
    return min(furthest, (limit + nearest) / 2) if nearest > limit else max(furthest, (limit + nearest) / 2)
