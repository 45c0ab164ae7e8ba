"""An exported file against PyTorch: the same pictures through both, every output compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_deploy.convert import NetworkInput, TappedResNet
from edge_deploy.parity import apart, text_table
from inspector.core.types import Image
from inspector.model import load_ir
from training.views import view_transform

EXPORTED = ("probabilities", "embedding")  # the first two of TappedResNet
BATCHES = (1, 2, 5)  # pictures at once that a dynamic batch is checked with
Runtime = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]

# (cosine at least, difference at most, as a share of the largest value of the output)
LIMITS: Mapping[str, tuple[float, float]] = {
    "onnx": (0.99999, 1e-3),
    "torch": (0.99999, 1e-3),
    "fp32": (0.9999, 0.01),
    "fp16": (0.999, 0.03),
    "int8": (0.995, 0.25),
}


@dataclass(frozen=True, slots=True)
class Checked:
    """One comparison with PyTorch: file, pictures at once, output, worst cosine and difference, and their limits."""

    file: str
    batch: int
    output: str
    cosine: float
    difference: float
    limit: tuple[float, float]

    @property
    def ok(self) -> bool:
        return self.cosine >= self.limit[0] and self.difference <= self.limit[1]  # NaN is not


class Deployed(nn.Module):
    """RGB grey values 0..255, (B, 3, H, W) float32 -> EXPORTED. Mean and scale are inside, the resize is not."""

    mean: Tensor
    scale: Tensor

    def __init__(self, net: Any, spec: NetworkInput) -> None:
        super().__init__()
        self.tapped = TappedResNet(net)
        self.register_buffer("mean", 255.0 * torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer("scale", 255.0 * torch.tensor(spec.std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        probabilities, embedding, *_ = self.tapped((image - self.mean) / self.scale)
        return probabilities, embedding


def check_batches(net: Any, spec: NetworkInput, file: str, limit: str, run: Runtime) -> list[Checked]:
    """Network-sized pictures, several at once: what a runtime with a dynamic batch is given.

    run: (B, 3, H, W) float32 of 0..255 -> EXPORTED. limit: which of LIMITS.
    """
    reference, rng = Deployed(net, spec).eval(), np.random.default_rng(0)
    rows = []
    for count in BATCHES:
        pictures = np.stack([drawn(rng, spec.height, spec.width) for _ in range(count)])
        batch = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)
        with torch.no_grad():
            wanted = [value.numpy() for value in reference(torch.from_numpy(batch))]
        rows += [
            _checked(file, count, output, [found], [value], LIMITS[limit])
            for output, found, value in zip(EXPORTED, run(batch), wanted, strict=True)
        ]
    return rows


def check_views(
    net: Any, spec: NetworkInput, file: str, limit: str, folder: Path, views: Sequence[Image]
) -> list[Checked]:
    """Camera views through the IR in `folder`, preprocessing included, against training's own transform."""
    graph = load_ir(folder, (views[0].shape[0], views[0].shape[1]), threads=2)
    transform = view_transform((spec.height, spec.width), spec.mean, spec.std)
    tapped = TappedResNet(net).eval()
    found, wanted = [], []
    for view in views:
        with torch.no_grad():
            outputs = tapped(transform(torch.from_numpy(view).permute(2, 0, 1))[None])[: len(EXPORTED)]
        wanted.append([value.numpy() for value in outputs])
        found.append(graph.infer(view))
    return [
        _checked(file, 1, output, [f[output] for f in found], [w[i] for w in wanted], LIMITS[limit])
        for i, output in enumerate(EXPORTED)
    ]


def table(rows: Sequence[Checked]) -> str:
    """As text, one row a comparison."""
    head = ("file", "pictures at once", "output", "cosine", "at least", "largest difference", "at most", "")
    cells = [
        (
            r.file, str(r.batch), r.output, f"{r.cosine:.6f}", f"{r.limit[0]:g}", f"{r.difference:.4%}",
            f"{r.limit[1]:.2%}", "ok" if r.ok else "WRONG",
        )
        for r in rows
    ]  # fmt: skip
    return text_table(head, cells)


def drawn(rng: np.random.Generator, height: int, width: int) -> Image:
    """Coarse patches of colour with noise, (height, width, 3) uint8."""
    coarse = rng.uniform(20, 235, (4, 4, 3)).repeat(-(-height // 4), 0).repeat(-(-width // 4), 1)[:height, :width]
    return np.clip(coarse + rng.normal(0, 15, (height, width, 3)), 0, 255).astype(np.uint8)


def _checked(
    file: str,
    batch: int,
    output: str,
    found: Sequence[NDArray[np.float32]],
    wanted: Sequence[NDArray[np.float32]],
    limit: tuple[float, float],
) -> Checked:
    pairs = [apart(f, w) for f, w in zip(found, wanted, strict=True)]
    worst = np.array([min(c for c, _ in pairs), max(d for _, d in pairs)])
    cosine, difference = worst if np.isfinite(pairs).all() else (np.nan, np.nan)
    return Checked(file, batch, output, float(cosine), float(difference), limit)
