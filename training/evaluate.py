"""What a classifier is worth: accuracy, macro scores, and what they mean for the line, with exact bounds.

Escape: an unacceptable part that would pass. Overkill: an acceptable part that would not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inspector.core.manifest import ClassEntry
from inspector.core.stats import Interval, class_scores, clopper_pearson, confusion

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Share:
    """`failures` of `of` parts, with the exact 95 % interval and the one-sided 95 % upper bound."""

    failures: int
    of: int
    interval: Interval
    upper: float

    @property
    def rate(self) -> float:
        """0 where there was no part; the interval then says 0 to 1."""
        return self.failures / self.of if self.of else 0.0

    def __str__(self) -> str:
        low, high = 100 * self.interval.low, 100 * self.interval.high
        return f"{100 * self.rate:.2f} % ({self.failures} of {self.of}; 95 %: {low:.2f} to {high:.2f} %)"


def share(failures: int, of: int) -> Share:
    """A counted share with its bounds."""
    upper = clopper_pearson(failures, of, side="upper").high
    return Share(failures, of, clopper_pearson(failures, of), upper)


@dataclass(frozen=True, slots=True)
class Report:
    """Of one split. The most probable class decides; a least confidence comes with the limits, at the build."""

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]  # (K, K), row = true class
    accuracy: float
    macro_recall: float
    macro_precision: float
    macro_f1: float
    recall: tuple[float, ...]  # per class; NaN where it does not occur
    escape: Share
    overkill: Share
    loss: float  # mean cross-entropy

    def metrics(self, split: str) -> dict[str, float]:
        """Flat figures for run.json, named `<split>_<figure>`; a class that does not occur has no recall."""
        plain = ("accuracy", "macro_recall", "macro_precision", "macro_f1", "loss")
        flat = {name: float(getattr(self, name)) for name in plain}
        flat |= {f"recall_{name}": r for name, r in zip(self.labels, self.recall, strict=True) if not np.isnan(r)}
        for name, part in (("escape", self.escape), ("overkill", self.overkill)):
            flat |= {name: part.rate, f"{name}_upper_95": part.upper, f"{name}_of": float(part.of)}
        return {f"{split}_{name}": value for name, value in flat.items()}

    def details(self) -> dict[str, Any]:
        """For metrics.json: what does not fit into flat figures."""
        shares = {"escape": self.escape, "overkill": self.overkill}
        return {
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            **{
                name: {"failures": s.failures, "of": s.of, "interval_95": [s.interval.low, s.interval.high]}
                for name, s in shares.items()
            },
        }


def report(
    probabilities: NDArray[np.floating[Any]], truth: NDArray[np.integer[Any]], classes: Sequence[ClassEntry]
) -> Report:
    """probabilities: (N, K), truth: (N,) class ids. Raises ValueError: no picture, or not finite."""
    if not len(truth) or not np.isfinite(probabilities).all():
        raise ValueError("there is no picture to report on, or a probability is not finite")
    predicted = probabilities.argmax(1)
    matrix = confusion(truth, predicted, len(classes))
    scores = class_scores(matrix)
    recall, precision, f1 = scores.macro()
    may_pass = np.array([entry.acceptable for entry in classes])
    good, passed = may_pass[truth], may_pass[predicted]
    likelihood = np.clip(probabilities[np.arange(len(truth)), truth].astype(np.float64), 1e-12, 1.0)
    return Report(
        labels=tuple(entry.name for entry in classes),
        confusion=matrix,
        accuracy=float((predicted == truth).mean()),
        macro_recall=recall,
        macro_precision=precision,
        macro_f1=f1,
        recall=tuple(float(r) for r in scores.recall),
        escape=share(int((~good & passed).sum()), int((~good).sum())),
        overkill=share(int((good & ~passed).sum()), int(good.sum())),
        loss=float(-np.log(likelihood).mean()),
    )


@torch.no_grad()
def predict(net: nn.Module, batches: Batches, device: torch.device) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities (N, K) and class ids (N,) over all batches, in float32, the net in evaluation mode."""
    net.eval()
    probabilities, truth = [], []
    for images, targets in batches:
        images = images.to(device, memory_format=torch.channels_last)
        probabilities.append(net(images).float().softmax(1).cpu().numpy())
        truth.append(targets.numpy())
    return np.concatenate(probabilities), np.concatenate(truth)


def evaluate(net: nn.Module, batches: Batches, classes: Sequence[ClassEntry], device: torch.device) -> Report:
    """Report of the net on the pictures of `batches`."""
    return report(*predict(net, batches, device), classes)
