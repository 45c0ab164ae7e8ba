"""Quantisation-aware training: a few gentle epochs with 8-bit rounding in the loop, where plain quantisation loses.

NNCF puts its quantisers into the PyTorch network and the weights learn to live with them, held close to the FP32
network's own features. The tuned weights then take the ordinary way to the IR: torch.export cannot see through NNCF's
hooks, and torch.jit.trace, which can, is deprecated. What counts is measured again on that IR.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_deploy.convert import NetworkInput, TappedResNet
from edge_deploy.quantize import TargetCpu, advanced
from inspector.core.types import Image
from inspector.runtime import openvino
from training.views import view_transform

# NNCF compiles its quantiser in C++ once per machine (minutes); without a compiler it uses PyTorch's operations.
TIMEOUT_VARIABLE, TIMEOUT_S = "NNCF_EXTENSION_LOAD_TIMEOUT", "900"


@dataclass(frozen=True, slots=True)
class QatConfig:
    """keep: weight of staying close to the FP32 network's taps, against the classes: the head reads the taps."""

    epochs: int = 3
    batch: int = 16
    learning_rate: float = 1e-5
    keep: float = 1.0
    seed: int = 0


def tune(
    net: Any,
    spec: NetworkInput,
    views: Sequence[Image],
    classes: Sequence[int],
    target: TargetCpu,
    cfg: QatConfig = QatConfig(),
    say: Callable[[str], None] = lambda _: None,
) -> Any:
    """A copy of `net` whose weights were trained under 8-bit rounding on these (h, w, 3) uint8 RGB views.

    BatchNorm and the quantisers' ranges stay as they are; views of class -1 count for the taps only.
    """
    openvino()  # before nncf: telemetry is off from here on
    os.environ.setdefault(TIMEOUT_VARIABLE, TIMEOUT_S)
    import nncf

    logging.getLogger("nncf").setLevel(logging.WARNING)
    transform = view_transform((spec.height, spec.width), spec.mean, spec.std)
    inputs = torch.stack([transform(torch.from_numpy(view).permute(2, 0, 1)) for view in views])
    wanted = torch.tensor(classes)
    teacher = TappedResNet(net).eval()
    student = nncf.quantize(
        copy.deepcopy(teacher),
        nncf.Dataset([x[None] for x in inputs]),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(inputs),
        advanced_parameters=advanced(target),
    ).eval()  # eval: BatchNorm keeps its statistics
    weights = [value for name, value in student.named_parameters() if name.startswith("net.")]
    optimizer = torch.optim.AdamW(weights, lr=cfg.learning_rate, weight_decay=0.0)
    rng = torch.Generator().manual_seed(cfg.seed)
    for epoch in range(cfg.epochs):
        total = 0.0
        for chosen in torch.randperm(len(inputs), generator=rng).split(cfg.batch):
            with torch.no_grad():
                kept = teacher(inputs[chosen])
            loss = _loss(student(inputs[chosen]), kept, wanted[chosen], cfg.keep)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += float(loss.detach()) * len(chosen)
        say(f"training with 8-bit rounding, epoch {epoch + 1} of {cfg.epochs}: loss {total / len(inputs):.4f}")
    return _weights_of(student, net)


def _loss(found: Sequence[Tensor], kept: Sequence[Tensor], classes: Tensor, keep: float) -> Tensor:
    """Cross-entropy of the classes, and 1 - cosine of every tap to the FP32 network's."""
    taught = classes >= 0
    apart = torch.stack([(1 - F.cosine_similarity(a, b)).mean() for a, b in zip(found[1:], kept[1:], strict=True)])
    if not taught.any():
        return keep * apart.sum()
    return F.nll_loss(found[0][taught].clamp_min(1e-12).log(), classes[taught]) + keep * apart.sum()


def _weights_of(student: nn.Module, net: Any) -> Any:
    """`net` with the student's weights; NNCF's hooks stay behind."""
    tuned = copy.deepcopy(net)
    state = {name.removeprefix("net."): value for name, value in student.state_dict().items()}
    tuned.load_state_dict({name: state[name] for name in tuned.state_dict()})
    return tuned.eval()
