"""Curves of a classifier's probabilities: ROC, precision and recall, escape against overkill, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from inspector.core.stats import auroc

Floats = NDArray[np.float64]
BINS = 15  # of confidence, as Guo et al. 2017 draw them


@dataclass(frozen=True, slots=True, eq=False)
class ClassCurves:
    """One class against all others. Arrays of one length each pair, from the strictest threshold to the loosest."""

    false_share: Floats  # ROC: share of the others called this class
    true_share: Floats
    recall: Floats
    precision: Floats
    auroc: float
    average_precision: float


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Confidence of the class judged against how often it is right, in bins of equal width; empty bins are left out.

    ece: expected calibration error, the mean gap weighted by pictures (Naeini et al. 2015, Guo et al. 2017), 0..1.
    """

    confidence: Floats  # mean of each bin
    right: Floats  # share of each bin
    pictures: NDArray[np.int64]
    ece: float


@dataclass(frozen=True, slots=True, eq=False)
class Trade:
    """Rule: a part passes from a summed probability of the acceptable classes on. One entry a threshold."""

    overkill: Floats
    escape: Floats
    threshold: Floats


def class_curves(probabilities: NDArray[Any], truth: NDArray[Any]) -> list[ClassCurves | None]:
    """probabilities: (N, K), truth: (N,). None for a class that does not occur, or alone occurs."""
    return [_one_class(probabilities[:, k].astype(np.float64), truth == k) for k in range(probabilities.shape[1])]


def trade(probabilities: NDArray[Any], truth: NDArray[Any], acceptable: Sequence[bool]) -> Trade | None:
    """Escape against overkill at every threshold; None where there are no good or no bad parts."""
    may_pass = np.asarray(acceptable, bool)
    good = may_pass[truth]
    if good.all() or not good.any():
        return None
    passing = probabilities[:, may_pass].sum(1, dtype=np.float64)
    good_rejected, bad_rejected, threshold = roc_curve(~good, -passing)  # positive: a bad part
    return Trade(good_rejected, 1 - bad_rejected, -threshold)


def reliability(probabilities: NDArray[Any], truth: NDArray[Any], bins: int = BINS) -> Reliability:
    """Of the most probable class. Raises ValueError: no picture."""
    if not len(truth):
        raise ValueError("no picture to measure reliability on")
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    number = np.bincount(place, minlength=bins)
    used = number > 0
    mean = np.bincount(place, confidence, minlength=bins)[used] / number[used]
    share = np.bincount(place, right, minlength=bins)[used] / number[used]
    ece = float((number[used] * np.abs(mean - share)).sum() / len(truth))
    return Reliability(mean, share, number[used], ece)


def _one_class(score: Floats, is_class: NDArray[np.bool_]) -> ClassCurves | None:
    if is_class.all() or not is_class.any():
        return None
    false_share, true_share, _ = roc_curve(is_class, score)
    precision, recall, _ = precision_recall_curve(is_class, score)
    area = auroc(score[~is_class], score[is_class])
    return ClassCurves(false_share, true_share, recall[::-1], precision[::-1], area,
                       float(average_precision_score(is_class, score)))  # fmt: skip
