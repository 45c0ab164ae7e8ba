"""Several processes that train one network, as torchrun starts them; alone, every function here does next to nothing.

Each takes its share of every batch, gradients and BatchNorm statistics are of the whole batch, and the first process
alone writes. All processes must see the same data and --out (a shared folder, where there are several machines).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0  # among those of this machine: the number of its GPU

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, the same in each."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether one of them says so."""
        return bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def refuse_difference(self, what: str, value: int, device: torch.device) -> None:
        """Raises TrainingError, in all processes, where they do not have the same `value`."""
        if self.world == 1:
            return
        every = torch.zeros(self.world, dtype=torch.int64, device=device)
        every[self.rank] = value
        if len(set(self.sum(every).tolist())) > 1:
            raise TrainingError(f"the processes do not see the same {what}: data and --out must be shared folders")

    def gathered(self, mine: NDArray[Any], count: int, device: torch.device) -> NDArray[Any]:
        """Rows of all processes, in order, where each has every world-th of `count` rows."""
        if self.world == 1:
            return mine
        every = torch.zeros(count, *mine.shape[1:], dtype=torch.from_numpy(mine).dtype, device=device)
        every[self.rank :: self.world] = torch.from_numpy(mine).to(device)
        return np.asarray(self.sum(every).cpu().numpy())


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group that torchrun's environment describes; gloo on CPUs, nccl on GPUs. Raises TrainingError."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:  # some batch systems set the first alone
        yield Group()
        return
    backend = "gloo" if device == "cpu" or not torch.cuda.is_available() else "nccl"
    group = Group(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    try:
        dist.init_process_group(backend)
    except (RuntimeError, ValueError) as exc:  # torch has both, for an address that does not answer and for a bad one
        raise TrainingError(f"the other {world - 1} processes cannot be reached: {exc}") from exc
    try:
        yield group
    finally:
        dist.destroy_process_group()


def share_among(net: Any, group: Group, device: torch.device) -> Any:
    """What to call in place of `net`, whose parameters it shares: gradients are the mean over the processes."""
    if group.world == 1 or not any(p.requires_grad for p in net.parameters()):
        return net
    ids = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(net, device_ids=ids)


def share_batch_norms(net: Any, group: Group, device: torch.device) -> Any:
    """The net, whose BatchNorms see the whole batch."""
    if group.world == 1:
        return net
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(net)
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return net


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d over the pictures of all processes, on CPUs: torch's SyncBatchNorm is for GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            normalised: Tensor = super().forward(x)
            return normalised
        count = torch.tensor([float(x.numel() // x.shape[1])], device=x.device)
        total, count = _Sum.apply(torch.cat([x.sum((0, 2, 3)), count])).split([x.shape[1], 1])
        mean = total / count
        away: Tensor = x - mean[None, :, None, None]
        variance = _Sum.apply(away.square().sum((0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None:
            keep = 0.1 if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean, keep)
                self.running_var.lerp_(variance * count / (count - 1), keep)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        scale: Tensor = torch.rsqrt(variance + self.eps) * self.weight
        return away * scale[None, :, None, None] + self.bias[None, :, None, None]


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradient of what went in is the sum of those of what came out."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total
