"""What a training carries from epoch to epoch, and what its checkpoint holds."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, WeightedRandomSampler

from training.checkpoint import CHECKPOINT, load_checkpoint, read_notes, save_checkpoint, save_tensors
from training.choices import Augment, Imbalance
from training.config import FitConfig
from training.data import Dataset
from training.errors import RunError
from training.evaluate import Report
from training.model import Start, decay_groups, freeze, start_from
from training.runs import HISTORY, WEIGHTS, Split, write_json
from training.views import Views, view_transform

Loader = DataLoader[tuple[Tensor, Tensor]]


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


@dataclass
class Learner:
    """Net, optimizer and history, taken up from the checkpoint in `cfg.out` where there is one.

    Raises WeightsError, and RunError where the checkpoint belongs to another configuration or other pictures.
    """

    cfg: FitConfig
    data: Dataset
    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        cfg = self.cfg
        self.device = cfg.torch_device()
        self.dtype = cfg.autocast_dtype(self.device)
        torch.manual_seed(cfg.seed)
        self.start: Start = start_from(cfg.weights, len(self.data.classes), cfg.weights_licence)
        self.net = self.start.net.to(self.device, memory_format=torch.channels_last)
        freeze(self.net, cfg.freeze_policy)
        self.optimizer = torch.optim.AdamW(decay_groups(self.net, cfg.weight_decay), lr=cfg.lr)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.order = torch.Generator()
        self.class_weights = self._class_weights()
        self._go_on()

    @property
    def best(self) -> int:
        """Index of the best epoch so far: macro recall on val, then the smaller loss."""
        return max(
            range(len(self.history)), key=lambda i: (self.history[i].val_macro_recall, -self.history[i].val_loss)
        )

    @property
    def machine(self) -> str:
        """What learns, and in which arithmetic."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return f"{name}, {str(self.dtype or torch.float32).removeprefix('torch.')}"

    @property
    def gpu_peak_mib(self) -> float | None:
        """The most that torch took of the GPU's memory since the command began; None on a CPU."""
        return round(torch.cuda.max_memory_reserved(self.device) / 2**20) if self.device.type == "cuda" else None

    @property
    def stalled(self) -> bool:
        """No better epoch for `patience` epochs."""
        return bool(self.history) and len(self.history) - 1 - self.best >= self.cfg.patience

    def begin_epoch(self, epoch: int) -> None:
        """Everything random in an epoch follows from seed and epoch, so that a resumed run gives the same weights."""
        self.began_s = time.monotonic()
        seed = self.cfg.seed * 100_003 + epoch
        torch.manual_seed(seed)  # augmentation
        self.order.manual_seed(seed)  # order of the pictures, and seeds of the workers

    def keep(self, loss: float, report: Report) -> Epoch:
        """Append to the history; keep the weights if they are the best so far; write the checkpoint."""
        epoch = len(self.history) + 1
        line = Epoch(
            epoch=epoch,
            train_loss=loss,
            val_loss=report.loss,
            val_accuracy=report.accuracy,
            val_macro_recall=report.macro_recall,
            val_escape=report.escape.rate,
            val_overkill=report.overkill.rate,
            seconds=round(time.monotonic() - self.began_s, 2),
        )
        self.history.append(line)
        lines = [asdict(one) for one in self.history]
        if self.best == epoch - 1:
            save_tensors(self.cfg.out / WEIGHTS, self.net.state_dict())
        notes = {"config": self.cfg.described(), "dataset": self.data.sha256, "history": lines}
        save_checkpoint(self.cfg.out, self.net, self.optimizer, notes | {"scaler": self.scaler.state_dict()})
        write_json(self.cfg.out / HISTORY, lines)
        return line

    def batches(self, split: Split, augment: tuple[Augment, ...] = (), *, shuffled: bool = False) -> Loader:
        """Batches of one split; the last batch of an epoch may be smaller."""
        cfg = self.cfg
        labels = [entry.name for entry in self.data.classes]
        transform = view_transform(cfg.network_size, augment=augment)
        views = Views(self.data.root, self.data.of(split), labels, cfg.roi, transform)
        sampler = self._balanced(views.targets) if shuffled and cfg.imbalance is Imbalance.BALANCED_SAMPLER else None
        return DataLoader(
            views,
            cfg.batch,
            shuffle=shuffled and sampler is None,
            sampler=sampler,
            num_workers=cfg.loader_workers(self.device),
            generator=self.order,
            pin_memory=self.device.type == "cuda",
        )

    def _balanced(self, targets: list[int]) -> Sampler[int]:
        counts = torch.bincount(torch.tensor(targets)).double()
        return WeightedRandomSampler((1 / counts)[targets].tolist(), len(targets), generator=self.order)

    def _class_weights(self) -> Tensor | None:
        """(K,) float32: rare classes count more; pictures count 1 on average."""
        if self.cfg.imbalance is not Imbalance.WEIGHTED_LOSS:
            return None
        names = [row.label for row in self.data.of("train")]
        counts = torch.tensor([float(names.count(entry.name)) for entry in self.data.classes])
        return (len(names) / (len(counts) * counts)).to(self.device)

    def _go_on(self) -> None:
        notes = read_notes(self.cfg.out)
        if notes is None:
            return
        mine = self.cfg.described()
        changed = sorted(key for key in mine if mine[key] != notes["config"].get(key))
        if changed or notes["dataset"] != self.data.sha256:
            what = ", ".join(f"--{key.replace('_', '-')}" for key in changed) or "the pictures"
            raise RunError(
                f"{self.cfg.out} holds an interrupted run that was started otherwise ({what} changed):"
                f" give another --out, or remove {self.cfg.out / CHECKPOINT}"
            )
        load_checkpoint(self.cfg.out, self.net, self.optimizer)
        self.history = [Epoch(**line) for line in notes["history"]]
        self.scaler.load_state_dict(notes["scaler"])
