"""Light and focus of a picture in figures that a person can turn a lens, a lamp or a screw by."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from inspector.core.types import Image
from inspector.frames import Box, zone_figures

BINS = 64  # of the histogram, each of four grey values
FULL = 255


@dataclass(frozen=True, slots=True)
class Exposure:
    """brightness, contrast, sharpness: as [[recipes.zones]] limits them and `inspector camera grab` prints them."""

    brightness: float  # mean grey, 0..255
    contrast: float  # deviation of grey
    sharpness: float  # variance of the Laplacian: the higher, the sharper
    dark: float  # share of the pixels that are 0 in every channel: nothing is left to see there
    bright: float  # share of the pixels that are 255 in a channel: light was lost there
    histogram: tuple[float, ...]  # of grey, share of the pixels in each of BINS bins


def exposure_of(image: Image, box: Box) -> Exposure:
    """Of a part of a picture. image: (H, W, 3) uint8 RGB; box: inside it, in its pixels."""
    x, y, width, height = box
    view = np.ascontiguousarray(image[y : y + height, x : x + width])
    counted = cv2.calcHist([cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)], [0], None, [BINS], [0, FULL + 1]).ravel()
    highest = cv2.max(cv2.max(view[..., 0], view[..., 1]), view[..., 2])
    pixels = width * height
    dark, bright = pixels - cv2.countNonZero(highest), int(np.count_nonzero(highest == FULL))
    figures = zone_figures(view, (0, 0, width, height))
    return Exposure(*figures, dark / pixels, bright / pixels, tuple(float(n) / pixels for n in counted))
