"""Where a score comes from, laid over the picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.heat import AT_LIMIT, HeatScale
from inspector.core.types import Image

AMBER, RED = np.array([245, 170, 20], np.float32), np.array([215, 25, 25], np.float32)
OPACITY = (0.0, 0.5, 0.8)  # where nothing is strange, at the limit, strongest: the picture must stay readable below
RAMP_GREY = 120  # of a picture that the legend stands for


def overlay(view: Image, heat: NDArray[np.floating[Any]], scale: HeatScale) -> Image:
    """The picture in grey, with colour where `heat` is above scale.quiet: amber, red from the limit on, then denser.

    view: (H, W, 3) uint8 RGB. heat: (h, w) of any size, laid over the whole view. Returns (H, W, 3) uint8 RGB.
    Raises ValueError: heat is not finite.
    """
    if not np.isfinite(heat).all():
        raise ValueError("heat must be finite")
    size = (view.shape[1], view.shape[0])
    large = np.asarray(cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), np.float32)
    return _coloured(np.asarray(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), np.uint8), scale.strength(large))


def ramp(width: int, height: int) -> Image:
    """The colours of all strengths, 0 at the left, the limit in the middle: (height, width, 3) uint8 RGB."""
    strength = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    return _coloured(np.full((height, width), RAMP_GREY, np.uint8), strength)


def _coloured(grey: NDArray[np.uint8], strength: NDArray[np.float32]) -> Image:
    opacity = np.interp(strength, (0.0, AT_LIMIT, 1.0), OPACITY)[..., None]
    colour = AMBER + (RED - AMBER) * np.clip(strength / AT_LIMIT, 0, 1)[..., None]
    mixed = grey[..., None] * (1 - opacity) + colour * opacity
    shown: Image = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return shown
