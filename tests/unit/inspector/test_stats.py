"""Statistics against published values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.core.stats import (
    auroc,
    class_scores,
    clopper_pearson,
    conformal_limit,
    conformal_p,
    confusion,
    parts_needed,
)


@pytest.mark.parametrize(
    ("k", "n", "confidence", "low", "high"),
    [
        (4, 20, 0.90, 0.071354, 0.401029),  # NIST/SEMATECH e-Handbook, 7.2.4.1
        (0, 10, 0.95, 0.0, 0.308497),  # Geigy tables, exact binomial limits
        (1, 10, 0.95, 0.002529, 0.445016),
        (5, 10, 0.95, 0.187086, 0.812914),
        (10, 100, 0.95, 0.049005, 0.176223),
        (10, 10, 0.95, 0.691503, 1.0),
    ],
)
def test_exact_bounds_agree_with_the_tables(k: int, n: int, confidence: float, low: float, high: float) -> None:
    interval = clopper_pearson(k, n, confidence)
    assert interval.low == pytest.approx(low, abs=1e-6)
    assert interval.high == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize(("share", "parts"), [(0.05, 59), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_parts_needed_for_a_promise_agree_with_the_table(share: float, parts: int) -> None:
    assert parts_needed(share) == parts
    assert clopper_pearson(0, parts, side="upper").high <= share < clopper_pearson(0, parts - 1, side="upper").high


def test_with_no_part_seen_every_share_is_possible() -> None:
    assert clopper_pearson(0, 0).low == 0.0
    assert clopper_pearson(0, 0).high == 1.0


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3)])
def test_an_impossible_count_is_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        clopper_pearson(k, n)


def test_conformal_p_counts_ties_against_the_part() -> None:
    np.testing.assert_allclose(conformal_p([1.0, 2.0, 3.0], [3.5, 3.0, 0.0]), [0.25, 0.5, 1.0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=20, max_size=60), st.sampled_from([0.05, 0.1, 0.3]))
def test_the_conformal_limit_is_the_rule_p_at_most_alpha(calibration: list[float], alpha: float) -> None:
    limit = conformal_limit(calibration, alpha)
    assert conformal_p(calibration, [np.nextafter(limit, 9)])[0] <= alpha
    below = [score for score in calibration if score < limit]
    if below:
        assert conformal_p(calibration, [np.nextafter(max(below), 9)])[0] > alpha


def test_too_few_good_parts_promise_nothing() -> None:
    assert conformal_limit(np.arange(99.0), 0.01) == 98.0
    with pytest.raises(ValueError, match="at least 99"):
        conformal_limit(np.arange(98.0), 0.01)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    assert auroc([0.1, 0.4], [0.35, 0.8]) == 0.75  # the example of scikit-learn's documentation
    assert auroc([1.0, 1.0], [1.0]) == 0.5
    with pytest.raises(ValueError, match="not finite"):
        auroc([float("nan")], [1.0])


def test_macro_scores_skip_a_class_that_does_not_occur() -> None:
    # the three-class example of scikit-learn's user guide, and a fourth class without pictures
    scores = class_scores(confusion([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 4))
    recall, precision, f1 = scores.macro()
    assert (recall, precision, f1) == pytest.approx((1 / 3, 2 / 9, 0.8 / 3))
    assert np.isnan(scores.recall[3])
