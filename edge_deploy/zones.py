"""The qualified light and focus of each zone of the view: what the frame checks compare every picture with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from inspector.core.manifest import ZoneLimits
from inspector.core.types import Image
from inspector.frames import zone_figures

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class ZoneConfig:
    """margin: how far beyond the pictures' own range the limits lie, as a share of that range; a lamp that dies moves a
    quadrant by many times its range. least: smallest margin, as a share of the middle, where pictures hardly vary.
    """

    margin: float = 0.5
    least: float = 0.05


def boxes_of(height: int, width: int) -> dict[str, Box]:
    """The whole view and its four quadrants (a lamp, or the sharpness of a corner, may go alone)."""
    top, left = height // 2, width // 2
    return {
        "view": (0, 0, width, height),
        "top_left": (0, 0, left, top),
        "top_right": (left, 0, width - left, top),
        "bottom_left": (0, top, left, height - top),
        "bottom_right": (left, top, width - left, height - top),
    }


def qualify_zones(views: Iterable[Image], cfg: ZoneConfig = ZoneConfig()) -> tuple[ZoneLimits, ...]:
    """Limits from held-out pictures of whole parts, good or not: light and focus do not depend on the class.

    views: (H, W, 3) uint8 RGB, all of one size. Raises ValueError: none.
    """
    figures: list[list[tuple[float, float, float]]] = []
    boxes: dict[str, Box] = {}
    for view in views:
        boxes = boxes or boxes_of(*view.shape[:2])
        figures.append([zone_figures(view, box) for box in boxes.values()])
    if not figures:
        raise ValueError("no pictures to qualify light and focus from")
    table = np.asarray(figures, np.float64)  # (N, zones, 3)
    limits = []
    for index, (name, box) in enumerate(boxes.items()):
        brightness, contrast, sharpness = (_two_sided(table[:, index, f], cfg) for f in range(3))
        limits.append(ZoneLimits(name, box, brightness, contrast, sharpness))
    return tuple(limits)


def _two_sided(values: np.typing.NDArray[np.float64], cfg: ZoneConfig) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = max(cfg.margin * (high - low), cfg.least * abs(float(np.median(values))), 1e-6)
    return max(0.0, low - margin), high + margin
