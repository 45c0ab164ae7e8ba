"""One number a picture, its strain: the picture passes exactly where its strain is at most k, and k gives every limit.

The strain says how far the worst of a picture's scores lies out in its own tail of good parts, in units of that tail's
width. So one number stands for the whole decision: a rank among strains is a rank among decisions, whatever they fail
on. What passes at no k (called a defect, less sure than any limit allows, outside wide novelty limits) strains without
end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_deploy.errors import DeployError, NegativesInside
from inspector.core.types import Prediction

Float = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What decides over N pictures. called_good: the class judged may pass. anomaly: None where the bundle has none."""

    novelty: Float
    confidence: Float
    anomaly: Float | None
    called_good: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.novelty)

    def of(self, which: NDArray[np.bool_]) -> Scores:
        anomaly = None if self.anomaly is None else self.anomaly[which]
        return Scores(self.novelty[which], self.confidence[which], anomaly, self.called_good[which])


def scores_of(predictions: Sequence[Prediction], good_labels: frozenset[str], what: str) -> Scores:
    """Raises DeployError: a score is missing in some of them, or not finite."""
    novelty = np.array([p.novelty_score for p in predictions], np.float64)
    confidence = np.array([p.confidence for p in predictions], np.float64)
    found = [p.anomaly_score for p in predictions if p.anomaly_score is not None]
    if found and len(found) < len(predictions):
        raise DeployError(f"{len(predictions) - len(found)} of {len(predictions)} {what} have no anomaly score")
    anomaly = np.array(found, np.float64) if found else None
    for name, values in (("novelty score", novelty), ("confidence", confidence), ("anomaly score", anomaly)):
        if values is not None and (odd := int((~np.isfinite(values)).sum())):
            raise DeployError(f"the {name} of {odd} of {len(values)} {what} is not finite: the model cannot be used")
    return Scores(novelty, confidence, anomaly, np.array([p.label in good_labels for p in predictions], np.bool_))


@dataclass(frozen=True, slots=True)
class Tail:
    """Median of good parts, and the widths of the upper and the lower tail, never zero."""

    middle: float
    above: float
    below: float


def tail_of(values: Float, quantile: float, least: float = 1e-6) -> Tail:
    """No narrower than `least`, so that equal scores give a limit too."""
    low, middle, high = (float(q) for q in np.quantile(values, [1 - quantile, 0.5, quantile]))
    smallest = max(least, 1e-3 * abs(middle))
    return Tail(middle, max(high - middle, smallest), max(middle - low, smallest))


@dataclass(frozen=True, slots=True)
class ShapeConfig:
    """tail: quantile that measures a tail's width.

    Where novelty decides, its low limit lies `low_slack` times further out than the high one: a score below all good
    parts means a stuck picture, not a strange part. Where an anomaly score decides, novelty's limits lie `wide` times
    as far out as the furthest good part, and midway to the nearest negative where that is nearer. The limit of
    confidence stays in `confidence`: below, nearly any class would do; above, rounding on another CPU would decide.
    """

    tail: float = 0.95
    low_slack: float = 2.0
    wide: float = 2.0
    confidence: Range = (0.5, 0.99)


@dataclass(frozen=True, slots=True)
class AtLimits:
    """The limits that k comes to."""

    min_confidence: float
    max_anomaly_score: float | None
    novelty_low: float
    novelty_high: float


@dataclass(frozen=True, slots=True)
class Shape:
    """The tails of good parts. wide: novelty's limits where they are no vote on defects; None: they move with k."""

    unsure: Tail
    novelty: Tail
    anomaly: Tail | None
    wide: Range | None
    cfg: ShapeConfig = field(default_factory=ShapeConfig)

    def strain(self, s: Scores) -> Float:
        """(N,), +inf for what passes at no k."""
        least, most = self.cfg.confidence
        terms = np.where(s.confidence >= most, -np.inf, (unsure(s.confidence) - self.unsure.middle) / self.unsure.above)
        never = ~s.called_good | (s.confidence < least)
        if self.anomaly is not None and s.anomaly is not None:
            terms = np.maximum(terms, (s.anomaly - self.anomaly.middle) / self.anomaly.above)
        if self.wide is not None:
            never |= (s.novelty < self.wide[0]) | (s.novelty > self.wide[1])
        else:
            high = (s.novelty - self.novelty.middle) / self.novelty.above
            low = (self.novelty.middle - s.novelty) / self.novelty.below / self.cfg.low_slack
            terms = np.maximum(terms, np.maximum(low, high))
        return np.where(never, np.inf, terms)

    def limits(self, k: float) -> AtLimits:
        """k: finite."""
        novelty, anomaly = self.novelty, self.anomaly
        confidence = float(np.clip(_sure(self.unsure.middle + k * self.unsure.above), *self.cfg.confidence))
        low, high = self.wide or (
            novelty.middle - k * self.cfg.low_slack * novelty.below,
            novelty.middle + k * novelty.above,
        )
        return AtLimits(confidence, None if anomaly is None else anomaly.middle + k * anomaly.above, low, high)


def shape_of(good: Scores, wide: Range | None, cfg: ShapeConfig) -> Shape:
    """The tails of those good parts that are called good. wide: see Shape."""
    right = good.of(good.called_good)
    return Shape(
        unsure=tail_of(unsure(right.confidence), cfg.tail, least=1e-3),
        novelty=tail_of(right.novelty, cfg.tail),
        anomaly=None if right.anomaly is None else tail_of(right.anomaly, cfg.tail),
        wide=wide,
        cfg=cfg,
    )


def own_strain(scores: Scores, unit_of: NDArray[np.intp], shape: Shape, folds: int = 200) -> Float:
    """(N,) strains of the very pictures that `shape` was measured on; unit_of: (N,) number of each picture's unit.

    A part that widens its own tail looks less strained than one that comes after it: each is measured by the tails of
    the others, left out one unit (of many units, one in `folds`) at a time, and counts with the larger of both strains.
    With that, limits keep their promise on parts to come (docs/decisions/0039-calibration.md).
    """
    found = shape.strain(scores)
    fold_of = unit_of % folds
    for fold in np.unique(fold_of):
        inside = fold_of == fold
        rest = scores.of(~inside)
        if rest.called_good.any():
            others = shape_of(rest, shape.wide, shape.cfg)
            found[inside] = np.maximum(found[inside], others.strain(scores.of(inside)))
    return found


def wide_novelty(good: Scores, negatives: Iterable[float], cfg: ShapeConfig) -> Range:
    """Novelty's limits where an anomaly score tells defects: only what holds no whole, right part lies outside."""
    novelty = good.novelty[good.called_good]
    middle = float(np.median(novelty))
    scores = list(negatives)
    smallest = max(1e-6, 1e-3 * abs(middle))

    def reach(values: Float, strange: Sequence[float]) -> float:
        """The same in both directions: distances from the middle, all positive."""
        furthest = cfg.wide * max(float(values.max(initial=0.0)), smallest)
        if not strange:
            return furthest
        nearest = min(strange)
        inner = float(values[values < nearest].max(initial=0.0))
        return min(furthest, (inner + nearest) / 2)

    high = reach(np.maximum(novelty - middle, 0.0), [s - middle for s in scores if s > middle])
    low = reach(np.maximum(middle - novelty, 0.0), [middle - s for s in scores if s < middle])
    return middle - low, middle + high


def refuse_inside(negatives: Mapping[str, Sequence[float]], low: float, high: float) -> None:
    """negatives: novelty scores by kind. Raises NegativesInside: some lie inside the limits."""
    inside = {kind: [i for i, s in enumerate(scores) if low <= s <= high] for kind, scores in negatives.items()}
    told = []
    for kind, which in inside.items():
        scores = [negatives[kind][i] for i in which]
        if scores:
            span = f"scores {min(scores):.3g} to {max(scores):.3g}"
            told.append(f"{len(scores)} of {len(negatives[kind])} {kind} ({span})")
    if told:
        raise NegativesInside(
            f"negatives lie inside the novelty limits {low:.3g} to {high:.3g}: {'; '.join(told)}. A picture without a "
            "whole, right part could pass. Look at these pictures first (is one of them a good part?); more good and "
            "defect pictures make the limits tighter; --overkill sets how many good parts they may cost; a kind that "
            "looks much like a part is better taught as a class that may not pass: move its folder from negatives/ "
            "beside the other classes, and train again",
            inside,
        )


def unsure(confidence: Float) -> Float:
    """Log odds of being wrong: confidence piles up at 1, this does not."""
    p = np.clip(confidence, 1e-7, 1 - 1e-7)
    return np.asarray(np.log((1 - p) / p), np.float64)


def _sure(log_odds: float) -> float:
    return 1 / (1 + math.exp(min(log_odds, 700.0)))
