"""Each method does what it says, on a handful of targets."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from training.batches import EpochBatches
from training.choices import Imbalance
from training.imbalance import class_counts, loss_of, order_of

TARGETS = [0] * 12 + [1] * 4 + [2] * 2
LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-1.0, 2.0, 0.0]])
TRUTH = torch.tensor([0, 1, 2])


def shown(method: Imbalance, seed: int = 1) -> Counter[int]:
    order = order_of(method, TARGETS, 3)(torch.Generator().manual_seed(seed))
    return Counter(TARGETS[i] for i in order)


def test_over_sampling_shows_every_picture_and_rare_classes_as_often_as_the_largest() -> None:
    order = order_of(Imbalance.OVER_SAMPLING, TARGETS, 3)(torch.Generator().manual_seed(1))
    assert shown(Imbalance.OVER_SAMPLING) == {0: 12, 1: 12, 2: 12}
    times = Counter(order)
    assert set(times) == set(range(18))
    assert {times[i] for i in range(12, 16)} == {3}


def test_under_sampling_shows_as_many_of_each_as_the_rarest_has_and_others_in_each_epoch() -> None:
    order = order_of(Imbalance.UNDER_SAMPLING, TARGETS, 3)
    first, second = (order(torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert Counter(TARGETS[i] for i in first) == {0: 2, 1: 2, 2: 2}
    assert set(first) != set(second)
    assert len(set(first)) == 6


def test_the_balanced_sampler_keeps_the_epochs_length() -> None:
    many = sum((shown(Imbalance.BALANCED_SAMPLER, seed) for seed in range(60)), Counter[int]())
    assert many.total() == 60 * 18
    assert all(abs(many[k] / many.total() - 1 / 3) < 0.06 for k in range(3))


@pytest.mark.parametrize("method", [m for m in Imbalance if "sampl" not in m])
def test_other_methods_show_every_picture_once(method: Imbalance) -> None:
    assert shown(method) == {0: 12, 1: 4, 2: 2}


def test_a_class_weight_is_its_rarity() -> None:
    loss = loss_of(Imbalance.WEIGHTED_LOSS, class_counts(TARGETS, 3), 0.0)(LOGITS, TRUTH)
    plain = F.cross_entropy(LOGITS, TRUTH, reduction="none")
    torch.testing.assert_close(loss, plain * torch.tensor([18 / 36, 18 / 12, 18 / 6]))


def test_the_focal_loss_is_the_formula_of_its_paper() -> None:
    p = LOGITS.softmax(1)[torch.arange(3), TRUTH]
    loss = loss_of(Imbalance.FOCAL_LOSS, class_counts(TARGETS, 3), 0.0)(LOGITS, TRUTH)
    torch.testing.assert_close(loss, -((1 - p) ** 2) * p.log())


def test_logit_adjustment_adds_the_log_of_how_often_a_class_occurs() -> None:
    prior = torch.tensor([12 / 18, 4 / 18, 2 / 18])
    loss = loss_of(Imbalance.LOGIT_ADJUSTMENT, class_counts(TARGETS, 3), 0.1)(LOGITS, TRUTH)
    wanted = F.cross_entropy(LOGITS + prior.log(), TRUTH, reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(loss, wanted)


@given(count=st.integers(1, 90), batch=st.integers(1, 20), world=st.integers(1, 4), epoch=st.integers(0, 5))
def test_processes_together_see_what_one_alone_sees(count: int, batch: int, world: int, epoch: int) -> None:
    order = order_of(Imbalance.NONE, [0] * count, 1)

    def batches(rank: int, of: int) -> list[list[int]]:
        made = EpochBatches(order, batch, 3, rank, of)
        made.epoch = epoch
        return list(made)

    alone = batches(0, 1)
    together = [batches(rank, world) for rank in range(world)]
    assert [sorted(chain(*parts)) for parts in zip(*together, strict=True)] == [sorted(one) for one in alone]
    assert tuple(map(len, alone)) == EpochBatches(order, batch, 3).sizes
    assert sorted(chain(*alone)) == list(range(count))
    assert batch == 1 or count == 1 or min(map(len, alone)) > 1  # BatchNorm learns nothing from one picture


def test_an_epochs_order_is_its_own_and_comes_again() -> None:
    made = EpochBatches(order_of(Imbalance.NONE, TARGETS, 3), 5, 3)
    first = list(made)
    made.epoch = 1
    assert list(made) != first
    made.epoch = 0
    assert list(made) == first
