"""Picture files as pixels: what is read, what is refused, and that no file can crash the reader."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.pictures import PictureError, read_picture

PICTURE = np.random.default_rng(1).integers(0, 256, (12, 20, 3), dtype=np.uint8)
LOSSLESS = ["png", "bmp", "tiff"]


def encoded(kind: str, image: PIL.Image.Image | None = None, **how: object) -> bytes:
    out = io.BytesIO()
    (image or PIL.Image.fromarray(PICTURE)).save(out, kind, **how)
    return out.getvalue()


def stored(folder: Path, body: bytes, name: str = "one.png") -> Path:
    file = folder / name
    file.write_bytes(body)
    return file


def png_of(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG whose header claims this size and which holds not one pixel of it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_lossless_picture_is_read_as_it_was_stored(kind: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_picture(stored(tmp_path, encoded(kind))), PICTURE)


def test_the_format_is_found_by_the_bytes_and_not_by_the_name(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_picture(stored(tmp_path, encoded("bmp"), "one.png")), PICTURE)


def test_a_jpeg_is_read_as_rgb(tmp_path: Path) -> None:
    red = PIL.Image.new("RGB", (16, 16), (250, 10, 10))
    image = read_picture(stored(tmp_path, encoded("jpeg", red, quality=95)))
    assert image.shape == (16, 16, 3) and image.dtype == np.uint8
    assert np.abs(image.mean((0, 1)) - (250, 10, 10)).max() < 4


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_grey_palette_alpha_and_cmyk_become_rgb(mode: str, tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (9, 7), (255, 255, 255)).convert(mode)
    image = read_picture(stored(tmp_path, encoded("tiff", picture)))
    assert image.shape == (7, 9, 3) and image.dtype == np.uint8 and (image == 255).all()


def test_the_turn_that_exif_asks_for_is_made(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show"
    image = read_picture(stored(tmp_path, encoded("png", exif=exif)))
    np.testing.assert_array_equal(image, np.rot90(PICTURE, -1))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_eight_bits_are_refused_and_not_cut_off(mode: str, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="more than 8 bits"):
        read_picture(stored(tmp_path, encoded("tiff", PIL.Image.new(mode, (8, 8)))))


def test_sixteen_bit_colour_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="more than 8 bits"):
        read_picture(stored(tmp_path, png_of(8, 8, depth=16)))


def test_a_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    page = PIL.Image.fromarray(PICTURE)
    with pytest.raises(PictureError, match="several pages"):
        read_picture(stored(tmp_path, encoded("tiff", page, save_all=True, append_images=[page])))


def test_a_header_of_60000_x_60000_is_refused_before_its_pixels_have_memory(tmp_path: Path) -> None:
    file = stored(tmp_path, png_of(60_000, 60_000))
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match="60000 x 60000 pixels by its header, more than 64 megapixels"):
            read_picture(file, max_megapixels=64)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_limit_itself_is_still_read(tmp_path: Path) -> None:
    file = stored(tmp_path, encoded("png"))
    assert read_picture(file, max_megapixels=20 * 12 / 1e6).shape == PICTURE.shape
    with pytest.raises(PictureError, match="megapixels"):
        read_picture(file, max_megapixels=(20 * 12 - 1) / 1e6)


@pytest.mark.parametrize("kind", ["jpeg", *LOSSLESS])
def test_a_picture_that_was_cut_short_is_refused_wherever_it_was_cut(kind: str, tmp_path: Path) -> None:
    body = encoded(kind)
    for length in range(0, len(body) - 16, 7):  # the last bytes hold end marks and padding only
        with pytest.raises(PictureError):
            read_picture(stored(tmp_path, body[:length]))


def test_no_picture_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="is not a JPEG, PNG, BMP or TIFF"):
        read_picture(stored(tmp_path, b"%PDF-1.7"))
    with pytest.raises(PictureError, match="No such file"):
        read_picture(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of odd EXIF; what counts here is what is raised
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["jpeg", *LOSSLESS]),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 7)), min_size=1, max_size=12),
)
def test_flipped_bits_give_a_picture_or_a_picture_error_and_nothing_else(
    kind: str, flips: list[tuple[int, int]], tmp_path: Path
) -> None:
    body = bytearray(encoded(kind))
    for at, bit in flips:
        body[at % len(body)] ^= 1 << bit
    try:
        image = read_picture(stored(tmp_path, bytes(body)), max_megapixels=1)
    except PictureError:
        return
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
