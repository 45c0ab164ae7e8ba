"""Statistics that reports, limits and the page share. Pure; on numpy and scipy, tested against published tables.

Convention of all scores here: higher is stranger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import beta, betabinom, binom, rankdata

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


def parts_needed(share: float, confidence: float = 0.95, failures: int = 0) -> int:
    """Parts that show a share of failures of at most `share` when `failures` of them fail (Wilks 1941).

    Without a failure: 59 for 5 %, 299 for 1 %, 598 for 0.5 %, 2995 for 0.1 %, with 95 % confidence.
    """
    if not 0 < share < 1 or not 0 < confidence < 1 or failures < 0:
        raise ValueError(
            f"share {share} and confidence {confidence} lie between 0 and 1, failures {failures} at 0 or up"
        )
    clean = math.ceil(math.log(1 - confidence) / math.log1p(-share))
    if not failures:
        return clean
    low, high = clean, 2 * (clean + failures)
    while binom.cdf(failures, high, share) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binom.cdf(failures, middle, share) <= 1 - confidence else (middle, high)
    return high


def failures_allowed(n: int, share: float, confidence: float = 0.95) -> int:
    """The most failures among `n` parts with which a share of at most `share` is still shown.

    Raises ValueError: `n` is below parts_needed(share), so that not even a clean set shows it.
    """
    need = parts_needed(share, confidence)
    if n < need:
        raise ValueError(
            f"{n} cannot show a share of at most {share:.3g}; that needs at least {need} without a failure"
        )
    most = int(binom.ppf(1 - confidence, n, share))
    return max(0, most if binom.cdf(most, n, share) <= 1 - confidence else most - 1)


def tolerance_limit(calibration: ArrayLike, share: float, confidence: float = 0.95) -> float:
    """The smallest order statistic t for which "reject s > t" rejects at most `share`, with `confidence` in this set.

    One-sided and free of any distribution (Wilks 1941); the maximum from parts_needed(share) scores on. conformal_limit
    keeps its share on average only. Raises ValueError: too few scores.
    """
    ordered = np.sort(_finite(calibration))
    return float(ordered[ordered.size - 1 - failures_allowed(ordered.size, share, confidence)])


def coverage_band(n: int, above: int, fresh: int, confidence: float = 0.95) -> Interval:
    """Where the share rejected of `fresh` parts lies, for a limit with `above` of `n` calibration scores above it.

    Beta-binomial (Angelopoulos and Bates 2023, section 3.2): exact while all parts are exchangeable and no scores tie.
    A share outside it says that the fresh parts are other parts than those of the calibration.
    """
    if not 0 <= above < n or fresh < 1:
        raise ValueError(f"{above} of {n} calibration scores above a limit, and {fresh} fresh parts, have no band")
    tail = (1 - confidence) / 2
    low, high = (float(betabinom.ppf(q, fresh, above + 1, n - above)) / fresh for q in (tail, 1 - tail))
    return Interval(low, high)


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


def cohen_kappa(matrix: ArrayLike) -> float:
    """Agreement of two raters beyond chance (Cohen 1960); matrix: (K, K) counts, row = first, column = second rater.

    Raises ValueError: no part, or both say one and the same class throughout, where chance explains everything.
    """
    counts = np.asarray(matrix, np.float64)
    _finite(counts)
    total = counts.sum()
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.min(initial=0) < 0 or not total:
        raise ValueError("kappa needs a square table of counts, and at least one part")
    seen, chance = np.trace(counts) / total, float(counts.sum(0) @ counts.sum(1)) / total**2
    return _beyond_chance(float(seen), chance)


def fleiss_kappa(counts: ArrayLike) -> float:
    """Agreement of several raters (Fleiss 1971); counts: (N parts, K classes), how many raters gave each class.

    Every part has the same number of raters, at least 2, not always the same ones. Raises ValueError.
    """
    table = np.asarray(counts, np.float64)
    _finite(table)
    if table.ndim != 2 or not table.size or table.min() < 0:
        raise ValueError("Fleiss' kappa needs a table of counts, a row a part")
    raters = table.sum(1)
    if raters[0] < 2 or (raters != raters[0]).any():
        raise ValueError("Fleiss' kappa needs the same number of raters for each part, at least 2")
    seen = ((table**2).sum(1) - raters) / (raters * (raters - 1))
    return _beyond_chance(float(seen.mean()), float(((table.sum(0) / table.sum()) ** 2).sum()))


def _beyond_chance(seen: float, chance: float) -> float:
    if chance >= 1:
        raise ValueError("only one class was ever given: agreement cannot be told from chance")
    return (seen - chance) / (1 - chance)


def psi(reference: ArrayLike, current: ArrayLike, bins: int = 10) -> float:
    """Population stability index of scores, over bins that hold equal shares of `reference`.

    Without a shift it is (1/n + 1/m) times a chi-squared of bins - 1 (Yurdakul 2018): judge it by that, for the usual
    0.1 and 0.25 alarm falsely on small samples. Raises ValueError: no scores.
    """
    old, new = _finite(reference), _finite(current)
    if not old.size or not new.size:
        raise ValueError("a stability index needs scores on both sides")
    edges = np.unique(np.quantile(old, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, s, side="left"), minlength=edges.size + 1) for s in (old, new)]
    return psi_of_counts(*counts)


def psi_of_counts(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index of counts in the same bins: the sum of (q - p) ln(q / p).

    Where a bin is empty on one side, half a part is added to every bin.
    """
    p, q = _finite(reference), _finite(current)
    if not p.all() or not q.all():
        p, q = p + 0.5, q + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


@dataclass(frozen=True, slots=True)
class Shift:
    """mmd2: squared maximum mean discrepancy, unbiased, so it may fall below 0. p: of "both are one distribution"."""

    mmd2: float
    p: float


def mmd_test(
    x: ArrayLike, y: ArrayLike, *, permutations: int = 500, seed: int = 0, gamma: float | None = None
) -> Shift:
    """Permutation test of Gretton et al. (2012), equation 3, with the kernel exp(-gamma |a - b|^2).

    x: (N, F), y: (M, F), at least 2 rows each; memory grows with (N + M)^2. gamma: None takes 1 / median |a - b|^2.
    p = (1 + permutations at least as far apart) / (permutations + 1), so it is never 0 (Phipson and Smyth 2010).
    """
    first, second = (np.atleast_2d(np.asarray(side, np.float64)) for side in (x, y))
    if len(first) < 2 or len(second) < 2 or first.shape[1:] != second.shape[1:]:
        raise ValueError("the test needs at least 2 rows on each side, of the same length")
    rows = np.concatenate([first, second])
    _finite(rows)
    squares = (rows**2).sum(1)
    distance = np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0.0)
    if gamma is None:
        median = float(np.median(distance[np.triu_indices(len(rows), 1)]))
        gamma = 1 / median if median > 0 else 1.0
    kernel = np.exp(-gamma * distance)
    np.fill_diagonal(kernel, 0.0)
    rng = np.random.default_rng(seed)
    sides = np.zeros((permutations + 1, len(rows)))
    sides[0, : len(first)] = 1.0
    for row in sides[1:]:
        row[rng.permutation(len(rows))[: len(first)]] = 1.0
    n, m, reach = len(first), len(second), sides @ kernel
    within, across = (reach * sides).sum(1), (reach * (1 - sides)).sum(1)
    rest = kernel.sum() - within - 2 * across
    found = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)
    as_far = int((found[1:] >= found[0] - 1e-12).sum())  # sums in another order differ by rounding
    return Shift(float(found[0]), (1 + as_far) / (permutations + 1))


def temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """T, 0.05..20, for which softmax(logits / T) fits best (Guo et al. 2017): above 1, the network was too sure.

    logits: (N, K), or log probabilities, which differ from them by a constant a row. truth: (N,) class ids. The class
    judged stays the same at any T. Raises ValueError: no picture, or not finite.
    """
    z, of = np.asarray(logits, np.float64), np.asarray(truth, np.int64)
    if z.ndim != 2 or len(z) != len(of) or not len(z) or not np.isfinite(z).all():
        raise ValueError("a temperature needs one finite row of logits for each picture, and at least one")
    rows = np.arange(len(z))

    def loss(log_t: float) -> float:
        return -float(log_softmax(z / math.exp(log_t), axis=1)[rows, of].mean())

    ends = (math.log(0.05), math.log(20.0))  # convex in 1/T, so with one minimum in log T too
    inside = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6}).x)
    return math.exp(min((inside, *ends), key=loss))


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64).ravel()
    if not np.isfinite(array).all():
        raise ValueError("a score is not finite")
    return array
