"""A slow average of the weights: what is judged and kept where `--ema` is given."""

from __future__ import annotations

import copy
from typing import Any

import torch


class SlowAverage:
    """`net`: a copy that follows another net's parameters and BatchNorm statistics."""

    def __init__(self, net: Any, keep: float) -> None:
        self.net, self.keep = copy.deepcopy(net).requires_grad_(False).eval(), keep

    @torch.no_grad()
    def follow(self, net: Any, step: int) -> None:
        """step: from 0. The first steps count more, for the average would else remember the random start."""
        keep = min(self.keep, (1 + step) / (10 + step))
        for slow, fast in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)
