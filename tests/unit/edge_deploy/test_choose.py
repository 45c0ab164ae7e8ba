"""The three ways to choose limits, the promises that they refuse, and what they come to for the whole decision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edge_deploy.calibrate import Calibrated, CalibrationConfig, Groups, calibrate, default_limits
from edge_deploy.choose import Rule, Target
from edge_deploy.errors import DeployError
from inspector.core.decide import decide
from inspector.core.manifest import BoundSpec, PromiseSpec
from inspector.core.stats import clopper_pearson
from inspector.core.types import Prediction
from plc.registers import Reason, Verdict

GOOD = frozenset({"good"})


def said(anomaly: float | None, *, novelty: float = 1.6, confidence: float = 0.999, label: str = "good") -> Prediction:
    return Prediction(label, 0, confidence, (confidence, 1 - confidence), novelty, anomaly)


def good_parts(seed: int, n: int) -> list[Prediction]:
    """Anomaly scores around 1, novelty around 1.6, now and then a picture that the classifier is less sure of."""
    rng = np.random.default_rng([seed, 1])
    anomaly, novelty = 0.8 + 0.1 * rng.gamma(3.0, 0.4, n), 1.6 + 0.03 * rng.standard_normal(n)
    confidence = 1 / (1 + np.exp(-rng.normal(6.5, 0.9, n)))
    rows = zip(anomaly.tolist(), novelty.tolist(), confidence.tolist(), strict=True)
    return [said(a, novelty=s, confidence=c) for a, s, c in rows]


def defects(seed: int, n: int, easy: float = 0.9) -> list[Prediction]:
    """A share `easy` of them far out; the rest reach into the good parts."""
    rng = np.random.default_rng([seed, 2])
    scores = np.where(rng.random(n) < easy, rng.uniform(1.6, 3.0, n), rng.uniform(0.9, 1.5, n))
    return [said(float(score)) for score in scores]


def made(target: Target, good: Sequence[Prediction], of_defects: Sequence[Prediction] = ()) -> Calibrated:
    cfg = CalibrationConfig(target=target)
    return calibrate(good, {"empty": [said(4.0, novelty=3.0)]}, GOOD, cfg, defects={"scratch": of_defects})


def promise_of(found: Calibrated) -> PromiseSpec:
    assert found.limits.promise is not None
    return found.limits.promise


def bounds_of(found: Calibrated) -> dict[str, BoundSpec]:
    return {bound.name: bound for bound in promise_of(found).bounds}


def overkill(share: float) -> Target:
    return Target(Rule.OVERKILL, share)


def escape(share: float) -> Target:
    return Target(Rule.ESCAPE, share)


def cost(ratio: float) -> Target:
    return Target(Rule.COST, ratio)


@pytest.mark.parametrize(("share", "need"), [(0.05, 59), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_a_promise_of_overkill_is_refused_exactly_below_the_parts_it_needs(share: float, need: int) -> None:
    parts = good_parts(0, need)
    kept = bounds_of(made(overkill(share), parts))["overkill"]
    assert (kept.failures, kept.of) == (0, need) and kept.upper_95 <= share
    with pytest.raises(DeployError, match=f"{need - 1} good pictures cannot promise .* at least {need}, 1 more"):
        made(overkill(share), parts[:-1])


def test_two_hundred_good_pictures_cannot_promise_one_in_a_thousand_and_the_text_says_what_they_can() -> None:
    with pytest.raises(DeployError, match=r"at least 2995, 2795 more.*1\.49% at best"):
        made(overkill(0.001), good_parts(0, 200))


def test_a_promise_of_escape_is_refused_exactly_below_the_defects_it_needs() -> None:
    parts, labelled = good_parts(0, 100), defects(0, 299, easy=1.0)
    kept = bounds_of(made(escape(0.01), parts, labelled))["escape"]
    assert (kept.failures, kept.of) == (0, 299) and kept.upper_95 <= 0.01
    with pytest.raises(DeployError, match=r"298 labelled defect pictures cannot promise .* at least 299, 1 more"):
        made(escape(0.01), parts, labelled[:-1])


def test_more_parts_let_a_promise_reject_some_of_them() -> None:
    few, many = made(overkill(0.01), good_parts(0, 299)), made(overkill(0.01), good_parts(0, 1300))
    assert bounds_of(few)["overkill"].failures == 0
    assert bounds_of(many)["overkill"].failures == 6  # the seventh would be one too many
    assert clopper_pearson(6, 1300, side="upper").high <= 0.01 < clopper_pearson(7, 1300, side="upper").high


def test_an_escape_limit_is_as_loose_as_the_defects_allow() -> None:
    found = made(escape(0.05), good_parts(0, 400), defects(0, 300, easy=0.99))
    limits = default_limits(found.limits, GOOD)
    passing = sum(decide(p, limits).verdict is Verdict.PASS for p in defects(0, 300, easy=0.99))
    assert bounds_of(found)["escape"].failures == passing
    assert bounds_of(found)["escape"].upper_95 <= 0.05
    assert bounds_of(found)["overkill"].failures == 0


def test_an_escape_that_would_cost_half_of_the_good_parts_is_refused() -> None:
    hidden = [said(0.82)] * 300
    with pytest.raises(DeployError, match=r"would reject \d+ of 400 good pictures"):
        made(escape(0.01), good_parts(0, 400), hidden)


def test_a_dear_escape_gives_tighter_limits_than_a_cheap_one() -> None:
    parts, labelled = good_parts(0, 600), defects(0, 300, easy=0.8)
    cheap, dear = made(cost(1), parts, labelled), made(cost(100), parts, labelled)
    assert cheap.limits.max_anomaly_score is not None and dear.limits.max_anomaly_score is not None
    assert dear.limits.max_anomaly_score.default < cheap.limits.max_anomaly_score.default
    assert bounds_of(dear)["escape"].failures < bounds_of(cheap)["escape"].failures


def test_bounds_of_a_cost_are_wider_because_they_hold_together() -> None:
    """The cheapest of several limits looks better than it is; each bound makes up for all that were tried."""
    found = bounds_of(made(cost(10), good_parts(0, 600), defects(0, 300)))["overkill"]
    assert found.upper_95 > clopper_pearson(found.failures, found.of, side="upper").high


def test_a_cost_without_defects_is_refused() -> None:
    with pytest.raises(DeployError, match="needs labelled defects"):
        made(cost(50), good_parts(0, 600))


@pytest.mark.parametrize("target", [(Rule.OVERKILL, 0.0), (Rule.ESCAPE, 0.5), (Rule.COST, 0.0), (Rule.COST, np.inf)])
def test_a_target_that_is_none_is_refused(target: tuple[Rule, float]) -> None:
    with pytest.raises(DeployError):
        Target(*target)


def test_good_parts_that_pass_at_no_limit_are_named_with_what_can_be_promised() -> None:
    wrong = [said(1.0, label="scratch")] * 20
    with pytest.raises(DeployError, match=r"20 of 620 good pictures pass at no limit.*allows 0.*from 4\.\d+% on"):
        made(overkill(0.005), good_parts(0, 600) + wrong)
    kept = bounds_of(made(overkill(0.05), good_parts(0, 600) + wrong))["overkill"]
    assert kept.failures >= 20 and kept.upper_95 <= 0.05


def test_the_anomaly_limit_decides_over_defects_and_novelty_over_parts_only() -> None:
    found = made(overkill(0.01), good_parts(0, 400))
    limits = default_limits(found.limits, GOOD)
    assert decide(said(2.5), limits).reason is Reason.ANOMALY
    assert decide(said(2.5, novelty=1.75), limits).reason is Reason.ANOMALY  # far out among good parts, and a part
    assert decide(said(1.0, novelty=3.0), limits).reason is Reason.NO_PART
    assert found.limits.anomaly_median == pytest.approx(np.median([p.anomaly_score for p in good_parts(0, 400)]))


def test_wide_novelty_limits_lie_beyond_all_good_parts_and_before_every_negative() -> None:
    parts = good_parts(0, 400)
    far = made(overkill(0.01), parts).limits
    near = calibrate(parts, {"half_part": [said(1.0, novelty=1.74), said(1.0, novelty=1.45)]}, GOOD).limits
    most, least = max(p.novelty_score for p in parts), min(p.novelty_score for p in parts)
    assert most < near.novelty_high.default < 1.74 <= far.novelty_high.default < 3.0
    assert far.novelty_low.default <= 1.45 < near.novelty_low.default < least
    assert near.novelty_high.allowed[1] < 1.74 and near.novelty_low.allowed[0] > 1.45


def test_negatives_among_the_good_parts_are_refused_by_name() -> None:
    with pytest.raises(DeployError, match=r"1 of 1 half_part \(scores 1\.62"):
        calibrate(good_parts(0, 400), {"half_part": [said(1.0, novelty=1.62)]}, GOOD)


def test_no_recipe_may_loosen_the_anomaly_limit_as_far_as_a_known_defect() -> None:
    parts = good_parts(0, 400)
    alone = made(overkill(0.01), parts).limits.max_anomaly_score
    assert alone is not None
    near = made(overkill(0.01), parts, [said(alone.default + 0.05)]).limits.max_anomaly_score
    assert near is not None
    assert near.default == alone.default < near.allowed[1] < alone.default + 0.05 < alone.allowed[1]


def test_a_defect_that_the_class_stops_does_not_narrow_the_anomaly_limit() -> None:
    parts = good_parts(0, 400)
    named = [said(1.8, label="scratch")]
    assert (
        made(overkill(0.01), parts, named).limits.max_anomaly_score
        == made(overkill(0.01), parts).limits.max_anomaly_score
    )


def test_not_inspected_is_a_line_of_its_own_and_part_of_the_overkill() -> None:
    stray = [said(1.0, novelty=2.9)] * 3  # nearer to the negatives than to good parts
    cfg = CalibrationConfig(target=overkill(0.05))
    found = calibrate(good_parts(0, 400) + stray, {"empty": [said(4.0, novelty=2.8)]}, GOOD, cfg)
    kept = bounds_of(found)
    assert kept["not_inspected"].failures == 3 and kept["overkill"].failures >= 3


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_scores_that_are_not_finite_are_refused(odd: float) -> None:
    with pytest.raises(DeployError, match="anomaly score of 1 of 401 good calibration pictures is not finite"):
        calibrate([*good_parts(0, 400), said(odd)], {}, GOOD)
    with pytest.raises(DeployError, match="novelty score of 1 of 1 negatives"):
        calibrate(good_parts(0, 400), {"empty": [said(1.0, novelty=odd)]}, GOOD)


def test_a_picture_without_an_anomaly_score_among_others_is_refused() -> None:
    with pytest.raises(DeployError, match="1 of 401 good calibration pictures have no anomaly score"):
        calibrate([*good_parts(0, 400), said(None)], {}, GOOD)


def test_one_good_picture_is_refused() -> None:
    with pytest.raises(DeployError, match="at least 2"):
        calibrate(good_parts(0, 1), {}, GOOD)


def test_pictures_of_one_part_count_once() -> None:
    """600 pictures of 60 parts promise what 60 pictures do."""
    parts = good_parts(0, 600)
    groups = Groups([f"part{i // 10}" for i in range(600)])
    with pytest.raises(DeployError, match="60 good groups cannot promise an overkill of 1"):
        calibrate(parts, {}, GOOD, CalibrationConfig(target=overkill(0.01)), groups=groups)
    found = calibrate(parts, {}, GOOD, CalibrationConfig(target=overkill(0.05)), groups=groups)
    assert promise_of(found).unit == "group"
    assert (bounds_of(found)["overkill"].failures, bounds_of(found)["overkill"].of) == (0, 60)


def test_a_defect_seen_twice_escapes_with_the_picture_that_passes() -> None:
    labelled = [*defects(0, 120, easy=1.0), said(0.9)]
    names = [f"d{i // 2}" for i in range(120)] + ["d0"]
    groups = Groups([f"g{i}" for i in range(400)], {"scratch": names})
    cfg = CalibrationConfig(target=escape(0.1))
    found = calibrate(good_parts(0, 400), {}, GOOD, cfg, defects={"scratch": labelled}, groups=groups)
    assert bounds_of(found)["escape"].of == 60
    assert bounds_of(found)["escape"].failures == 1  # d0, though its first picture is rejected


def test_groups_that_do_not_name_every_picture_are_refused() -> None:
    with pytest.raises(DeployError, match="needs the name of its group"):
        calibrate(good_parts(0, 400), {}, GOOD, groups=Groups(["a"] * 399))
    with pytest.raises(DeployError, match="needs the name of its group"):
        calibrate(good_parts(0, 400), {}, GOOD, defects={"dent": defects(0, 3)}, groups=Groups(["a"] * 400))


def test_the_manifest_says_what_was_chosen_on_what_and_what_it_is_worth() -> None:
    found = made(overkill(0.01), good_parts(0, 400), defects(0, 50))
    assert found.limits.chosen_by == (
        "an overkill of at most 1.00% of the whole decision, with 95 % confidence; 400 good pictures, 50 of defects; "
        "all negatives (1) lie outside novelty's limits, and they set them"
    )
    assert (promise_of(found).rule, promise_of(found).value, promise_of(found).lots) == ("overkill", 0.01, None)
    assert [bound.name for bound in promise_of(found).bounds] == [
        "overkill",
        "not_inspected",
        "escape",
        "escape:scratch",
    ]
