"""Picture files as pixels: one reader for the folder camera, `inspector predict` and training.

Only four formats are ever parsed, found by their first bytes and not by the name: decoders of rare formats are where
the holes are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import BmpImagePlugin, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from inspector.core.errors import InspectorError
from inspector.core.types import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
FORMATS = "JPEG, PNG, BMP or TIFF"
_READERS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
)
_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}


class PictureError(InspectorError):
    """The file holds no picture that may be used; the text names it and says why."""


class TooManyPixels(PictureError):
    """More than the caller takes, by the header alone."""


def read_picture(file: Path, *, max_megapixels: float = 256) -> Image:
    """(H, W, 3) uint8 RGB, decoded whole and turned as its EXIF says. Grey, palette and CMYK become RGB; alpha goes.

    Raises PictureError: not one of the four formats, damaged or cut short, more than 8 bits a channel, several pages,
    or more than `max_megapixels` by its header, which is refused before the pixels have any memory.
    """
    try:
        with file.open("rb") as stream, opened(stream, str(file), max_megapixels=max_megapixels) as picture:
            return pixels_of(picture)
    except OSError as exc:
        raise PictureError(f"{file} cannot be read: {exc.strerror}") from exc


@contextmanager
def opened(stream: BinaryIO, name: str, *, max_megapixels: float) -> Iterator[ImageFile.ImageFile]:
    """The picture with its header read and checked, nothing decoded yet. Errors as for read_picture, naming `name`."""
    try:
        start = stream.read(8)
        reader = next((r for magic, r in _READERS if start.startswith(magic)), None)
        if reader is None:
            raise PictureError(f"{name} is not a {FORMATS} picture")
        stream.seek(0)
        with reader(stream) as picture:
            _check_header(name, picture, max_megapixels)
            yield picture
    except InspectorError:
        raise
    except Exception as exc:  # damaged bytes make a decoder raise anything; translated at this edge, never swallowed
        raise PictureError(f"{name} cannot be read as a {FORMATS} picture: {exc or type(exc).__name__}") from exc


def pixels_of(picture: ImageFile.ImageFile) -> Image:
    """Decode what `opened` gave; within its `with`, where errors are translated."""
    ImageOps.exif_transpose(picture, in_place=True)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))  # convert() would copy once more


def _check_header(name: str, picture: ImageFile.ImageFile, max_megapixels: float) -> None:
    width, height = picture.size
    if width * height > max_megapixels * 1e6:
        raise TooManyPixels(
            f"{name} is {width} x {height} pixels by its header, more than {max_megapixels:g} megapixels"
        )
    # Pillow opens 16-bit colour as RGB and drops the lower bits in silence; what it reads stands in the tile.
    deep = picture.mode not in _EIGHT_BIT_MODES or any(";16" in str(tile[3]) for tile in picture.tile)
    if deep:
        raise PictureError(f"{name} has more than 8 bits a channel, or no colours ({picture.mode}): save it with 8")
    if picture.format == "TIFF" and getattr(picture, "n_frames", 1) > 1:
        raise PictureError(f"{name} has several pages: save one picture a file")
