"""Each rule of the advice: a curve that triggers it, and one that does not."""

from __future__ import annotations

import math
from dataclasses import replace

from training.evaluation.advice import (
    Evidence,
    advise,
    few_pictures,
    few_tested,
    idle_gpu,
    imbalance,
    memorising,
    overconfident,
    overfitting,
    slow_loader,
    unfinished,
    unjudged,
    unsteady,
)


def curve(**lines: list[float]) -> Evidence:
    count = max(map(len, lines.values()))
    return Evidence([{"epoch": i + 1, **{k: v[i] for k, v in lines.items()}} for i in range(count)])


FALLING = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2]


def test_overfitting_is_a_validation_loss_that_rises_while_the_training_loss_falls() -> None:
    rising = curve(train_loss=FALLING, val_loss=[1.0, 0.8, 0.7, 0.65, 0.66, 0.7, 0.75, 0.8])
    found = overfitting(rising)
    assert found is not None
    assert "From epoch 5 on" not in found.text and "From epoch 4 on" in found.text
    assert overfitting(curve(train_loss=FALLING, val_loss=FALLING)) is None
    assert overfitting(curve(train_loss=FALLING, val_loss=[1.0, 0.8, 0.7, 0.65, 0.66, 0.66, 0.67, 0.67])) is None
    both = [0.5, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert overfitting(curve(train_loss=both, val_loss=both)) is None  # diverging is another illness
    late = curve(train_loss=FALLING, val_loss=[1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.6, 0.7])
    assert overfitting(late) is None  # two epochs are no trend


def test_a_training_loss_that_falls_far_below_a_flat_validation_loss_is_learning_by_heart() -> None:
    flat = [0.93, 0.9, 0.91, 0.9, 0.9, 0.91, 0.9, 0.9]
    found = memorising(curve(train_loss=FALLING, val_loss=flat))
    assert found is not None and "since epoch 1 (now 0.90)" in found.text and "from 1.00 to 0.20" in found.text
    assert memorising(curve(train_loss=FALLING, val_loss=FALLING)) is None
    assert memorising(curve(train_loss=[1.0, 0.95, 0.9, 0.85, 0.8, 0.7], val_loss=flat[:6])) is None
    assert memorising(curve(train_loss=[0.08, 0.06, 0.04, 0.02, 0.01], val_loss=[0.1] * 5)) is None  # it is done
    assert memorising(curve(train_loss=[2.0, 0.9, 0.2], val_loss=[0.9] * 3)) is None  # two epochs are no trend
    assert (
        memorising(curve(train_loss=[0.2, 0.2, 0.18, 0.17, 0.15], val_loss=[0.9] * 5)) is None
    )  # apart from the start
    rising = curve(train_loss=FALLING, val_loss=[0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.0, 1.1])
    assert [a.rule for a in advise(rising)] == ["overfitting"]  # said once


def test_a_best_epoch_at_the_very_end_asks_for_more() -> None:
    assert unfinished(curve(val_macro_recall=[0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8])) is not None
    assert unfinished(curve(val_macro_recall=[0.3, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.801])) is None
    assert unfinished(curve(val_macro_recall=[0.3, 0.6, 0.9, 0.8, 0.8, 0.8, 0.7, 0.8])) is None


def test_a_training_loss_that_jumps_asks_for_a_smaller_rate() -> None:
    assert unsteady(curve(train_loss=[1.0, 1.3, 0.8, 1.2, 0.7, 1.1])) is not None
    assert unsteady(curve(train_loss=[1.0, 1.3, 0.8, 0.7, 0.6, 0.5])) is None


COUNTS, RECALL = {"good": 500, "scratch": 200, "dent": 40}, {"good": 0.99, "scratch": 0.97, "dent": 0.6}


def test_a_rare_class_that_is_missed_is_named() -> None:
    found = imbalance(Evidence(train_counts=COUNTS, recall=RECALL, imbalance="none"))
    assert found is not None
    assert "dent has 40 training pictures against 500" in found.text
    assert "(now: none)" in found.text
    assert imbalance(Evidence(train_counts=COUNTS, recall=RECALL | {"dent": 0.95})) is None
    assert imbalance(Evidence(train_counts=COUNTS | {"dent": 150}, recall=RECALL)) is None
    assert imbalance(Evidence(train_counts=COUNTS, recall=RECALL | {"dent": math.nan})) is None


def test_not_only_the_rarest_class_is_examined() -> None:
    counts, recall = {"good": 500, "dent": 35, "scratch": 40, "rust": 45}, {"good": 0.99, "dent": 1.0, "scratch": 0.1}
    found = imbalance(Evidence(train_counts=counts, recall=recall | {"rust": 0.3}))
    assert found is not None
    assert "scratch has 40 training pictures" in found.text and "rust has 45" in found.text
    assert "more pictures of scratch, rust help most" in found.text and "dent" not in found.text


def test_a_class_without_a_picture_in_the_split_is_named() -> None:
    found = unjudged(Evidence(train_counts=COUNTS, recall=RECALL | {"dent": math.nan}))
    assert found is not None and found.text.startswith("dent: no picture")
    assert unjudged(Evidence(train_counts=COUNTS, recall=RECALL)) is None
    assert unjudged(Evidence(train_counts=COUNTS)) is None  # nothing was measured
    assert [a.rule for a in advise(Evidence(train_counts=COUNTS, recall=RECALL | {"dent": math.nan}))] == ["unjudged"]


def test_a_class_of_few_pictures_is_named() -> None:
    found = few_pictures(Evidence(train_counts=COUNTS | {"stain": 12}))
    assert found is not None
    assert "stain (12)" in found.text and "dent" not in found.text
    assert few_pictures(Evidence(train_counts=COUNTS)) is None


def test_a_network_that_waits_for_pictures_says_so() -> None:
    assert slow_loader(curve(waiting=[0.6, 0.4, 0.5])) is not None
    assert slow_loader(curve(waiting=[0.9, 0.1, 0.1])) is None  # the first epoch fills the cache
    small = curve(waiting=[0.0, 0.0], gpu_used_percent=[20.0, 20.0])
    assert slow_loader(small) is None  # a small network, not the disk
    assert slow_loader(Evidence()) is None


def test_a_gpu_that_is_idle_while_pictures_are_ready_asks_for_larger_steps() -> None:
    small = curve(waiting=[0.0, 0.0], gpu_used_percent=[20.0, 30.0])
    found = idle_gpu(small)
    assert found is not None and "25 % of the time" in found.text
    assert [a.rule for a in advise(small)] == ["idle-gpu"]
    assert idle_gpu(curve(waiting=[0.1, 0.1], gpu_used_percent=[95.0, 97.0])) is None
    starved = curve(waiting=[0.6, 0.5], gpu_used_percent=[20.0, 30.0])
    assert [a.rule for a in advise(starved)] == ["slow-loader"]
    assert idle_gpu(curve(waiting=[0.1, 0.1])) is None


def test_a_test_split_too_small_for_any_bound_says_how_many_pictures_show_what() -> None:
    found = few_tested(Evidence(tested=(12, 400)))
    assert found is not None and "12 of parts that may pass: even without one mistake overkill" in found.text
    assert "22.1\u00a0% only" in found.text and "escape" not in found.text
    assert "59 without a mistake show 5\u00a0%, 299 without a mistake show 1\u00a0%" in found.text
    assert few_tested(Evidence(tested=(59, 0))) is None
    assert few_tested(Evidence()) is None


def test_confidence_that_is_no_probability_is_said_which_way() -> None:
    too_sure = overconfident(Evidence(ece=0.09, temperature=1.8))
    assert too_sure is not None and "too sure" in too_sure.text
    unsure = overconfident(Evidence(ece=0.09, temperature=0.6))
    assert unsure is not None and "less sure" in unsure.text
    assert overconfident(Evidence(ece=0.03, temperature=1.8)) is None


def test_a_run_in_order_gets_no_advice_and_a_curve_that_is_not_finite_breaks_no_rule() -> None:
    fine = Evidence(
        curve(train_loss=FALLING, val_loss=FALLING).history, {"good": 90, "dent": 80}, {"good": 1.0, "dent": 1}
    )
    assert advise(fine) == ()
    assert advise(replace(fine, history=[{"epoch": 1, "val_loss": math.nan}])) == ()
    ill = replace(fine, train_counts=COUNTS | {"stain": 12}, recall=RECALL | {"stain": 0.2}, ece=0.2)
    assert [a.rule for a in advise(ill)] == ["imbalance", "few-pictures", "overconfident"]
