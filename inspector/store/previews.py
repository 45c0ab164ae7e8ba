"""Small pictures for the screen: the last 128 parts of each station, and where the model looked. They may be lost."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.heat import HeatScale
from inspector.core.types import Image
from inspector.store.names import heat_name, picture_name

LONGEST_SIDE = 640
KEPT_HEAT_SIDE = 320  # a map has a few hundred cells: more pixels show no more
RING = 128
QUALITY = 85
Heat = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Preview:
    """File names in the folder of previews."""

    no: int
    picture: str
    heat: str | None


class PreviewRing:
    """Blocking; one thread only. A station that runs fast takes no room from one that runs slowly."""

    def __init__(self, folder: Path, size: int = RING) -> None:
        self._folder, self._size = folder, size
        self._files: defaultdict[str, deque[Preview]] = defaultdict(deque)  # by station

    def load(self) -> None:
        """Begin with an empty ring: what lies there is of a former life. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in (*self._folder.glob("*.jpg"), *self._folder.glob(".*.jpg.new")):
            path.unlink()

    def write(
        self,
        no: int,
        image: Image,
        heat: Heat | None,
        scale: HeatScale | None,
        roi: tuple[int, int, int, int] | None = None,
        station: str = "",
    ) -> Preview:
        """image: (H, W, 3) uint8 RGB; heat: (h, w) over the view, higher is stranger. Raises OSError, cv2.error.

        scale: None: nothing says what is strange, and the map is black. roi: x, y, width, height of the view in the
        camera picture; None: all of it.
        """
        small = shrunk(image, LONGEST_SIDE)
        size = small.shape[1], small.shape[0]
        preview = Preview(no, picture_name(no), heat_name(no) if heat is not None else None)
        files = self._files[station]
        files.append(preview)  # before the files, so that a half-written pair leaves with the ring too
        if preview.heat is not None and heat is not None:
            self._save(preview.heat, heat_over(heat, scale, image.shape[:2], size, roi))
        self._save(preview.picture, small)
        while len(files) > self._size:
            self._remove(files.popleft())
        return preview

    def _save(self, name: str, image: Image) -> None:
        staged = self._folder / f".{name}.new"
        try:
            staged.write_bytes(jpeg_of(image))
            staged.replace(self._folder / name)  # the page sees the whole picture or none
        except OSError:
            staged.unlink(missing_ok=True)
            raise

    def _remove(self, old: Preview) -> None:
        for name in (old.picture, old.heat):
            if name is not None:
                (self._folder / name).unlink(missing_ok=True)


def size_within(longest: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) of a picture of `shape` (height, width, ...) made no longer than `longest`."""
    shrink = min(1.0, longest / max(shape[:2]))
    return max(1, round(shape[1] * shrink)), max(1, round(shape[0] * shrink))


def shrunk(image: Image, longest: int) -> Image:
    """A copy no longer than `longest` pixels. image: (H, W, 3) uint8 RGB. Raises cv2.error."""
    return np.asarray(cv2.resize(image, size_within(longest, image.shape), interpolation=cv2.INTER_AREA), np.uint8)


def jpeg_of(image: Image) -> bytes:
    """image: (H, W, 3) uint8 RGB. Raises OSError, cv2.error."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not ok:
        raise OSError("a picture cannot be encoded")
    return data.tobytes()


def kept_heat(
    heat: Heat | None, scale: HeatScale | None, camera: tuple[int, ...], roi: tuple[int, int, int, int] | None
) -> bytes | None:
    """The map as it is kept beside the picture, a JPEG of a few kB; None: nothing was measured, or nothing limits it.

    camera: shape of the camera picture. Raises OSError, cv2.error.
    """
    if heat is None or scale is None:
        return None
    return jpeg_of(heat_over(heat, scale, camera, size_within(KEPT_HEAT_SIDE, camera), roi))


def heat_over(
    heat: Heat,
    scale: HeatScale | None,
    camera: tuple[int, ...],
    size: tuple[int, int],
    roi: tuple[int, int, int, int] | None,
) -> Image:
    """The map in colours on black, to be laid over the preview (black: nothing strange). size: width, height.

    By the limit that judges, not by the map's own highest spot: a good part then has no hot one.
    """
    strength = np.zeros_like(heat) if scale is None else scale.strength(heat)
    grey = np.asarray(strength * 255, np.uint8)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    x, y, width, height = roi if roi is not None else (0, 0, camera[1], camera[0])
    fx, fy = size[0] / camera[1], size[1] / camera[0]
    left, top = round(x * fx), round(y * fy)
    right, bottom = min(size[0], round((x + width) * fx)), min(size[1], round((y + height) * fy))
    if right <= left or bottom <= top:
        return canvas
    spot = np.asarray(cv2.resize(grey, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR), np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(spot, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    canvas[top:bottom, left:right] = colours
    return canvas
