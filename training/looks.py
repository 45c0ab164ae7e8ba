"""One look at each picture before training: is it readable and whole, what shape is it, which others does it repeat?

Near copies are found in two steps. A 64-bit dHash (is a cell brighter than its left neighbour?) gives candidates; on
parts that always lie the same way it gives far too many, so a candidate counts only where both thumbnails leave the
mean picture in the same way (what is left of them beside it
correlates). docs/decisions/0037-near-copies.md has the figures.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image
from inspector.pictures import PictureError, opened, pixels_of
from training.errors import DataError
from training.progress import shown
from training.spoilt import spoilt_jpegs

MOST_MEGAPIXELS = 256
HASH_CELLS = (9, 8)  # width, height: 8 comparisons in each of 8 rows
THUMBNAIL = 32  # pixels
HASH_REACH = 10  # bits of 64 in which near copies differ at most
LIKENESS = 0.93  # least correlation of two near copies' differences from the mean picture
ENOUGH_FOR_A_MEAN = 8  # pictures
BLOCK = 1024  # pictures compared at a time


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one picture is."""

    sha256: str  # of the file
    mode: str  # Pillow's: RGB, L, CMYK ...; as it lies in the file
    size: tuple[int, int]  # width, height in pixels, after EXIF rotation
    colour: tuple[float, float, float]  # mean R, G, B
    dhash: int  # 64 bits
    thumbnail: NDArray[np.uint8]  # (32, 32), grey


def look_at(root: Path, paths: Sequence[str], *, quiet: bool = True) -> list[Look]:
    """Read and decode every picture.

    Raises DataError, naming the unreadable and the visibly damaged ones: now, not hours into a training.
    """
    looks: list[Look] = []
    bad: list[str] = []
    readable: list[Path] = []
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        tried = shown(pool.map(partial(_try, root), paths), "looking at the pictures", len(paths), quiet=quiet)
        for path, found in zip(paths, tried, strict=True):
            if isinstance(found, Look):
                looks.append(found)
                readable.append(root / path)
            else:
                bad.append(found)
    bad += [
        f"{file} is a damaged JPEG ({words}): look at it, and save it again if it is whole after all"
        for file, words in spoilt_jpegs(readable).items()
    ]
    if bad:
        more = "\n".join(["", *bad[1:20], *([f"and {len(bad) - 20} more"] if len(bad) > 20 else [])])
        what = f"{len(bad)} pictures cannot be used: replace or remove them.\n" if len(bad) > 1 else ""
        raise DataError(what + bad[0] + more.rstrip())
    return looks


def _try(root: Path, path: str) -> Look | str:
    try:
        return look(root / path)
    except (PictureError, OSError) as exc:
        return str(exc)


def look(file: Path) -> Look:
    """Raises PictureError: no picture, cut short, more than 8 bits a channel; OSError: cannot be read at all."""
    data = file.read_bytes()
    with opened(io.BytesIO(data), str(file), max_megapixels=MOST_MEGAPIXELS) as picture:
        mode = picture.mode
        image = pixels_of(picture)
    red, green, blue = (float(value) for value in image.mean((0, 1)))
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    size = (image.shape[1], image.shape[0])
    digest = hashlib.sha256(data).hexdigest()
    return Look(digest, mode, size, (red, green, blue), dhash(grey), np.asarray(small, np.uint8))


def dhash(grey: Image) -> int:
    """64 bits: whether each of 8 x 8 cells is brighter than the one to its left (Krawetz' difference hash)."""
    cells = cv2.resize(grey.astype(np.float32), HASH_CELLS, interpolation=cv2.INTER_AREA)
    bits = (cells[:, 1:] > cells[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_copies(looks: Sequence[Look], kinds: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of near copies in two different kinds (such as splits); the same picture re-saved, resized or brightened.

    Whole pictures only: a crop or a turned copy is not found.
    """
    if len(set(kinds)) < 2:
        return []
    hashes = np.array([one.dhash for one in looks], np.uint64)
    marks = _marks(looks)
    codes = np.unique(np.asarray(kinds), return_inverse=True)[1]
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(looks), BLOCK):
        stop = min(start + BLOCK, len(looks))
        apart = np.bitwise_count(hashes[start:stop, None] ^ hashes[None, :])
        near = (apart <= HASH_REACH) & (codes[start:stop, None] != codes[None, :])
        near &= np.arange(start, stop)[:, None] < np.arange(len(looks))[None, :]
        if near.any():
            near &= marks[start:stop] @ marks.T >= LIKENESS
            pairs += [(start + int(i), int(j)) for i, j in np.argwhere(near)]
    return pairs


def _marks(looks: Sequence[Look]) -> NDArray[np.float32]:
    """(N, 1024) of length 1: what of each thumbnail no light and no gain makes of the mean picture.

    A flat rest is like nothing.
    """
    flat = np.stack([one.thumbnail for one in looks]).reshape(len(looks), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    if len(looks) >= ENOUGH_FOR_A_MEAN:
        usual = flat.mean(0)
        usual /= max(float(np.linalg.norm(usual)), 1e-3)
        flat -= np.outer(flat @ usual, usual)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    marks: NDArray[np.float32] = np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-3)
    return marks
