"""What a training carries from epoch to epoch, and what its checkpoint holds."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from training.average import SlowAverage
from training.batches import Collate, EpochBatches, Loader, Shares
from training.checkpoint import CHECKPOINT, load_checkpoint, read_notes, save_checkpoint, save_tensors
from training.config import FitConfig, option
from training.data import Dataset
from training.errors import RunError
from training.evaluate import Report, predict
from training.imbalance import class_counts, loss_of, order_of
from training.model import Start, freeze, optimizer_of, start_from, train_mode
from training.runs import HISTORY, WEIGHTS, Split, write_json
from training.together import Group, share_among, share_batch_norms
from training.views import Views, view_transform
from training.watch import Watch


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of history.json."""

    epoch: int  # from 1
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_macro_recall: float
    val_escape: float
    val_overkill: float
    seconds: float
    lr: float = 0.0  # of the last step
    pictures_per_s: float = 0.0  # learned from, over all processes
    waiting: float = 0.0  # share of the learning time in which the network waited for pictures
    gpu_used_percent: float | None = None  # None: no GPU, or nothing that reads it
    gpu_peak_mib: float | None = None


@dataclass
class Learner:
    """Net, optimizer and history, taken up from the checkpoint in `cfg.out` where there is one.

    Raises WeightsError, and RunError where the checkpoint belongs to another configuration or other pictures.
    """

    cfg: FitConfig
    data: Dataset
    group: Group = Group()  # noqa: RUF009 - frozen
    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        cfg = self.cfg
        self.device = cfg.torch_device(self.group.local_rank if self.group.world > 1 else None)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self.dtype = cfg.autocast_dtype(self.device)
        self.layout = torch.channels_last if cfg.channels_last else torch.contiguous_format
        torch.manual_seed(cfg.seed)
        self.start: Start = start_from(cfg.weights, len(self.data.classes), cfg.weights_licence, cfg.head)
        net = share_batch_norms(self.start.net, self.group, self.device)
        self.net = net.to(self.device, memory_format=self.layout)
        freeze(self.net, cfg.freeze_policy)
        self.optimizer = optimizer_of(cfg.optimizer, self.net, cfg.lr, cfg.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.average = SlowAverage(self.net, cfg.ema) if cfg.ema else None
        self.labels = [entry.name for entry in self.data.classes]
        self.targets = [self.labels.index(row.label) for row in self.data.of("train")]
        self.loss = loss_of(cfg.imbalance, class_counts(self.targets, len(self.labels)), cfg.label_smoothing)
        self._go_on()
        self.model: Any = share_among(self.net, self.group, self.device)  # what is called; `net` holds the weights
        order = order_of(cfg.imbalance, self.targets, len(self.labels))
        self.order = EpochBatches(order, cfg.batch, cfg.seed, self.group.rank, self.group.world)
        self.views = self._views("train", learning=True)
        self.train_batches = self._loader(self.views, self.order)

    @property
    def best(self) -> int:
        """Index of the best epoch so far: macro recall on val, then the smaller loss."""
        return max(
            range(len(self.history)), key=lambda i: (self.history[i].val_macro_recall, -self.history[i].val_loss)
        )

    @property
    def judged(self) -> Any:
        """The net that is measured and kept: the slow average, where there is one."""
        return self.average.net if self.average else self.net

    @property
    def steps(self) -> int:
        """Of the optimizer, in one epoch."""
        return -(-len(self.order) // self.cfg.accumulate)

    @property
    def machine(self) -> str:
        """What learns, and in which arithmetic."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        times = f"{self.group.world} x " if self.group.world > 1 else ""
        return f"{times}{name}, {str(self.dtype or torch.float32).removeprefix('torch.')}"

    @property
    def stalled(self) -> bool:
        """No better epoch for `patience` epochs."""
        return bool(self.history) and len(self.history) - 1 - self.best >= self.cfg.patience

    def begin_epoch(self, epoch: int) -> None:
        """Everything random in an epoch follows from seed and epoch, so that a resumed run gives the same weights."""
        self.began_s = time.monotonic()
        self.watch = Watch(self.device)
        self.order.epoch = self.views.epoch = epoch  # which pictures, and how each is changed
        torch.manual_seed((self.cfg.seed * 100_003 + epoch) * 1_009 + self.group.rank)  # dropout
        train_mode(self.net, self.cfg.freeze_policy)

    def part_of_step(self, batch: int) -> tuple[int, bool]:
        """Pictures (over all processes) of the step that this batch of the epoch belongs to, and whether it ends it."""
        start = batch - batch % self.cfg.accumulate
        sizes = self.order.sizes[start : start + self.cfg.accumulate]
        return sum(sizes), batch + 1 == start + len(sizes)

    def joining(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are joined over the processes at the last batch of a step; until then each adds up its own."""
        return nullcontext() if last or self.model is self.net else self.model.no_sync()

    def step(self, lr: float, number: int) -> None:
        """One step of the optimizer. number: from 0, over all epochs."""
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.follow(self.net, number)

    def predictions(self, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Probabilities (N, K) and class ids (N,) of the pictures of one split, in order; each process does a share."""
        views, group = self._views(split), self.group
        batches = self._loader(views, Shares(len(views), self.cfg.batch, group.rank, group.world))
        probabilities, _ = predict(self.judged, batches, self.device)
        return group.gathered(probabilities, len(views), self.device), np.array(views.targets, np.int64)

    def learned(self, losses: Tensor) -> float:
        """End the epoch's learning. losses: the sum over this process' pictures, (). Returns the mean over all."""
        self.learned_s = self.watch.seconds
        return float(self.group.sum(losses)) / sum(self.order.sizes)

    def keep(self, loss: float, report: Report) -> Epoch:
        """Append to the history; keep the weights if they are the best so far; write the checkpoint."""
        epoch, watch = len(self.history) + 1, self.watch
        line = Epoch(
            epoch=epoch,
            train_loss=loss,
            val_loss=report.loss,
            val_accuracy=report.accuracy,
            val_macro_recall=report.macro_recall,
            val_escape=report.escape.rate,
            val_overkill=report.overkill.rate,
            seconds=round(time.monotonic() - self.began_s, 2),
            lr=float(self.optimizer.param_groups[0]["lr"]),
            pictures_per_s=round(sum(self.order.sizes) / self.learned_s, 1),
            waiting=round(watch.waited_s / self.learned_s, 3),
            gpu_used_percent=watch.gpu_used_percent,
            gpu_peak_mib=watch.gpu_peak_mib,
        )
        self.history.append(line)
        if self.group.first:
            self._write()
        self.group.any(False, self.device)  # nobody reads before it is written
        return line

    def _write(self) -> None:
        lines = [asdict(one) for one in self.history]
        if self.best == len(lines) - 1:
            save_tensors(self.cfg.out / WEIGHTS, self.judged.state_dict())
        notes = {"config": self.cfg.described(), "dataset": self.data.sha256, "history": lines}
        notes |= {"scaler": self.scaler.state_dict()}
        average = self.average.net if self.average else None
        save_checkpoint(self.cfg.out, self.net, self.optimizer, notes, average)
        write_json(self.cfg.out / HISTORY, lines)

    def _views(self, split: Split, *, learning: bool = False) -> Views:
        cfg = self.cfg
        transform = view_transform(cfg.network_size, augment=cfg.augment if learning else ())
        return Views(self.data.root, self.data.of(split), self.labels, cfg.roi, transform, cfg.seed)

    def _loader(self, views: Views, order: EpochBatches | Shares) -> Loader:
        return DataLoader(
            views,
            batch_sampler=order,
            num_workers=self.cfg.loader_workers(self.device),
            pin_memory=self.device.type == "cuda",
            collate_fn=Collate(self.cfg.network_size),
            generator=torch.Generator(),  # of the workers' own seeds, so that they take none from dropout
        )

    def _go_on(self) -> None:
        notes = read_notes(self.cfg.out)
        self.group.refuse_difference("pictures", int(self.data.sha256[:15], 16), self.device)
        done = len(notes["history"]) if notes else 0
        self.group.refuse_difference("checkpoint", done, self.device)
        if notes is None:
            return
        mine = self.cfg.described()
        changed = sorted(key for key in mine if mine[key] != notes["config"].get(key))
        if changed or notes["dataset"] != self.data.sha256:
            what = ", ".join(map(option, changed)) or "the pictures"
            raise RunError(
                f"{self.cfg.out} holds an interrupted run that was started otherwise ({what} changed):"
                f" give another --out, or remove {self.cfg.out / CHECKPOINT}"
            )
        load_checkpoint(self.cfg.out, self.net, self.optimizer, self.average.net if self.average else None)
        self.history = [Epoch(**line) for line in notes["history"]]
        self.scaler.load_state_dict(notes["scaler"])
