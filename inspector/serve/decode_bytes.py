"""One uploaded picture to pixels, by the same reader as everywhere else. Runs in the decoding child."""

from __future__ import annotations

import io
from collections.abc import Sequence

from inspector.pictures import PictureError, TooManyPixels, opened, pixels_of
from inspector.serve.decode_child import Status

Size = tuple[int, int]  # height, width


def decode(data: bytes | bytearray, sizes: Sequence[Size], max_megapixels: float) -> tuple[Status, Size, bytes]:
    """Status, size, and the pixels or a text. A size that nobody wants is told from the header, before decoding."""
    try:
        with opened(io.BytesIO(data), "the upload", max_megapixels=max_megapixels) as picture:
            width, height = picture.size
            if (height, width) not in sizes and (width, height) not in sizes:  # its EXIF may still turn it
                return Status.WRONG_SIZE, (height, width), b""
            image = pixels_of(picture)
    except TooManyPixels as exc:
        return Status.TOO_MANY_PIXELS, (0, 0), str(exc).encode()
    except PictureError as exc:
        return Status.UNREADABLE, (0, 0), str(exc).encode()
    height, width = image.shape[:2]
    if (height, width) not in sizes:
        return Status.WRONG_SIZE, (height, width), b""
    return Status.PIXELS, (height, width), image.tobytes()
