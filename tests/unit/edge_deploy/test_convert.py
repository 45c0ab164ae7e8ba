from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_deploy.convert import (
    NetworkInput,
    TappedResNet,
    embed_preprocessing,
    preprocessing_only,
    resnet50_of,
    to_ir,
)
from inspector.core.types import Image
from inspector.model import load_ir
from inspector.runtime import openvino
from tests.unit.edge_deploy.conftest import Networks, picture
from training.choices import Head
from training.errors import WeightsError
from training.model import resnet50
from training.views import view_transform


def as_training_sees(view: Image, spec: NetworkInput) -> torch.Tensor:
    transform = view_transform((spec.height, spec.width), spec.mean, spec.std)
    return transform(torch.from_numpy(view.copy()).permute(2, 0, 1))[None]


@pytest.mark.parametrize("size", [(72, 90), (240, 240), (64, 64), (31, 47)])
def test_the_line_sees_what_training_saw(networks: Networks, size: tuple[int, int]) -> None:
    view = picture(7, *size)
    with torch.no_grad():
        expected = TappedResNet(networks.torch).eval()(as_training_sees(view, networks.spec))
    outputs = load_ir(networks.fp32, size, threads=2).infer(view)
    for name, value in zip(("probabilities", "embedding", "layer3", "layer2"), expected, strict=True):
        np.testing.assert_allclose(outputs[name], value.numpy(), rtol=2e-3, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("size", [(240, 240), (101, 77), (64, 64), (40, 50)])
def test_the_embedded_resize_is_torchvisions_antialiased_one(size: tuple[int, int]) -> None:
    spec = NetworkInput(64, 64, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))  # grey values stay grey values
    noise = np.random.default_rng(3).integers(0, 256, (*size, 3)).astype(np.uint8)
    graph = openvino().compile_model(preprocessing_only(spec), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ours = graph(noise[None])[0]
    theirs = as_training_sees(noise, NetworkInput(64, 64, spec.mean, (1.0, 1.0, 1.0))).numpy() * 255
    assert np.abs(ours - theirs).max() < 0.01


def test_the_two_layer_head_passes_through_conversion(networks: Networks) -> None:
    torch.manual_seed(5)
    head = resnet50(4, Head.MLP)
    weights = networks.torch.state_dict() | {k: v for k, v in head.state_dict().items() if k.startswith("fc.")}
    net = resnet50_of({k: v for k, v in weights.items() if k not in {"fc.weight", "fc.bias"}})
    view = picture(8)
    with torch.no_grad():
        expected = TappedResNet(net)(as_training_sees(view, networks.spec))[0]
        torch.testing.assert_close(TappedResNet(net)(as_training_sees(view, networks.spec))[0], expected)  # no dropout
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    graph = openvino().compile_model(embed_preprocessing(to_ir(net, networks.spec), networks.spec), "CPU", exact)
    np.testing.assert_allclose(graph(view[None])["probabilities"], expected.numpy(), atol=2e-3)
    assert expected.shape == (1, 4)


def test_weights_without_a_head_of_ours_are_refused(networks: Networks) -> None:
    weights = {k: v for k, v in networks.torch.state_dict().items() if not k.startswith("fc.")}
    with pytest.raises(WeightsError, match="no head"):
        resnet50_of(weights)
