"""Batches of an epoch, the same whether one process learns or several share each batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate

from training.imbalance import Order

Batch = tuple[Tensor, Tensor]  # (B, 3, h, w) float32, (B,) int64
Loader = DataLoader[Batch]


class EpochBatches(Sampler[list[int]]):
    """The epoch's order, cut into batches, of which this process takes its share (perhaps nothing of a small one).

    A last batch of one picture joins the one before it: BatchNorm learns nothing from a single value.
    """

    def __init__(self, order: Order, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.order, self.batch, self.seed, self.rank, self.world = order, batch, seed, rank, world
        self.epoch = 0
        self.sizes = tuple(map(len, self._cut(self._indices())))  # of whole batches, over all processes

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[int]]:
        for whole in self._cut(self._indices()):
            yield whole[self.rank :: self.world]

    def _indices(self) -> list[int]:
        generator = torch.Generator()
        generator.manual_seed(self.seed * 100_003 + self.epoch)
        return self.order(generator)

    def _cut(self, indices: list[int]) -> list[list[int]]:
        starts = list(range(0, len(indices), self.batch))
        if len(starts) > 1 and len(indices) - starts[-1] == 1:
            starts.pop()
        return [indices[a:b] for a, b in pairwise([*starts, len(indices)])]


class Shares(Sampler[list[int]]):
    """Every world-th picture, in order, in batches: what this process judges."""

    def __init__(self, count: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.mine, self.batch = list(range(rank, count, world)), batch

    def __len__(self) -> int:
        return -(-len(self.mine) // self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        return (self.mine[start : start + self.batch] for start in range(0, len(self.mine), self.batch))


class Collate:
    """Stack pictures; of none, an empty batch of the right shape, so that every process takes part in every step."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, items: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        if not items:
            return torch.empty(0, 3, *self.size), torch.empty(0, dtype=torch.int64)
        images, targets = default_collate(list(items))
        return images, targets
