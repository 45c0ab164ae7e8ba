"""Where a score comes from, laid over the picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image

AMBER, RED = np.array([245, 170, 20], np.float32), np.array([215, 25, 25], np.float32)
STRONGEST = 0.65  # opacity: the picture must stay readable below


def overlay(view: Image, heat: NDArray[np.floating[Any]], low: float, high: float) -> Image:
    """The picture in grey, with colour only where `heat` is more than half way from `low` to `high`; red from `high`.

    view: (H, W, 3) uint8 RGB. heat: (h, w) of any size, laid over the whole view. Returns (H, W, 3) uint8 RGB.
    Raises ValueError: `high` is not above `low`, or heat is not finite.
    """
    if not low < high or not np.isfinite(heat).all():
        raise ValueError(f"heat must be finite and {low} below {high}")
    large = cv2.resize(heat.astype(np.float32), (view.shape[1], view.shape[0]), interpolation=cv2.INTER_LINEAR)
    strength = np.clip((large - low) / (high - low) * 2 - 1, 0, 1)[..., None]  # 0 at half way, 1 at `high`
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    colour = AMBER + (RED - AMBER) * strength
    mixed = grey * (1 - STRONGEST * strength) + colour * STRONGEST * strength
    shown: Image = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return shown
