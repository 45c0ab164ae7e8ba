from __future__ import annotations

import numpy as np
import pytest

from edge_deploy.calibrate import CalibrationConfig, calibrate, default_limits
from edge_deploy.errors import DeployError, NegativesInside
from inspector.core.decide import decide
from inspector.core.types import Prediction
from plc.registers import Verdict

GOOD = frozenset({"good"})


def prediction(novelty: float, confidence: float = 0.998, label: str = "good") -> Prediction:
    return Prediction(label, 0, confidence, (confidence, 1 - confidence), novelty)


def good_parts(seed: int, n: int) -> list[Prediction]:
    rng = np.random.default_rng(seed)
    novelty = 1.6 + 0.1 * rng.gamma(4.0, 0.3, n)
    confidence = 1 / (1 + np.exp(-rng.normal(6, 0.8, n)))
    return [prediction(float(s), float(c)) for s, c in zip(novelty, confidence, strict=True)]


def overkill(parts: list[Prediction], fresh: list[Prediction], target: float) -> float:
    limits = default_limits(calibrate(parts, {}, GOOD, CalibrationConfig(overkill=target)).limits, GOOD)
    return float(np.mean([decide(p, limits).verdict is not Verdict.PASS for p in fresh]))


@pytest.mark.parametrize("target", [0.005, 0.02])
def test_the_whole_decision_keeps_the_overkill_on_fresh_parts(target: float) -> None:
    shares = [overkill(good_parts(seed, 1000), good_parts(100 + seed, 4000), target) for seed in range(8)]
    assert 0.4 * target < np.mean(shares) < 1.4 * target


def test_a_negative_inside_the_limits_is_refused_by_name() -> None:
    with pytest.raises(NegativesInside, match=r"1 of 2 empty \(scores 1\.7") as caught:
        calibrate(good_parts(0, 400), {"empty": [prediction(9.0), prediction(1.7)]}, GOOD)
    assert caught.value.inside == {"empty": [1]}


def test_a_negative_that_is_too_usual_is_outside_as_well() -> None:
    made = calibrate(good_parts(0, 400), {"empty": [prediction(0.2)]}, GOOD)
    assert made.limits.novelty_low.default > 0.2
    assert made.limits.novelty_low.allowed[0] > 0.2


def test_no_recipe_may_loosen_a_limit_as_far_as_a_negative() -> None:
    far = calibrate(good_parts(0, 400), {}, GOOD).limits.novelty_high
    nearest = far.default + 0.02
    made = calibrate(
        good_parts(0, 400), {"half_part": [prediction(nearest), prediction(5.0)]}, GOOD
    ).limits.novelty_high
    assert made.default < made.allowed[1] < nearest < far.allowed[1]


def test_every_default_lies_in_its_own_allowed_range() -> None:
    made = calibrate(good_parts(0, 400), {"empty": [prediction(4.0)]}, GOOD).limits
    for limit in (made.min_confidence, made.novelty_low, made.novelty_high):
        assert limit.allowed[0] <= limit.default <= limit.allowed[1]


def test_too_few_good_pictures_give_limits_and_say_so() -> None:
    made = calibrate(good_parts(0, 60), {}, GOOD)
    assert made.limits.novelty_high.default > max(p.novelty_score for p in good_parts(0, 60))
    assert "cannot promise 0.50%" in made.notes[0]


def test_good_parts_that_look_like_defects_are_named_as_overkill_out_of_reach() -> None:
    wrong = [prediction(1.7, 0.9, "scratch") for _ in range(20)]
    assert "20 of 420" in calibrate(good_parts(0, 400) + wrong, {}, GOOD).notes[0]


def test_a_model_that_knows_no_good_part_is_refused() -> None:
    with pytest.raises(DeployError, match="only 0 of 50"):
        calibrate([prediction(1.7, 0.9, "scratch")] * 50, {}, GOOD)


def test_equal_scores_give_limits_around_them() -> None:
    limits = default_limits(calibrate([prediction(1.5)] * 300, {}, GOOD).limits, GOOD)
    assert decide(prediction(1.5), limits).verdict is Verdict.PASS
    assert decide(prediction(1.6), limits).verdict is Verdict.NOT_INSPECTED
