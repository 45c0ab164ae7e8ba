"""PyTorch -> OpenVINO IR: a ResNet50 with its probabilities and embedding, and the preprocessing as part of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from inspector.runtime import openvino

EMBEDDING_SIZE = 2048


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """What the network was trained with. mean and std are of RGB values in 0..1."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TwoOutputs(nn.Module):
    """torchvision's ResNet50 up to (probabilities (B, K), embedding (B, 2048)) from normalised (B, 3, H, W)."""

    def __init__(self, net: torchvision.models.ResNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n = self.net
        x = n.maxpool(n.relu(n.bn1(n.conv1(x))))
        embedding = torch.flatten(n.avgpool(n.layer4(n.layer3(n.layer2(n.layer1(x))))), 1)
        return n.fc(embedding).softmax(1), embedding


def resnet50_of(weights: Mapping[str, Tensor]) -> torchvision.models.ResNet:
    """A ResNet50 with these weights (torchvision's key names), in eval mode. Raises RuntimeError: keys do not fit."""
    net = torchvision.models.resnet50(weights=None, num_classes=int(weights["fc.weight"].shape[0]))
    net.load_state_dict(dict(weights))
    return net.eval()


def to_ir(net: torchvision.models.ResNet, spec: NetworkInput) -> Any:
    """The bare FP32 ov.Model: normalised f32 (1, 3, H, W) -> probabilities (1, K), embedding (1, 2048)."""
    ov = openvino()
    shape = (1, 3, spec.height, spec.width)
    with torch.no_grad():
        exported = torch.export.export(TwoOutputs(net).eval(), (torch.zeros(shape),))
    model = ov.convert_model(exported)
    model.reshape(list(shape))
    model.inputs[0].get_tensor().set_names({"input"})
    for output, name in zip(model.outputs, ("probabilities", "embedding"), strict=True):
        output.get_tensor().set_names({name})
    return model


def embed_preprocessing(model: Any, spec: NetworkInput) -> Any:
    """The same graph, taking the u8 NHWC RGB view at any size.

    RESIZE_BILINEAR_PILLOW on f32 equals torchvision's antialiased resize; OpenVINO's RESIZE_LINEAR is not antialiased.
    """
    ov = openvino()
    from openvino.preprocess import PrePostProcessor, ResizeAlgorithm

    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_shape([1, -1, -1, 3])
    steps.input().model().set_layout(ov.Layout("NCHW"))
    pre = steps.input().preprocess().convert_element_type(ov.Type.f32)
    pre.resize(ResizeAlgorithm.RESIZE_BILINEAR_PILLOW)
    pre.mean([255.0 * m for m in spec.mean]).scale([255.0 * s for s in spec.std])
    return steps.build()


def preprocessing_only(spec: NetworkInput) -> Any:
    """An ov.Model of the preprocessing alone, u8 view -> normalised f32 (1, 3, H, W): what NNCF calibrates on."""
    ov = openvino()
    from openvino import opset15 as ops

    parameter = ops.parameter([1, 3, spec.height, spec.width], ov.Type.f32, name="input")
    parameter.output(0).get_tensor().set_names({"input"})
    model = ov.Model([ops.result(parameter)], [parameter], "preprocessing")
    return embed_preprocessing(model, spec)
