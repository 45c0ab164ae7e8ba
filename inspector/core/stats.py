"""Statistics that reports, limits and the page share. Pure; on numpy and scipy, tested against published tables.

Convention of all scores here: higher is stranger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, rankdata

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a share, both 0..1."""

    low: float
    high: float


def clopper_pearson(
    k: int, n: int, confidence: float = 0.95, side: Literal["both", "upper", "lower"] = "both"
) -> Interval:
    """Exact bounds of a share of which `k` in `n` were seen. One-sided: the other bound is 0 or 1.

    With nothing seen (n = 0) everything is possible: 0 to 1. Raises ValueError: not 0 <= k <= n, or no confidence.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    tail = (1 - confidence) / (2 if side == "both" else 1)
    low = float(beta.ppf(tail, k, n - k + 1)) if k > 0 and side != "upper" else 0.0
    high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n and side != "lower" else 1.0
    return Interval(low, high)


def conformal_p(calibration: ArrayLike, scores: ArrayLike) -> Floats:
    """p = (1 + number of calibration scores >= s) / (n + 1) for each score s; ties count against the part.

    Rejecting p <= alpha rejects at most alpha of the good parts on average, while parts stay exchangeable.
    """
    ordered = np.sort(_finite(calibration))
    at_least = ordered.size - np.searchsorted(ordered, _finite(scores), side="left")
    return (1.0 + at_least) / (ordered.size + 1.0)


def conformal_limit(calibration: ArrayLike, alpha: float) -> float:
    """The smallest limit t for which the rule "reject s > t" rejects at most `alpha` of good parts on average.

    t is an order statistic of the calibration scores. For this one calibration set, with r scores above t, overkill is
    at most `clopper_pearson(r, n, side="upper").high` with 95 % confidence: the order statistic's Beta quantile.
    Raises ValueError: too few scores to promise `alpha`.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    ordered = np.sort(_finite(calibration))
    rank = math.ceil((ordered.size + 1) * (1 - alpha) - 1e-9)  # the product of 0.99 and 100 is not quite 99
    if rank > ordered.size:
        need = math.ceil(1 / alpha - 1e-9) - 1
        raise ValueError(f"{ordered.size} good parts cannot promise {alpha:.2%} overkill; that needs at least {need}")
    return float(ordered[rank - 1])


def parts_needed(share: float, confidence: float = 0.95) -> int:
    """Good parts (or caught defects) without one failure that show a share of failures of at most `share`."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-share))


def auroc(normal: ArrayLike, strange: ArrayLike) -> float:
    """Chance that a strange part scores above a normal one; ties count half. Raises ValueError: one side is empty."""
    low, high = _finite(normal), _finite(strange)
    if not low.size or not high.size:
        raise ValueError("AUROC needs normal and strange parts")
    ranks = rankdata(np.concatenate([low, high]))[low.size :]
    return float((ranks.sum() - high.size * (high.size + 1) / 2) / (low.size * high.size))


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """(K, K) counts, row = true class, column = predicted class."""
    cells = np.asarray(truth, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Per class, (K,) each; NaN where the class does not occur and so has no recall."""

    recall: Floats
    precision: Floats
    f1: Floats

    def macro(self) -> tuple[float, float, float]:
        """Mean recall, precision and F1 over the classes that occur."""
        occurs = ~np.isnan(self.recall)
        if not occurs.any():
            raise ValueError("no picture of any class")
        return float(self.recall[occurs].mean()), float(self.precision[occurs].mean()), float(self.f1[occurs].mean())


def class_scores(matrix: NDArray[np.int64]) -> ClassScores:
    """Recall, precision and F1 of each class of a confusion matrix; precision of a class never predicted is 0."""
    hits, of, said = np.diag(matrix).astype(float), matrix.sum(1).astype(float), matrix.sum(0).astype(float)
    absent = np.where(of > 0, 0.0, np.nan)  # adds NaN where a class does not occur
    recall = hits / np.maximum(of, 1) + absent
    precision = hits / np.maximum(said, 1) + absent
    f1 = 2 * hits / np.maximum(of + said, 1) + absent
    return ClassScores(recall, precision, f1)


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64).ravel()
    if not np.isfinite(array).all():
        raise ValueError("a score is not finite")
    return array
