"""Activations that end not far above the usual picture's, in PyTorch as in every graph that is made from it.

On a few strange pictures some channels of a residual network explode: tenfold what the usual picture shows, and from
block to block. Eight bits hold either their top or everybody else's steps. A network whose ReLUs are clipped, as ReLU6
clips those of MobileNet for the same reason (Howard et al. 2017; Krishnamoorthi 2018, arXiv:1806.08342), has no such
top: what is beyond it is cut off in training's form and in the box's alike, so that they are one function again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

REACH = 2.0  # times the median, over the pictures, of a picture's largest value
STAGES = ("layer1", "layer2", "layer3", "layer4")


class ClippedBottleneck(nn.Module):
    """torchvision's Bottleneck with its three ReLUs clipped; the weights are the block's own."""

    def __init__(self, block: Any, tops: Sequence[float]) -> None:
        super().__init__()
        self.block = block
        self.first, self.second, self.sum = map(_ending_at, tops)

    def forward(self, x: Tensor) -> Tensor:
        b = self.block
        inner = self.second(b.bn2(b.conv2(self.first(b.bn1(b.conv1(x))))))
        kept: Tensor = x if b.downsample is None else b.downsample(x)
        clipped: Tensor = self.sum(b.bn3(b.conv3(inner)) + kept)
        return clipped


def clipped(net: Any, tops: Sequence[float]) -> Any:
    """A copy of torchvision's ResNet of Bottlenecks in eval mode, with its ReLUs clipped at `tops` (see usual_tops).

    Raises ValueError: this network has another number of ReLUs.
    """
    new, left = copy.deepcopy(net).eval(), list(tops)
    if len(left) != (wanted := 1 + 3 * sum(len(getattr(net, stage)) for stage in STAGES)):
        raise ValueError(f"{len(left)} limits for the {wanted} ReLUs of this network")
    new.relu = _ending_at(left.pop(0))
    for stage in STAGES:
        blocks = getattr(new, stage)
        for index, block in enumerate(blocks):
            blocks[index] = ClippedBottleneck(block, [left.pop(0) for _ in range(3)])
    return new


def _ending_at(top: float) -> nn.Module:
    return nn.Hardtanh(0.0, top) if top > 0 else nn.ReLU()


def usual_tops(net: Any, inputs: Iterable[NDArray[np.float32]]) -> list[float]:
    """Where each ReLU is to end: REACH times what the usual picture shows, at most what any does. 0: it is left alone.

    inputs: normalised (1, 3, H, W). The stem's ReLU first, then three a block. One that is silent on the usual picture
    ends where it does on the others.
    """
    seen: list[list[float]] = []
    current: list[float] = []
    hooks = [m.register_forward_hook(lambda _, __, y: current.append(float(y.max()))) for m in _relus(net)]
    try:
        with torch.no_grad():
            for x in inputs:
                current = []
                net(torch.from_numpy(x))
                seen.append(current)
    finally:
        for hook in hooks:
            hook.remove()
    largest = np.array(seen)  # (pictures, ReLUs)
    usual, most = np.median(largest, axis=0), largest.max(axis=0)
    return [float(top) for top in np.where(usual > 0, np.minimum(REACH * usual, most), most)]


def _relus(net: Any) -> list[nn.ReLU]:
    """A Bottleneck has one module for its three ReLUs, which is then called three times."""
    return [net.relu, *(block.relu for stage in STAGES for block in getattr(net, stage))]
