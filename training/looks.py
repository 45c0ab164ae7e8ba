"""One look at each picture before training: is it readable and whole, what shape is it, and what does it look like?"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.likeness import Likeness
from inspector.pictures import PictureError, opened, pixels_of
from training.errors import DataError
from training.progress import shown
from training.spoilt import spoilt_jpegs

MOST_MEGAPIXELS = 256


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
        one = "one picture cannot be used: replace or remove it.\n"
        what = f"{len(bad)} pictures cannot be used: replace or remove them.\n" if len(bad) > 1 else one
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
    like = Likeness.of(image)
    size = (image.shape[1], image.shape[0])
    digest = hashlib.sha256(data).hexdigest()
    return Look(digest, mode, size, (red, green, blue), like.dhash, like.thumbnail)
