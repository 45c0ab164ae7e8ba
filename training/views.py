"""Pictures as the network sees them. The resize and the constants stand here and nowhere else in training.

The exported graph repeats exactly this (resize of float values with antialiasing, then mean and scale), so that
training, calibration and the line cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from inspector.core.types import Image
from inspector.pictures import PictureError, read_picture
from training.augment import randomness, resize_for, steps_of
from training.choices import Augment
from training.errors import DataError
from training.runs import SplitRow

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's ImageNet constants, of values in 0..1
Roi = tuple[int, int, int, int]  # x, y, width, height in camera pixels
Transform = Callable[[Tensor], Tensor]


def read_image(file: Path) -> Image:
    """(H, W, 3) uint8 RGB by the appliance's own reader. Raises DataError: no picture, cut short, or 16 bits."""
    try:
        return read_picture(file)
    except PictureError as exc:
        raise DataError(str(exc)) from exc


def cut(image: Image, roi: Roi | None, name: str = "the picture") -> Image:
    """The view: `roi` of the camera's picture. Raises DataError: the region leaves the picture."""
    if roi is None:
        return image
    x, y, width, height = roi
    if not (
        x >= 0 and y >= 0 and width > 0 and height > 0 and x + width <= image.shape[1] and y + height <= image.shape[0]
    ):
        raise DataError(f"{name} is {image.shape[1]} x {image.shape[0]} pixels; the region {roi} leaves it")
    return image[y : y + height, x : x + width]


def view_transform(
    size: tuple[int, int],
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    augment: Sequence[Augment] = (),
) -> Transform:
    """(3, H, W) uint8 -> (3, *size) float32, normalised.

    Float before the resize: torchvision rounds to whole grey values when it resizes uint8, the graph does not.
    """
    steps: list[torch.nn.Module] = [
        v2.ToDtype(torch.float32, scale=True),
        resize_for(size, augment),
        *steps_of(augment, size),
        v2.Normalize(list(mean), list(std)),
    ]
    pipeline: Transform = v2.Compose(steps)
    return pipeline


class Views(Dataset[tuple[Tensor, Tensor]]):
    """Rows of a data folder as (3, h, w) float32 and class id () int64; `epoch` says which random changes they get."""

    def __init__(
        self,
        root: Path,
        rows: Sequence[SplitRow],
        labels: Sequence[str],
        roi: Roi | None,
        transform: Transform,
        seed: int = 0,
    ) -> None:
        self.root, self.rows, self.roi, self.transform = root, rows, roi, transform
        self.seed, self.epoch = seed, 0
        self.targets = [labels.index(row.label) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path = self.rows[index].path
        view = cut(read_image(self.root / path), self.roi, path)
        with randomness(self.seed, self.epoch, index):
            seen = self.transform(torch.from_numpy(view.copy()).permute(2, 0, 1))
        return seen, torch.tensor(self.targets[index])
