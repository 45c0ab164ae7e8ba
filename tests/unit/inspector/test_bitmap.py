"""The quick reader of plain BMP files gives what the careful one gives, or leaves the file to it."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.bitmap import read_bitmap
from inspector.pictures import PictureError, read_picture

RNG = np.random.default_rng(1)


def bmp(picture: PIL.Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "bmp")
    return out.getvalue()


def stored(folder: Path, body: bytes) -> Path:
    file = folder / "one.bmp"
    file.write_bytes(body)
    return file


@pytest.mark.parametrize("size", [(12, 20), (7, 5), (1, 1), (3, 6), (9, 7)])
def test_a_plain_bmp_is_read_as_it_was_stored_whatever_its_padding(size: tuple[int, int], tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    image = read_bitmap(stored(tmp_path, bmp(PIL.Image.fromarray(picture))), max_megapixels=1)
    assert image is not None and image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, picture)


def test_one_that_begins_with_its_upper_line_is_not_turned(tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    body = bytearray(bmp(PIL.Image.fromarray(picture)))
    struct.pack_into("<i", body, 22, -6)
    file = stored(tmp_path, bytes(body))
    np.testing.assert_array_equal(read_bitmap(file, max_megapixels=1), picture[::-1])
    np.testing.assert_array_equal(read_picture(file), picture[::-1])


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA"])
def test_another_kind_of_bmp_is_left_to_the_careful_reader(mode: str, tmp_path: Path) -> None:
    body = bmp(PIL.Image.new("RGB", (9, 7)).convert(mode))
    assert read_bitmap(stored(tmp_path, body), max_megapixels=1) is None


def test_one_that_is_too_large_is_left_before_its_pixels_have_memory(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (20, 12))
    file = stored(tmp_path, bmp(picture))
    assert read_bitmap(file, max_megapixels=20 * 12 / 1e6) is not None
    assert read_bitmap(file, max_megapixels=(20 * 12 - 1) / 1e6) is None
    body = bytearray(bmp(picture))
    struct.pack_into("<ii", body, 18, 8000, 8000)  # 192 MB by its header, a thousand bytes on the disk
    tracemalloc.start()
    try:
        assert read_bitmap(stored(tmp_path, bytes(body)), max_megapixels=64) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_one_that_is_cut_short_or_gone_is_left(tmp_path: Path) -> None:
    body = bmp(PIL.Image.new("RGB", (20, 12)))
    for length in range(0, len(body), 7):
        assert read_bitmap(stored(tmp_path, body[:length]), max_megapixels=1) is None
    assert read_bitmap(tmp_path / "none.bmp", max_megapixels=1) is None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changed=st.lists(st.tuples(st.integers(0, 53), st.sampled_from([0, 1, 3, 4, 24, 40, 54, 255])), max_size=3),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 7)), max_size=3),
)
def test_whatever_stands_in_the_file_both_readers_agree_or_it_is_left(
    changed: list[tuple[int, int]], flips: list[tuple[int, int]], tmp_path: Path
) -> None:
    body = bytearray(bmp(PIL.Image.fromarray(RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8))))
    for at, value in changed:
        body[at] = value
    for at, bit in flips:
        body[at % len(body)] ^= 1 << bit
    file = stored(tmp_path, bytes(body))
    image = read_bitmap(file, max_megapixels=1)
    if image is None:
        return
    try:
        careful = read_picture(file, max_megapixels=1)
    except PictureError as exc:
        raise AssertionError("read what the careful reader refuses") from exc
    np.testing.assert_array_equal(image, careful)
