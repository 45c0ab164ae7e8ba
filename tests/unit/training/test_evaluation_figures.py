"""Curves, temperature and Grad-CAM, against numbers counted or derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.core.stats import temperature
from training.evaluation.curves import class_curves, reliability, trade
from training.evaluation.gradcam import grad_cam
from training.evaluation.temperature import probabilities_at


def test_a_class_that_is_told_apart_has_an_area_of_one_and_an_absent_class_has_no_curve() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0]])
    first, second, absent = class_curves(p, np.array([0, 0, 1]))
    assert first is not None and second is not None
    assert (first.auroc, first.average_precision, absent) == (1.0, 1.0, None)


def test_the_area_is_that_of_pairs_counted_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]])
    curves = class_curves(p, np.array([0, 0, 1, 1]))[0]
    assert curves is not None
    assert curves.auroc == 0.75  # of four pairs one is the wrong way round
    assert curves.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert (curves.recall[-1], curves.true_share[-1]) == (1.0, 1.0)


def test_a_stricter_threshold_trades_escapes_for_overkill() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.5, 0.4], [0.05, 0.05, 0.9]])
    found = trade(p, np.array([0, 1, 2, 2]), (True, True, False))  # passing: 0.9, 0.4 good; 0.6, 0.1 bad
    assert found is not None
    pairs = set(zip(found.overkill.tolist(), found.escape.tolist(), strict=True))
    assert pairs == {(0.0, 1.0), (0.0, 0.5), (0.5, 0.5), (0.5, 0.0), (1.0, 0.0)}
    assert trade(p, np.array([0, 1, 0, 0]), (True, True, False)) is None


def test_the_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    p = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    found = reliability(p, np.array([0, 0, 0, 1, 0, 0]), bins=10)  # 3 of 4 right at 0.9, 2 of 2 at 0.6
    assert found.pictures.tolist() == [2, 4]
    assert found.right.tolist() == [1.0, 0.75]
    assert found.ece == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)
    with pytest.raises(ValueError, match="no picture"):
        reliability(p[:0], np.array([], int))


def test_certainty_lies_in_the_last_bin() -> None:
    assert reliability(np.array([[1.0, 0.0]]), np.array([0])).ece == 0.0


@given(st.floats(0.3, 4.0), st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_the_temperature_of_logits_that_are_too_large_is_how_much_too_large(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, (4000, 3))
    p = probabilities_at(honest)
    truth = (p.cumsum(1) < rng.uniform(size=(4000, 1))).sum(1).clip(max=2)
    t = temperature(honest * factor, truth)
    assert t == pytest.approx(factor, rel=0.1)
    assert reliability(probabilities_at(honest * factor, t), truth).ece < 0.03
    assert (probabilities_at(honest, 3.0).argmax(1) == p.argmax(1)).all()


def test_a_temperature_stays_finite_where_everything_is_right_and_needs_finite_logits() -> None:
    assert 0.05 <= temperature(np.array([[5.0, 0.0], [0.0, 5.0]]), np.array([0, 1])) < 1
    for bad in (np.full((1, 2), np.nan), np.zeros((0, 2))):
        with pytest.raises(ValueError, match="finite"):
            temperature(bad, np.zeros(len(bad), int))


@pytest.fixture(scope="module")
def net() -> torchvision.models.ResNet:
    torch.manual_seed(5)
    return torchvision.models.resnet50(weights=None, num_classes=3).requires_grad_(False)


def test_grad_cam_of_a_linear_head_is_the_class_activation_map(net: torchvision.models.ResNet) -> None:
    """Behind global average pooling the gradient of a logit is its row of weights, over the number of cells."""
    images, classes = torch.randn(2, 3, 96, 96), torch.tensor([2, 0])
    kept: list[torch.Tensor] = []
    hook = net.layer4.register_forward_hook(lambda m, i, o: kept.append(o.detach()))
    maps = grad_cam(net, net.layer4, images, classes)
    hook.remove()
    expected = torch.relu((net.fc.weight[classes][..., None, None] * kept[0]).sum(1))
    expected = expected / expected.amax((1, 2), keepdim=True)
    np.testing.assert_allclose(maps, expected.numpy(), atol=1e-5)
    assert maps.shape == (2, 3, 3)


def test_grad_cam_leaves_the_network_as_it_was(net: torchvision.models.ResNet) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    maps = grad_cam(net, net.layer4, torch.randn(1, 3, 64, 64), torch.tensor([1]))
    assert np.isfinite(maps).all()
    assert not net.training
    assert not net.layer4._forward_hooks
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_map_in_which_nothing_speaks_for_the_class_is_empty(net: torchvision.models.ResNet) -> None:
    weight = net.fc.weight.detach().clone()
    try:
        net.fc.weight.data = -weight.abs()
        assert not grad_cam(net, net.layer4, torch.randn(1, 3, 64, 64), torch.tensor([1])).any()
    finally:
        net.fc.weight.data = weight
