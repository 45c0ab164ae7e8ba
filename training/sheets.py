"""Contact sheets: many small pictures with a line of text each, as one PNG to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image
from training.errors import TrainingError

GAP, LINE = 6, 16  # pixels between tiles, and of a line of text
TEXT_PX = 6.6  # width of a letter at this size of OpenCV's plain font


def sheet(tiles: Sequence[tuple[Image, Sequence[str]]], columns: int, side: int = 160) -> Image:
    """tiles: (h, w, 3) uint8 RGB and lines of text below. Each is shown whole inside side x side pixels. RGB uint8."""
    lines = max(len(text) for _, text in tiles)
    cell = (side + lines * LINE + GAP, side + GAP)  # height, width
    rows = -(-len(tiles) // columns)
    page: NDArray[np.uint8] = np.full((rows * cell[0] + GAP, columns * cell[1] + GAP, 3), 255, np.uint8)
    for i, (image, text) in enumerate(tiles):
        top, left = GAP + i // columns * cell[0], GAP + i % columns * cell[1]
        small = _fitted(image, side)
        y, x = top + (side - small.shape[0]) // 2, left + (side - small.shape[1]) // 2
        page[y : y + small.shape[0], x : x + small.shape[1]] = small
        for number, line in enumerate(text):
            at = (left, top + side + (number + 1) * LINE - 4)
            cv2.putText(page, _short(line, side), at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return page


def write_sheet(file: Path, page: Image) -> None:
    """Raises TrainingError: it cannot be written."""
    done, data = cv2.imencode(".png", cv2.cvtColor(page, cv2.COLOR_RGB2BGR))
    try:
        if not done:
            raise OSError("the picture cannot be encoded")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.tobytes())
    except OSError as exc:
        raise TrainingError(f"{file} cannot be written: {exc}") from exc


def _fitted(image: Image, side: int) -> Image:
    """The whole picture in at most side x side pixels: shrunk smoothly, grown without blur."""
    scale = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _short(text: str, side: int) -> str:
    """Cut at the left, where a path says least; plain ASCII, for the font has nothing else."""
    room = int(side / TEXT_PX)
    plain = text.encode("ascii", "replace").decode()
    return plain if len(plain) <= room else ".." + plain[-(room - 2) :]
