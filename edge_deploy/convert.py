"""PyTorch -> OpenVINO IR: a ResNet50 with its probabilities, embedding and taps, and the preprocessing in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from inspector.runtime import openvino
from training.model import head_of, resnet50

EMBEDDING_SIZE = 2048
OUTPUTS = ("probabilities", "embedding", "layer3", "layer2")
FEATURES = ("embedding", "layer3", "layer2")  # what the novelty head reads: (B, 2048), (B, 1024), (B, 512)
MAPS = {"layer2": "layer2_map", "layer3": "layer3_map"}  # tap -> name of its raw map, the input of its mean
CHANNELS = {"layer2": 512, "layer3": 1024}


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """What the network was trained with. mean and std are of RGB values in 0..1."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TappedResNet(nn.Module):
    """torchvision's ResNet50 from normalised (B, 3, H, W) to OUTPUTS: probabilities (B, K) and means of three stages.

    The last stage answers to what it was taught; the earlier ones still know how much disc, edge and belt is in view.
    """

    def __init__(self, net: torchvision.models.ResNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        probabilities, embedding, three, two = self.with_maps(x)
        return probabilities, embedding, three.mean((2, 3)), two.mean((2, 3))

    def with_maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same with the raw maps of both taps: (B, 1024, h/2, w/2) and (B, 512, h, w)."""
        n = self.net
        two = n.layer2(n.layer1(n.maxpool(n.relu(n.bn1(n.conv1(x))))))
        three = n.layer3(two)
        embedding = n.layer4(three).mean((2, 3))  # n.avgpool, without a reshape that holds the batch size
        return n.fc(embedding).softmax(1), embedding, three, two


def resnet50_of(weights: Mapping[str, Tensor]) -> torchvision.models.ResNet:
    """A ResNet50 with these weights (torchvision's key names) and their head, linear or MLP, in eval mode.

    Raises WeightsError: neither head; RuntimeError: keys do not fit.
    """
    net: torchvision.models.ResNet = resnet50(*head_of(weights))
    net.load_state_dict(dict(weights))
    return net.eval()


def to_ir(net: torchvision.models.ResNet, spec: NetworkInput) -> Any:
    """The bare FP32 ov.Model: normalised f32 (1, 3, H, W) -> OUTPUTS."""
    ov = openvino()
    shape = (1, 3, spec.height, spec.width)
    with torch.no_grad():
        exported = torch.export.export(TappedResNet(net).eval(), (torch.zeros(shape),))
    model = ov.convert_model(exported)
    model.reshape(list(shape))
    model.inputs[0].get_tensor().set_names({"input"})
    for output, name in zip(model.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return model


def map_of(model: Any, tap: str) -> Any:
    """The node output that holds the raw map of `tap`: what its mean is taken of.

    In a quantised graph NNCF's quantiser stands between the residual sum and all its readers, so this is the map on its
    8-bit grid, and nothing there has to leave the 8-bit domain for us.
    """
    mean = model.output(tap).get_node().input_value(0).get_node()
    if mean.get_type_name() != "ReduceMean":
        raise ValueError(f"output {tap} is a {mean.get_type_name()}, not the mean of a map")
    return mean.input_value(0)


def show_maps(model: Any) -> Any:
    """Add the raw maps as outputs MAPS, for fitting; changes and returns the model."""
    from openvino import opset15 as ops

    results = []
    for tap, name in MAPS.items():
        source = map_of(model, tap)
        source.get_tensor().set_names({name})
        results.append(ops.result(source))
    model.add_results(results)
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
