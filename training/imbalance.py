"""What is done about rare classes: how often their pictures are shown, and how much each counts. One method at a time.

Every loss is given per picture, and a batch's is the plain mean, so that batches split over processes or accumulated
over steps give the same gradient as one large batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.choices import Imbalance

Loss = Callable[[Tensor, Tensor], Tensor]  # logits (B, K) float32, class ids (B,) int64 -> (B,) float32
Order = Callable[[Generator], list[int]]  # the indices of one epoch
GAMMA = 2.0  # of the focal loss: the paper's own choice


def class_counts(targets: Sequence[int], classes: int) -> Tensor:
    """(K,) float64."""
    return torch.bincount(torch.tensor(targets, dtype=torch.int64), minlength=classes).double()


def order_of(method: Imbalance, targets: Sequence[int], classes: int) -> Order:
    """What an epoch shows, shuffled. Its length does not change from epoch to epoch."""
    counts = class_counts(targets, classes)
    members = [torch.tensor([i for i, t in enumerate(targets) if t == k], dtype=torch.int64) for k in range(classes)]
    most, least = int(counts.max()), int(counts[counts > 0].min())

    def plain(rng: Generator) -> list[int]:
        return [int(i) for i in torch.randperm(len(targets), generator=rng)]

    def balanced(rng: Generator) -> list[int]:
        weights = (1 / counts)[torch.tensor(targets)]
        return [int(i) for i in torch.multinomial(weights, len(targets), replacement=True, generator=rng)]

    def over(rng: Generator) -> list[int]:
        return _mixed([_times(of, most, rng) for of in members if len(of)], rng)

    def under(rng: Generator) -> list[int]:
        return _mixed([of[torch.randperm(len(of), generator=rng)[:least]] for of in members if len(of)], rng)

    return {
        Imbalance.BALANCED_SAMPLER: balanced, Imbalance.OVER_SAMPLING: over, Imbalance.UNDER_SAMPLING: under,
    }.get(method, plain)  # fmt: skip


def loss_of(method: Imbalance, counts: Tensor, smoothing: float) -> Loss:
    """counts: (K,), pictures of each class to learn from. smoothing: of the labels, 0 to below 1."""
    weights = (counts.sum() / (len(counts) * counts.clamp(min=1))).float()  # pictures count 1 on average
    shift = torch.log(counts.clamp(min=1) / counts.sum()).float()

    def plain(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)

    def weighted(logits: Tensor, targets: Tensor) -> Tensor:
        return plain(logits, targets) * weights.to(logits.device)[targets]

    def focal(logits: Tensor, targets: Tensor) -> Tensor:
        """(1 - p)^gamma times the cross-entropy: Lin et al., Focal Loss for Dense Object Detection, 2017, (4)."""
        p = logits.softmax(1).gather(1, targets[:, None])[:, 0]
        return (1 - p) ** GAMMA * plain(logits, targets)

    def adjusted(logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits + log prior: Menon et al., Long-Tail Learning via Logit Adjustment, 2021, (10)."""
        return plain(logits + shift.to(logits.device), targets)

    return {
        Imbalance.WEIGHTED_LOSS: weighted, Imbalance.FOCAL_LOSS: focal, Imbalance.LOGIT_ADJUSTMENT: adjusted,
    }.get(method, plain)  # fmt: skip


def _times(members: Tensor, count: int, rng: Generator) -> Tensor:
    """`count` of them: each as often as the others, give or take one."""
    rounds = [members[torch.randperm(len(members), generator=rng)] for _ in range(-(-count // len(members)))]
    return torch.cat(rounds)[:count]


def _mixed(parts: Sequence[Tensor], rng: Generator) -> list[int]:
    together = torch.cat(list(parts))
    return [int(i) for i in together[torch.randperm(len(together), generator=rng)]]
