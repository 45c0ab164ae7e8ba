"""Networks that explode on a strange picture: clipped alike in PyTorch, FP32 and INT8, and a note says so."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from edge_deploy.clip import REACH, clipped, usual_tops
from edge_deploy.convert import NetworkInput, to_ir
from edge_deploy.parity import Form, ParityConfig, tap_rows
from edge_deploy.predict import infer_torch
from edge_deploy.quantize import Normalised, TargetCpu
from edge_deploy.ranges import Quantised, outputs_of, quantize_far_enough
from inspector.core.types import Image
from tests.unit.edge_deploy.conftest import picture

SPEC = NetworkInput(64, 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
USUAL = [(128 + 0.3 * (picture(seed, 64, 64).astype(float) - 128)).astype(np.uint8) for seed in range(16)]  # pale
STRANGE = [np.random.default_rng(seed).choice([0, 255], (64, 64, 3)).astype(np.uint8) for seed in range(2)]
CHECKS = [*USUAL[:4], *STRANGE]
CFG = ParityConfig()


def resnet() -> Any:
    """Fourteen layers; on STRANGE its activations reach eight times what USUAL shows."""
    torch.manual_seed(0)
    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=2).eval()


def seen(net: Any, module: nn.Module, views: list[Image]) -> list[torch.Tensor]:
    """What `module` gave, call by call."""
    given: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda _, __, y: given.append(y.clone()))
    with torch.no_grad():
        for x in Normalised(SPEC, views):
            net(torch.from_numpy(x))
    hook.remove()
    return given


@pytest.fixture(scope="module")
def net() -> Any:
    torch.set_num_threads(2)
    return resnet()


@pytest.fixture(scope="module")
def made(net: Any) -> Quantised:
    return quantize_far_enough(net, to_ir(net, SPEC), SPEC, USUAL, CHECKS, TargetCpu.AVX2, CFG)


def test_tops_are_the_usual_picture_s_and_a_half_but_never_beyond_what_was_seen(net: Any) -> None:
    inputs = list(Normalised(SPEC, [*USUAL, *STRANGE]))
    stem = [float(y.max()) for y in seen(net, net.relu, [*USUAL, *STRANGE])]
    tops = usual_tops(net, inputs)
    assert len(tops) == 1 + 3 * 4
    assert tops[0] == pytest.approx(min(REACH * np.median(stem), max(stem)))
    alone = usual_tops(net, inputs[:1])
    assert alone[0] == pytest.approx(stem[0])


def test_wide_tops_change_nothing_and_narrow_ones_bound_every_activation(net: Any) -> None:
    x = torch.from_numpy(next(iter(Normalised(SPEC, STRANGE))))
    with torch.no_grad():
        assert torch.equal(clipped(net, [1e9] * 13)(x), net(x))
    low = clipped(net, [0.5] * 13)
    for name, module in low.named_modules():
        if isinstance(module, nn.Hardtanh):
            assert float(seen(low, module, STRANGE)[0].max()) <= 0.5, name
    assert isinstance(net.relu, nn.ReLU)  # the given network stays as it is


def test_limits_for_other_relus_than_the_network_has_are_refused(net: Any) -> None:
    with pytest.raises(ValueError, match="14 limits for the 13 ReLUs"):
        clipped(net, [1.0] * 14)


def test_where_no_range_holds_an_explosion_the_network_is_clipped_in_every_form(net: Any, made: Quantised) -> None:
    assert made.notes[0].startswith("8 bits by clipped activations: by ranges of one picture at a time they left")
    assert f"end at {REACH:g} times what the usual training picture shows" in made.notes[1]
    assert "Of 6 held-out pictures and negatives" in made.notes[1]
    inputs = list(Normalised(SPEC, CHECKS))
    torch_form, as_given = (
        Form("PyTorch", [infer(view) for view in CHECKS]) for infer in (infer_torch(n, SPEC) for n in (made.net, net))
    )
    fp32 = Form("FP32", outputs_of(made.bare, inputs), (torch_form, "conversion"))
    int8 = Form("INT8", outputs_of(made.model, inputs), (fp32, "quantisation"))
    assert all(row.ok for form in (fp32, int8) for row in tap_rows(form, CFG))
    moved = Form("FP32", fp32.outputs, (as_given, "conversion"))
    assert not all(row.ok for row in tap_rows(moved, CFG))  # the explosion was there


def test_a_network_that_eight_bits_suit_is_not_clipped(net: Any) -> None:
    bare = to_ir(net, SPEC)
    made = quantize_far_enough(net, bare, SPEC, USUAL, USUAL[:4], TargetCpu.AVX2, CFG)
    assert made.net is net and made.bare is bare and made.notes == ()


def test_clipping_keeps_the_weights(net: Any) -> None:
    kept = copy.deepcopy(net).state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(clipped(net, [1.0] * 13).state_dict().values(), kept, strict=True))
