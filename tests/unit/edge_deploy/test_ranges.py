"""How far ranges reach: further than the usual picture only where 8 bits would cut off what strange ones show."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_deploy.convert import OUTPUTS, NetworkInput
from edge_deploy.parity import ParityConfig
from edge_deploy.quantize import Ranges, TargetCpu, quantize
from edge_deploy.ranges import quantize_far_enough
from inspector.core.types import Image
from inspector.runtime import openvino

SPEC = NetworkInput(16, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Small(nn.Module):
    """OUTPUTS of three convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.two, self.three, self.four = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        two = self.two(x).relu()
        three = self.three(two).relu()
        embedding = self.four(three).relu().mean((2, 3))
        return self.fc(embedding).softmax(1), embedding, three.mean((2, 3)), two.mean((2, 3))


def small() -> Any:
    torch.manual_seed(0)
    model = openvino().convert_model(torch.export.export(Small().eval(), (torch.zeros(1, 3, 16, 16),)))
    model.reshape([1, 3, 16, 16])
    for output, name in zip(model.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return model


def dim(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 24, (16, 16, 3)).astype(np.uint8)


def bright(seed: int) -> Image:
    """Like `dim`, with a spot that shines."""
    image = dim(seed)
    image[4:8, 4:8] = 255
    return image


USUAL = [dim(seed) for seed in range(28)]
VIEWS = [*USUAL, *(bright(seed) for seed in range(4))]


def reach(model: Any) -> float:
    """The upper end of the input's range."""
    rounded = [op for op in model.get_ops() if op.get_type_name() == "FakeQuantize"]
    (of_input,) = [op for op in rounded if op.input_value(0).get_node().get_type_name() == "Parameter"]
    return float(of_input.input_value(2).get_node().data.max())


def test_a_range_is_the_mean_of_what_the_batches_reach() -> None:
    dull, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    views = [*[dull] * 7, white]
    assert reach(quantize(small(), SPEC, views, TargetCpu.AVX2)) == pytest.approx(1 / 8, abs=0.01)
    assert reach(quantize(small(), SPEC, views, TargetCpu.AVX2, Ranges(batch=4))) == pytest.approx(1 / 2, abs=0.01)


def test_the_first_layer_can_be_left_in_fp32() -> None:
    def first(model: Any) -> Any:
        return next(op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution")

    usual, left = (quantize(small(), SPEC, USUAL, TargetCpu.AVX2, Ranges(stem=stem)) for stem in (True, False))
    assert first(usual).input_value(0).get_node().get_type_name() == "FakeQuantize"
    assert first(left).input_value(0).get_node().get_type_name() == "Parameter"


def test_where_strange_pictures_would_be_cut_off_ranges_reach_further_and_a_note_says_so() -> None:
    said: list[str] = []
    checks = [bright(99), dim(98)]
    made = quantize_far_enough(None, small(), SPEC, VIEWS, checks, TargetCpu.AVX2, ParityConfig(), said.append)
    assert reach(made.model) > 2 * reach(quantize(small(), SPEC, VIEWS, TargetCpu.AVX2))
    assert "pictures at a time" in said[0]
    assert len(made.notes) == 1 and "by ranges of one picture at a time they left" in made.notes[0]


def test_where_nothing_is_cut_off_ranges_stay_as_fine_as_they_are() -> None:
    made = quantize_far_enough(None, small(), SPEC, VIEWS, [dim(98)], TargetCpu.AVX2, ParityConfig())
    assert made.notes == ()
    assert reach(made.model) == reach(quantize(small(), SPEC, VIEWS, TargetCpu.AVX2))


def test_without_pictures_to_check_on_nothing_is_chosen() -> None:
    assert quantize_far_enough(None, small(), SPEC, VIEWS, [], TargetCpu.AVX2, ParityConfig()).notes == ()
