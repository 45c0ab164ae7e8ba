"""The plainest of picture files, an uncompressed 24-bit BMP, as pixels without a decoder: a fifth of the time.

Whatever is not exactly that is left to `inspector.pictures`, whose checks all such files pass by their make: 8 bits a
channel, one page, no EXIF, and no more pixels than bytes.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np

from inspector.core.types import Image

# "BM", sizes, offset of the pixels | size of the rest of the header, width, height, planes, bits, compression
_HEADER = struct.Struct("<2s8xI IiiHHI 20x")
_PLAIN = (b"BM", _HEADER.size, 40)
_PLANES_BITS_COMPRESSION = (1, 24, 0)


def read_bitmap(file: Path, *, max_megapixels: float) -> Image | None:
    """(H, W, 3) uint8 RGB, as `read_picture` gives it; None: another kind of file, too large, cut short or unreadable,
    and `read_picture` reads it or says why not."""
    try:
        with file.open("rb", buffering=0) as stream:
            header = stream.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            *plain, width, height, planes, bits, compression = _HEADER.unpack(header)
            if tuple(plain) != _PLAIN or (planes, bits, compression) != _PLANES_BITS_COMPRESSION:
                return None
            rows, line = abs(height), (3 * width + 3) & ~3  # each line of pixels is padded to whole words
            if not (width > 0 < rows and width * rows <= max_megapixels * 1e6):
                return None
            if os.fstat(stream.fileno()).st_size < _HEADER.size + rows * line:
                return None
            raw = np.empty((rows, line), np.uint8)
            if stream.readinto(raw.data) != raw.size:
                return None
    except OSError:
        return None
    pixels = np.ndarray((rows, width, 3), np.uint8, raw, strides=(line, 3, 1))
    image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return np.asarray(image if height < 0 else cv2.flip(image, 0), np.uint8)  # the last line comes first
