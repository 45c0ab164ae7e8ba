"""Which pictures show the same: near copies, such as a picture saved again, resized or brightened.

Found in two steps. A 64-bit dHash (is a cell brighter than its left neighbour?) gives candidates; on parts that always
lie the same way it gives far too many, so a candidate counts only where both thumbnails leave the mean picture in the
same way (what is left of them beside it correlates). docs/decisions/0037-near-copies.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image

HASH_CELLS = (9, 8)  # width, height: 8 comparisons in each of 8 rows
THUMBNAIL = 32  # pixels
HASH_REACH = 10  # bits of 64 in which near copies differ at most
LIKENESS = 0.93  # least correlation of two near copies' differences from the mean picture
ENOUGH_FOR_A_MEAN = 8  # pictures
BLOCK = 1024  # pictures compared at a time


class Seen(Protocol):
    """What near copies are told by."""

    @property
    def dhash(self) -> int: ...

    @property
    def thumbnail(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """What is remembered of a picture. dhash: 64 bits; thumbnail: (32, 32), grey."""

    dhash: int
    thumbnail: NDArray[np.uint8]

    @classmethod
    def of(cls, image: Image) -> Likeness:
        """image: (H, W, 3) uint8 RGB."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        return cls(dhash(grey), np.asarray(small, np.uint8))


def dhash(grey: Image) -> int:
    """64 bits: whether each of 8 x 8 cells is brighter than the one to its left (Krawetz' difference hash)."""
    cells = cv2.resize(grey.astype(np.float32), HASH_CELLS, interpolation=cv2.INTER_AREA)
    bits = (cells[:, 1:] > cells[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_copies(looks: Sequence[Seen], kinds: Sequence[str]) -> list[tuple[int, int]]:
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


def _marks(looks: Sequence[Seen]) -> NDArray[np.float32]:
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
