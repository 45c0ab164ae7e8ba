"""Statistics against published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr
from scipy.stats import chi2

from inspector.core.stats import (
    Floats,
    auroc,
    class_scores,
    clopper_pearson,
    cohen_kappa,
    conformal_limit,
    conformal_p,
    confusion,
    coverage_band,
    failures_allowed,
    fleiss_kappa,
    mmd_test,
    parts_needed,
    psi,
    psi_of_counts,
    temperature,
    tolerance_limit,
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


def test_the_factors_of_one_sided_tolerance_limits_agree_with_wilks() -> None:
    """Wilks' numbers of runs, 95/95 (as in NUREG/CR-6249's table and IAEA SRS 52) and 95 % confidence at 99 %."""
    assert [parts_needed(0.05, failures=r) for r in range(8)] == [59, 93, 124, 153, 181, 208, 234, 260]
    assert [parts_needed(0.01, failures=r) for r in range(3)] == [299, 473, 628]
    assert [parts_needed(0.10, 0.90, failures=r) for r in range(4)] == [22, 38, 52, 65]
    assert parts_needed(0.5) == 5  # the worst of 5 lots bounds the median lot


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.floats(0.002, 0.5), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_failures_allowed_are_the_most_with_which_the_bound_holds(n: int, share: float, confidence: float) -> None:
    if n < parts_needed(share, confidence):
        with pytest.raises(ValueError, match=f"at least {parts_needed(share, confidence)}"):
            failures_allowed(n, share, confidence)
        return
    most = failures_allowed(n, share, confidence)
    assert clopper_pearson(most, n, confidence, "upper").high <= share * (1 + 1e-9)
    assert clopper_pearson(most + 1, n, confidence, "upper").high > share
    assert parts_needed(share, confidence, most) <= n < parts_needed(share, confidence, most + 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=59, max_size=300), st.sampled_from([0.05, 0.1, 0.3]))
def test_the_tolerance_limit_leaves_as_many_scores_above_as_are_allowed(scores: list[float], share: float) -> None:
    limit = tolerance_limit(scores, share)
    above = sum(score > limit for score in scores)
    assert above <= failures_allowed(len(scores), share) < above + scores.count(limit)
    assert limit >= conformal_limit(scores, share)  # a promise is never cheaper than an average


@pytest.mark.parametrize(("slack", "n"), [(0.1, 22), (0.05, 102), (0.01, 2491), (0.005, 9812)])
def test_the_band_of_coverage_agrees_with_the_table_of_angelopoulos_and_bates(slack: float, n: int) -> None:
    """Gentle introduction (2023), table 1: calibration sizes for coverage within 90 % +- slack in 90 % of sets."""
    above = n - math.ceil((n + 1) * 0.9 - 1e-9)
    band = coverage_band(n, above, 200_000, confidence=0.9)
    assert 0.1 - slack - 1e-3 <= band.low < 0.1 < band.high <= 0.1 + slack + 1e-3


def test_the_band_is_the_beta_binomial_law_counted_by_hand() -> None:
    """1 of 2 fresh parts is rejected with 4/10, neither with 3/10 and both with 3/10, when 1 of 3 scores lies above."""
    low, high = (coverage_band(3, 1, 2, confidence=c) for c in (0.3, 0.5))
    assert (low.low, low.high) == (0.5, 0.5)
    assert (high.low, high.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no band"):
        coverage_band(3, 3, 2)


def test_cohens_kappa_agrees_with_his_tables() -> None:
    """Cohen (1960), Educational and Psychological Measurement 20: tables 1 and 2."""
    assert cohen_kappa([[0.25, 0.13, 0.12], [0.12, 0.02, 0.16], [0.03, 0.15, 0.02]]) == pytest.approx(-0.09, abs=0.005)
    assert cohen_kappa([[88, 14, 18], [10, 40, 10], [2, 6, 12]]) == pytest.approx(0.492, abs=0.0005)


FLEISS_1971 = """00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
                 00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"""


def test_fleiss_kappa_agrees_with_his_table() -> None:
    """Fleiss (1971), Psychological Bulletin 76, table 1: 30 patients, 6 psychiatrists, 5 diagnoses."""
    counts = [[int(count) for count in patient] for patient in FLEISS_1971.split()]
    assert np.sum(counts, axis=0).tolist() == [26, 26, 30, 55, 43]
    assert fleiss_kappa(counts) == pytest.approx(0.430, abs=0.0005)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=40))
def test_kappa_is_one_for_full_agreement_and_never_more(pairs: list[tuple[int, int]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    table = confusion(first, second, 3)
    if len(set(first)) > 1:
        assert cohen_kappa(confusion(first, first, 3)) == pytest.approx(1.0)
    if len({*first, *second}) > 1:
        assert cohen_kappa(table) == pytest.approx(cohen_kappa(table.T)) and cohen_kappa(table) <= 1.0 + 1e-12
        raters = np.eye(3)[first] + np.eye(3)[second]
        # Fleiss' for two raters is Scott's pi, which takes both for one and the same: never above Cohen's
        assert fleiss_kappa(raters) <= cohen_kappa(table) + 1e-12


@pytest.mark.parametrize(
    "table", [[[3, 0], [0, 0]], [[1, 2]], [[-1, 2], [0, 1]], [[0, 0], [0, 0]], [[np.nan, 1], [1, 1]]]
)
def test_a_table_without_an_answer_is_refused(table: list[list[float]]) -> None:
    with pytest.raises(ValueError):
        cohen_kappa(table)


@pytest.mark.parametrize("counts", [[[2, 0], [2, 0]], [[1, 0], [0, 1]], [[2, 0], [1, 2]], []])
def test_raters_that_say_nothing_about_agreement_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(ValueError):
        fleiss_kappa(counts)


def test_the_stability_index_is_the_symmetric_divergence() -> None:
    assert psi_of_counts([50, 50], [60, 40]) == pytest.approx(0.1 * math.log(1.2) - 0.1 * math.log(0.8))
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(8))
    assert psi_of_counts(p, q) == pytest.approx(float(rel_entr(p, q).sum() + rel_entr(q, p).sum()))


def test_without_a_shift_the_stability_index_is_a_scaled_chi_squared() -> None:
    """Yurdakul (2018), Statistical properties of PSI: (1/n + 1/m) times a chi-squared of bins - 1."""
    rng = np.random.default_rng(3)
    found = np.array([psi(rng.normal(size=500), rng.normal(size=400)) for _ in range(600)]) / (1 / 500 + 1 / 400)
    assert found.mean() == pytest.approx(9.0, rel=0.06)
    assert np.mean(found > chi2.ppf(0.95, 9)) == pytest.approx(0.05, abs=0.025)


def test_the_stability_index_sees_a_shift_and_survives_empty_bins_and_equal_scores() -> None:
    rng = np.random.default_rng(4)
    assert psi(rng.normal(size=500), rng.normal(1.0, size=500)) > 0.5
    assert 0 < psi([1.0] * 20, [2.0] * 20) < 20
    assert psi([1.0] * 20, [1.0] * 20) == 0.0
    with pytest.raises(ValueError, match="both sides"):
        psi([], [1.0])


def mmd_by_hand(x: Floats, y: Floats, gamma: float) -> float:
    """Gretton et al. (2012), equation 3, as it stands there."""

    def k(a: Floats, b: Floats) -> float:
        return math.exp(-gamma * float(((a - b) ** 2).sum()))

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_the_mean_discrepancy_is_grettons_formula_and_converges_to_the_closed_form() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(9, 3)), rng.normal(0.5, size=(7, 3))
    assert mmd_test(x, y, permutations=1, gamma=0.3).mmd2 == pytest.approx(mmd_by_hand(x, y, 0.3))
    gamma = 0.5
    draws = [mmd_test(rng.normal(size=(150, 1)), rng.normal(1.0, size=(150, 1)), permutations=1, gamma=gamma).mmd2
             for _ in range(60)]  # fmt: skip
    exact = 2 / math.sqrt(1 + 4 * gamma) * (1 - math.exp(-gamma / (1 + 4 * gamma)))  # of N(0, 1) and N(1, 1)
    assert abs(np.mean(draws) - exact) < 3 * np.std(draws) / math.sqrt(len(draws)) < 0.1 * exact


def test_without_a_shift_the_permutation_test_errs_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    p = [mmd_test(rng.normal(size=(20, 2)), rng.normal(size=(15, 2)), permutations=99, seed=i).p for i in range(300)]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert min(p) >= 0.01
    assert mmd_test(rng.normal(size=(40, 2)), rng.normal(1.0, size=(40, 2)), permutations=199).p == 0.005


def test_one_row_is_no_sample() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        mmd_test([[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]])


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([0.4, 1.0, 2.5]))
def test_a_temperature_finds_by_how_much_a_network_is_too_sure(seed: int, planted: float) -> None:
    """Labels drawn from softmax(z), logits told as planted * z (Guo et al. 2017, section 4.2)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (3000, 4))
    truth = (log_softmax(z, axis=1) + rng.gumbel(size=z.shape)).argmax(1)
    found = temperature(planted * z, truth)
    assert found == pytest.approx(planted, rel=0.15)
    assert temperature(log_softmax(planted * z, axis=1), truth) == pytest.approx(found, rel=1e-3)

    def loss(t: float) -> float:
        return -float(log_softmax(planted * z / t, axis=1)[np.arange(3000), truth].mean())

    assert loss(found) <= min(loss(1.0), loss(0.9 * found), loss(1.1 * found))


def test_a_network_that_is_always_right_gets_the_lowest_temperature_and_no_picture_is_refused() -> None:
    assert temperature([[2.0, 0.0], [0.0, 2.0]], [0, 1]) == pytest.approx(0.05)
    assert temperature([[2.0, 0.0], [0.0, 2.0]], [1, 0]) == pytest.approx(20.0)
    with pytest.raises(ValueError, match="at least one"):
        temperature(np.zeros((0, 2)), [])
    with pytest.raises(ValueError, match="finite"):
        temperature([[np.inf, 0.0]], [0])
