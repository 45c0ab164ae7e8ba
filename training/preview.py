"""What the network will see: pictures as they are resized and cut, and beside each some of their random changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspector.core.types import Image
from training.config import FitConfig
from training.data import scan
from training.runs import SplitRow
from training.sheets import sheet, write_sheet
from training.views import MEAN, STD, Views, view_transform

CHANGES = 5  # beside each picture


def preview(cfg: FitConfig, file: Path, count: int = 6) -> int:
    """Write a PNG with `count` training pictures, even over the classes, and CHANGES of each. Returns their number.

    Raises DataError, TrainingError.
    """
    data = scan(
        cfg.data,
        classes=cfg.classes,
        acceptable=cfg.acceptable,
        group_by=cfg.group_by,
        seed=cfg.seed,
        quiet=cfg.quiet,
    )
    labels = [entry.name for entry in data.classes]
    rows = _even(data.of("train"), labels, count)
    plain = Views(data.root, rows, labels, cfg.roi, view_transform(cfg.network_size))
    changed = Views(data.root, rows, labels, cfg.roi, view_transform(cfg.network_size, augment=cfg.augment), cfg.seed)
    tiles = []
    for i, row in enumerate(rows):
        tiles.append((_visible(plain[i][0]), (row.path, f"{row.label}, as on the line")))
        for changed.epoch in range(CHANGES if cfg.augment else 0):
            tiles.append((_visible(changed[i][0]), (row.label, f"epoch {changed.epoch + 1}")))
    write_sheet(file, sheet(tiles, columns=CHANGES + 1))
    return len(rows)


def _even(rows: tuple[SplitRow, ...], labels: list[str], count: int) -> list[SplitRow]:
    """The classes in turn, until there are `count`."""
    queues = [[row for row in rows if row.label == label] for label in labels]
    turns = [queue[turn] for turn in range(len(rows)) for queue in queues if turn < len(queue)]
    return turns[:count]


def _visible(view: Tensor) -> Image:
    """(3, h, w) normalised -> (h, w, 3) uint8 RGB."""
    values = view * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    return np.ascontiguousarray((values.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
