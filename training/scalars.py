"""The epochs' figures for TensorBoard: `tensorboard --logdir runs` shows all runs below, also while they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from training.progress import say

if TYPE_CHECKING:
    from training.learner import Epoch

FOLDER = "tensorboard"
NAMES = {
    "train_loss": "loss/train", "val_loss": "loss/val", "val_accuracy": "val/accuracy",
    "val_macro_recall": "val/macro recall", "val_escape": "line/escape", "val_overkill": "line/overkill",
    "lr": "machine/learning rate", "pictures_per_s": "machine/pictures a second",
    "waiting": "machine/share of time waiting for pictures", "gpu_used_percent": "machine/GPU used, percent",
    "gpu_peak_mib": "machine/GPU memory, peak MiB",
}  # fmt: skip


@contextmanager
def scalars(out: Path, done: int, *, wanted: bool, quiet: bool = False) -> Iterator[Callable[[Epoch], None]]:
    """What takes the figures of an epoch. done: epochs before; what an interrupted run wrote after them is hidden."""
    if not wanted:
        yield lambda line: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("TensorBoard is not installed (pip install tensorboard): its scalars are left out", quiet=quiet)
        yield lambda line: None
        return
    with SummaryWriter(str(out / FOLDER), purge_step=done + 1 if done else None) as writer:

        def write(line: Epoch) -> None:
            for field, name in NAMES.items():
                value = getattr(line, field)
                if value is not None:
                    writer.add_scalar(name, value, line.epoch)
            writer.flush()

        yield write
