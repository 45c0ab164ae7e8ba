"""A few drawn pictures: dark squares, bright bars and spots on noise, which a small network tells apart at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.core.types import Image
from tests.support.one_thread import one_thread as one_thread

Draw = Callable[[Path, str, int], Path]


def picture(kind: str, seed: int, height: int = 40, width: int = 48) -> Image:
    """(40, 48, 3) uint8 RGB of its own for each seed."""
    rng = np.random.default_rng([seed, len(kind)])
    image = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
    x, y = int(rng.integers(4, 20)), int(rng.integers(4, 16))
    if kind == "scratch":
        image[y : y + 3] = 250
    elif kind == "stain":
        image[y : y + 16, x : x + 18] = 10
    return image


@pytest.fixture
def draw() -> Draw:
    """Writes `count` pictures of a kind into a folder, as part_<n>_<view>.png: two views of each part."""

    def draw_into(folder: Path, kind: str, count: int) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            name = folder / f"{kind}{i // 2}_{i % 2}.png"
            cv2.imwrite(str(name), picture(kind, hash_of(folder, i)))
        return folder

    return draw_into


def hash_of(folder: Path, index: int) -> int:
    """Another seed for another split, the same wherever the test runs."""
    return index + 1000 * sum(map(ord, folder.parent.name))


@pytest.fixture
def pictures(tmp_path: Path, draw: Draw) -> Path:
    """DATA/<class>/*.png without a split: 10 parts of two views in each of three classes."""
    for kind in ("good", "scratch", "stain"):
        draw(tmp_path / "data" / kind, kind, 20)
    return tmp_path / "data"
