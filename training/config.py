"""What a training is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from training.choices import Augment, Freeze, Head, Imbalance, Optim, Precision, StopAfter
from training.errors import TrainingError
from training.views import Roi

NAMED = {"network_size": "--size"}  # options that are not called as their field is
MOST_READERS = 8  # processes that read pictures for one GPU
# May change when a run goes on: how it is computed, not what.
HOW_NOT_WHAT = {"out", "stop_after", "threads", "workers", "device", "channels_last", "tensorboard", "quiet"}


@dataclass(frozen=True, slots=True)
class FitConfig:
    data: Path  # folder, or manifest (.csv, .json)
    out: Path
    product: str = "part"
    weights: str = "imagenet"  # imagenet, none, a file, or a former run
    weights_licence: str = "NOASSERTION"  # SPDX identifier, for the bundle
    data_licence: str = "NOASSERTION"
    freeze: Freeze | None = None  # None: layer4, or nothing where weights are random
    head: Head = Head.LINEAR
    classes: Path | None = None
    acceptable: tuple[str, ...] = ()
    group_by: str | None = None
    roi: Roi | None = None
    network_size: tuple[int, int] = (224, 224)  # height, width
    epochs: int = 25
    batch: int = 32  # pictures of one step, over all processes
    accumulate: int = 1  # batches whose gradients make one step
    optimizer: Optim = Optim.ADAMW
    lr: float = 1e-3  # at its highest, after the warm-up
    warmup: float | None = None  # epochs; None: one, or a tenth of all where that is less
    ema: float = 0.0  # keep of the weights' slow average at each step, such as 0.999; 0: none
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    imbalance: Imbalance = Imbalance.WEIGHTED_LOSS
    augment: tuple[Augment, ...] = ()
    patience: int = 5  # epochs without a better macro recall
    precision: Precision = Precision.AUTO
    seed: int = 0
    device: str = "auto"
    workers: int | None = None  # processes that read pictures; None: as many as keep the device busy
    threads: int | None = None  # of torch on the CPU; None: torch's own choice
    channels_last: bool = True  # memory layout; faster on GPUs with mixed precision, and on most CPUs
    stop_after: StopAfter | None = None  # pause, though the training is not over
    tensorboard: bool = False  # scalars for TensorBoard in out/tensorboard
    quiet: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError: a figure that no training can use, or changes that need each other."""
        bounds = {
            "epochs": self.epochs >= 1, "batch": self.batch >= 1, "accumulate": self.accumulate >= 1,
            "patience": self.patience >= 1, "lr": self.lr > 0, "weight_decay": self.weight_decay >= 0,
            "ema": 0 <= self.ema < 1, "label_smoothing": 0 <= self.label_smoothing < 1,
            "warmup": self.warmup is None or 0 <= self.warmup <= self.epochs,
            "network_size": min(self.network_size) > 0,
        }  # fmt: skip
        for name, fine in bounds.items():
            if not fine:
                raise ValueError(f"{option(name)} {getattr(self, name)} cannot be used")
        if Augment.ROTATE_90 in self.augment and self.network_size[0] != self.network_size[1]:
            raise ValueError("--augment rotate-90 turns the view by a quarter: it needs a square --size")

    @property
    def freeze_policy(self) -> Freeze:
        """Random layers are not worth keeping."""
        return self.freeze or (Freeze.NONE if self.weights == "none" else Freeze.LAYER4)

    def described(self) -> dict[str, str]:
        """As text for run.json, without this machine's folders; equal for two starts that learn the same."""
        texts = {f.name: _text(getattr(self, f.name)) for f in fields(self) if f.name not in HOW_NOT_WHAT}
        return texts | {"freeze": str(self.freeze_policy), "weights": Path(self.weights).name}

    def torch_device(self, number: int | None = None) -> torch.device:
        """The GPU where there is one, or what was asked for. Raises TrainingError: it is not there.

        number: of this process on this machine, where several train together and each has a GPU of its own.
        """
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and number is not None:
            name = f"cuda:{number}"
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as exc:  # torch has both, for a wrong word and for a missing GPU
            raise TrainingError(f"--device {self.device} cannot be used: {str(exc).splitlines()[0]}") from exc

    def loader_workers(self, device: torch.device) -> int:
        """A CPU is busier with the network than with the pictures; one reader keeps no GPU busy."""
        if self.workers is not None:
            return self.workers
        return min(MOST_READERS, len(os.sched_getaffinity(0))) if device.type == "cuda" else 0

    def autocast_dtype(self, device: torch.device) -> torch.dtype | None:
        """None: float32. Raises TrainingError: fp16 on a CPU."""
        if self.precision is Precision.FP16 and device.type == "cpu":
            raise TrainingError("--precision fp16 needs a GPU; on a CPU use bf16 or fp32")
        if self.precision is Precision.AUTO and device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}.get(self.precision)


def option(name: str) -> str:
    """What a field of FitConfig is called on the command line."""
    return NAMED.get(name, f"--{name.replace('_', '-')}")


def _text(value: object) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return "" if value is None else str(value)
