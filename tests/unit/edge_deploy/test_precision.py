"""What is done where 8 bits lose too much. On a ten-layer ResNet at 64 px, so that it is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.resnet import BasicBlock, ResNet

from edge_deploy import precision
from edge_deploy.convert import NetworkInput, TappedResNet, to_ir
from edge_deploy.errors import DeployError
from edge_deploy.precision import Labelled, PrecisionConfig, Quantised, to_int8
from edge_deploy.qat import QatConfig, tune
from edge_deploy.quantize import TargetCpu
from tests.unit.edge_deploy.conftest import picture

SPEC = NetworkInput(64, 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
VIEWS = [picture(seed, 64, 64) for seed in range(8)]


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3).eval()


@pytest.fixture(scope="module")
def bare(net: Any) -> Any:
    return to_ir(net, SPEC)


def labelled(net: Any) -> Labelled:
    """What the network itself says, so that FP32 is right on all."""
    model = TappedResNet(net).eval()
    from training.views import view_transform

    transform = view_transform((SPEC.height, SPEC.width), SPEC.mean, SPEC.std)
    with torch.no_grad():
        said = [model(transform(torch.from_numpy(v).permute(2, 0, 1))[None])[0] for v in VIEWS]
    return Labelled(VIEWS, [int(p.argmax()) for p in said])


def accuracies(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    left = iter(values)
    monkeypatch.setattr(precision, "accuracy", lambda *_: next(left))


def chosen(net: Any, bare: Any, cfg: PrecisionConfig, classes: Sequence[int] | None = None) -> tuple[Quantised, str]:
    known = labelled(net)
    held_out = Labelled(VIEWS, known.classes if classes is None else classes)
    made = to_int8(net, bare, SPEC, known, held_out, TargetCpu.AVX2, cfg)
    return made, " ".join(made.notes)


def quantisers(model: Any) -> int:
    return sum(op.get_type_name() == "FakeQuantize" for op in model.get_ops())


@pytest.mark.slow
def test_plain_quantisation_that_loses_little_is_kept_as_it_is(net: Any, bare: Any) -> None:
    made, notes = chosen(net, bare, PrecisionConfig(qat_if_loss=0.5))
    assert "plain quantisation keeps within 50.00%: accuracy 100.00% in FP32" in notes and "of 8 held-out" in notes
    assert quantisers(made.model) > 10


@pytest.mark.slow
def test_training_with_rounding_starts_where_plain_quantisation_loses_too_much(
    net: Any, bare: Any, monkeypatch: pytest.MonkeyPatch, uncompiled: None
) -> None:
    accuracies(monkeypatch, 1.0, 0.5, 0.875)
    made, notes = chosen(net, bare, PrecisionConfig(qat_if_loss=0.005, epochs=1))
    assert "trained with rounding, as plain quantisation gave 50.00%" in notes
    assert "still lose more than the 0.50% asked for" in notes
    assert made.net is not net and made.bare is not bare  # parity is then with what was trained last
    assert quantisers(made.model) > 10


@pytest.mark.slow
def test_training_that_did_not_help_is_not_used(
    net: Any, bare: Any, monkeypatch: pytest.MonkeyPatch, uncompiled: None
) -> None:
    accuracies(monkeypatch, 1.0, 0.5, 0.5)
    _, notes = chosen(net, bare, PrecisionConfig(qat_if_loss=0.005, epochs=1))
    assert "did not help and is not used" in notes


@pytest.mark.slow
def test_training_with_rounding_brings_the_network_closer_to_its_classes_and_leaves_the_taps(
    net: Any, uncompiled: None
) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    told: list[str] = []
    classes = [0, 1, 2, 0, 1, 2, 0, -1]  # not what the network says: it has something to learn
    tuned = tune(net, SPEC, VIEWS, classes, TargetCpu.AVX2, QatConfig(4, 8, 1e-4), told.append)
    losses = [float(line.rsplit(" ", 1)[1]) for line in told]
    assert len(losses) == 4 and losses[-1] < losses[0]
    after = tuned.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())  # the run's own is whole
    assert all(torch.equal(after[name], before[name]) for name in before if "running" in name)
    assert not torch.equal(after["layer1.0.conv1.weight"], before["layer1.0.conv1.weight"])
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        pairs = zip(TappedResNet(tuned).eval()(x)[1:], TappedResNet(net).eval()(x)[1:], strict=True)
        assert min(float(torch.cosine_similarity(a, b).min()) for a, b in pairs) > 0.95


@pytest.mark.slow
def test_accuracy_control_leaves_layers_in_fp32_until_the_loss_is_allowed(
    net: Any, bare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = chosen(net, bare, PrecisionConfig())

    def by_quantisers(compiled: Any, inputs: Any, wanted: Any) -> float:
        """As if every 8-bit activation cost 1 %: the compiled graph is asked what it runs in 8 bits."""
        kinds = [str(op.get_rt_info()["runtimePrecision"].value) for op in compiled.get_runtime_model().get_ops()]
        return 1.0 - 0.01 * sum(kind in ("u8", "i8") for kind in kinds)

    monkeypatch.setattr(precision, "accuracy", by_quantisers)
    made, notes = chosen(net, bare, PrecisionConfig(accuracy_control=0.08))
    assert 0 < quantisers(made.model) < quantisers(plain.model)
    assert "quantised with accuracy control: accuracy 100.00% in FP32" in notes


def test_the_accuracy_is_the_share_of_pictures_put_into_the_right_class() -> None:
    def says_one(_: Any) -> dict[str, np.ndarray]:
        return {"probabilities": np.array([[0.1, 0.8, 0.1]])}

    assert precision.accuracy(says_one, [np.zeros(1, np.float32)] * 4, [1, 1, 0, 1]) == 0.75


def test_one_loss_gets_one_answer(net: Any) -> None:
    with pytest.raises(DeployError, match="choose one"):
        to_int8(net, None, SPEC, Labelled([]), Labelled([]), TargetCpu.AVX2, PrecisionConfig(0.1, 0.1))


def test_a_loss_that_cannot_be_measured_is_no_loss_of_zero(net: Any) -> None:
    with pytest.raises(DeployError, match="cannot be measured"):
        to_int8(net, None, SPEC, Labelled([]), Labelled(VIEWS, [-1] * 8), TargetCpu.AVX2, PrecisionConfig(0.1))
