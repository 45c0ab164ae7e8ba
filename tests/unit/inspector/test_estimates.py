from __future__ import annotations

import math

import numpy as np
import pytest

from inspector.core.estimates import Basis, Reviewed, escapes, false_rejects, overkill
from inspector.core.stats import clopper_pearson


def test_the_false_reject_share_is_good_after_review_of_reviewed_rejects() -> None:
    found = false_rejects(Reviewed(good=3, not_good=7))
    assert found.share == 0.3 and found.reviewed == 10
    assert found.upper == clopper_pearson(3, 10, side="upper").high


def test_nothing_reviewed_promises_nothing() -> None:
    for found in (false_rejects(Reviewed()), escapes(Reviewed()), overkill(Reviewed(), Reviewed(), 5, 100)):
        assert found.share is None and found.upper == 1.0 and found.basis is Basis.NONE


def test_a_clean_sample_bounds_the_escapes_as_published() -> None:
    """The rule of three, exactly: 299 parts without a failure show 1 %."""
    assert escapes(Reviewed(good=299)).upper <= 0.01
    assert escapes(Reviewed(good=298)).upper > 0.01 and escapes(Reviewed(good=299)).share == 0.0


def test_unsure_parts_are_left_out_of_the_share_and_count_against_us_in_the_bound() -> None:
    sample = Reviewed(good=90, not_good=0, unsure=10)
    assert escapes(sample).share == 0.0 and escapes(sample).unsure == 10
    assert escapes(sample).upper == clopper_pearson(10, 100, side="upper").high
    rejects = Reviewed(good=1, not_good=8, unsure=1)
    assert false_rejects(rejects).share == pytest.approx(1 / 9)
    assert false_rejects(rejects).upper == clopper_pearson(2, 10, side="upper").high


def test_overkill_weighs_each_part_by_how_many_it_stands_for() -> None:
    rejects, sample = Reviewed(good=5, not_good=15), Reviewed(good=100)
    found = overkill(rejects, sample, rejected=40, passed=5000)  # 2 % of the passes were kept
    assert found.share == pytest.approx(10 / 5010)
    naive = 5 / (5 + 100)
    assert found.share is not None and found.share < naive / 20


def test_overkill_and_the_false_reject_share_are_two_figures() -> None:
    rejects = Reviewed(good=10, not_good=10)
    assert false_rejects(rejects).share == 0.5
    share = overkill(rejects, Reviewed(good=50), 20, 980).share
    assert share is not None and share == pytest.approx(10 / 990)


def test_the_bound_of_overkill_is_above_its_share_and_falls_with_more_review() -> None:
    few = overkill(Reviewed(good=2, not_good=8), Reviewed(good=50), 1000, 50_000)
    many = overkill(Reviewed(good=200, not_good=800), Reviewed(good=5000), 1000, 50_000)
    assert few.share == pytest.approx(many.share) and many.share is not None
    assert many.share < many.upper < few.upper < 1


def test_a_line_without_rejects_has_no_overkill_and_one_without_passes_is_not_a_crash() -> None:
    assert overkill(Reviewed(), Reviewed(good=10), 0, 100).share == 0.0
    assert overkill(Reviewed(good=1, not_good=1), Reviewed(), 2, 0).share == 1.0
    assert overkill(Reviewed(not_good=2), Reviewed(), 2, 0).share is None  # nothing good was presented
    with pytest.raises(ValueError, match="more parts were reviewed"):
        overkill(Reviewed(good=3), Reviewed(), 2, 0)


def test_an_estimate_is_image_judged_until_every_part_was_judged_otherwise() -> None:
    assert escapes(Reviewed(good=10)).basis is Basis.IMAGE
    assert escapes(Reviewed(good=10, by_truth=9)).basis is Basis.IMAGE
    assert escapes(Reviewed(good=9, not_good=1, by_truth=10)).basis is Basis.TRUTH


def test_the_bounds_hold_on_lines_that_are_played() -> None:
    """At most 5 % of the played lines have a truth above the bound; overkill's two bounds hold together."""
    rng, lines = np.random.default_rng(7), 400
    p, e, rejected, passed = 0.2, 0.01, 300, 20_000
    overkill_truth = rejected * p / (rejected * p + passed * (1 - e))
    broken = {"false": 0, "escapes": 0, "overkill": 0}
    for _ in range(lines):
        good, bad = (int(x) for x in (rng.binomial(100, p), rng.binomial(400, e)))
        rejects, sample = Reviewed(good=good, not_good=100 - good), Reviewed(good=400 - bad, not_good=bad)
        broken["false"] += false_rejects(rejects).upper < p
        broken["escapes"] += escapes(sample).upper < e
        broken["overkill"] += overkill(rejects, sample, rejected, passed).upper < overkill_truth
    slack = 3 * math.sqrt(0.05 * 0.95 / lines)
    assert all(count / lines <= 0.05 + slack for count in broken.values()), broken
