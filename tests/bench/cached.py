"""layer4 and the head, taught on what the frozen layers below make of each picture: computed once, used by many.

The product's own order, losses, optimizer, learning rates and choice of the best epoch. Without augmentation the
frozen layers give the same features in every epoch, so this learns what `inspector-train fit` learns, only sooner;
tests/unit/bench/test_cached.py holds it to that.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_deploy.steps import Steps, Tick
from training.batches import EpochBatches
from training.choices import Freeze
from training.config import FitConfig
from training.data import Dataset
from training.evaluate import predict, report
from training.imbalance import class_counts, loss_of, order_of
from training.model import FROZEN_STEM, freeze, optimizer_of, start_from, train_mode
from training.runs import Split
from training.train import learning_rate
from training.views import Views, view_transform

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CPU = torch.device("cpu")
LAST = torch.channels_last


@dataclass(frozen=True, slots=True, eq=False)
class Cached:
    """One split as layer3 shows it. features: (N, 1024, h, w) float32; targets: (N,) int64 class ids."""

    features: Tensor
    targets: Tensor

    def batches(self, orders: Iterable[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        for which in orders:
            yield self.features[which].contiguous(memory_format=LAST), self.targets[which]

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        every = range(len(self.targets))
        return self.batches(every[start : start + batch] for start in range(0, len(every), batch))


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """losses and recalls: of each epoch, on train and (macro) on val. predicted: (N,) class ids of the test pictures.

    best: the epoch from 1 whose weights judged; shown: pictures that an epoch learned from.
    """

    losses: tuple[float, ...]
    recalls: tuple[float, ...]
    best: int
    shown: int
    predicted: NDArray[np.int64]


@torch.no_grad()
def cache(cfg: FitConfig, data: Dataset, steps: Steps) -> dict[Split, Cached]:
    """Every picture once through stem to layer3 of the network that the run starts from, unchanged by augmentation."""
    below = nn.Sequential(*_frozen(_start(cfg, data))).eval()
    labels, transform = [entry.name for entry in data.classes], view_transform(cfg.network_size)
    found: dict[Split, Cached] = {}
    for split in SPLITS:
        views = Views(data.root, data.of(split), labels, cfg.roi, transform)
        features = []
        with steps.bar(f"features of {split}", len(views)) as tick:
            for start in range(0, len(views), cfg.batch):
                seen = [views[i][0] for i in range(start, min(start + cfg.batch, len(views)))]
                features.append(below(torch.stack(seen).contiguous(memory_format=LAST)).contiguous())
                for _ in seen:
                    tick()
        found[split] = Cached(torch.cat(features), torch.tensor(views.targets))
    return found


def teach(cfg: FitConfig, data: Dataset, cached: dict[Split, Cached], steps: Steps) -> Taught:
    """Train as `cfg` says, on cached features; stops early as the product does. Raises ValueError: it cannot be so."""
    _refuse(cfg)
    course = _Course(cfg, data, cached["train"])
    losses, judged = [], []
    kept: dict[str, Any] = {}
    with steps.bar(str(cfg.imbalance), cfg.epochs * len(course.order)) as tick:
        for epoch in range(cfg.epochs):
            losses.append(course.learn(epoch, tick))
            of_val = report(*predict(course.tail, cached["val"].in_order(cfg.batch), CPU), data.classes)
            judged.append((of_val.macro_recall, -of_val.loss))  # the learner's own order of epochs
            best = max(range(len(judged)), key=judged.__getitem__)
            if best == epoch:
                kept = copy.deepcopy(course.tail.state_dict())
            if epoch - best >= cfg.patience:
                break
    course.tail.load_state_dict(kept)
    probabilities, _ = predict(course.tail, cached["test"].in_order(cfg.batch), CPU)
    return Taught(
        losses=tuple(losses),
        recalls=tuple(recall for recall, _ in judged),
        best=best + 1,
        shown=sum(course.order.sizes),
        predicted=np.asarray(probabilities.argmax(1), np.int64),
    )


class _Course:
    """What learns, and from what."""

    def __init__(self, cfg: FitConfig, data: Dataset, train: Cached) -> None:
        self.cfg, self.train, self.net = cfg, train, _start(cfg, data)
        freeze(self.net, Freeze.LAYER4)
        self.tail = nn.Sequential(self.net.layer4, self.net.avgpool, nn.Flatten(), self.net.fc)
        self.optimizer = optimizer_of(cfg.optimizer, self.net, cfg.lr, cfg.weight_decay)
        targets, classes = train.targets.tolist(), len(data.classes)
        self.loss = loss_of(cfg.imbalance, class_counts(targets, classes), cfg.label_smoothing)
        self.order = EpochBatches(order_of(cfg.imbalance, targets, classes), cfg.batch, cfg.seed)

    def learn(self, epoch: int, tick: Tick) -> float:
        """One epoch. Returns the mean loss of a picture."""
        self.order.epoch, total = epoch, 0.0
        train_mode(self.net, Freeze.LAYER4)
        for number, (features, targets) in enumerate(self.train.batches(self.order), epoch * len(self.order)):
            losses = self.loss(self.tail(features), targets)
            losses.mean().backward()
            for parameters in self.optimizer.param_groups:
                parameters["lr"] = learning_rate(self.cfg, number, len(self.order))
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            total += float(losses.detach().sum())
            tick()
        return total / sum(self.order.sizes)


def _refuse(cfg: FitConfig) -> None:
    if cfg.augment or cfg.ema or cfg.accumulate > 1 or cfg.freeze_policy is not Freeze.LAYER4:
        raise ValueError("cached features are of unchanged pictures and frozen layers: no augmentation, no average")


def _start(cfg: FitConfig, data: Dataset) -> Any:
    """The network as the learner starts it: the head falls by the seed."""
    torch.manual_seed(cfg.seed)
    start = start_from(cfg.weights, len(data.classes), cfg.weights_licence, cfg.head)
    return start.net.to(memory_format=LAST)


def _frozen(net: Any) -> list[nn.Module]:
    """In the order of torchvision's forward: what FROZEN_STEM names, with the steps between that have no weights."""
    between = {"bn1": [net.relu, net.maxpool]}
    return [module for name in FROZEN_STEM for module in (getattr(net, name), *between.get(name, ()))]
