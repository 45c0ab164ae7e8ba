"""Damage in the middle of a picture file: what is seen of it, that `fit` stops there, and no alarm over whole ones.

`pytest -s` prints the shares that docs/training.md states.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from inspector.core.types import Image
from inspector.pictures import PictureError, read_picture
from training.data import scan
from training.errors import DataError
from training.looks import look_at
from training.spoilt import _ask_a_child, spoilt_jpegs

HEADER = 700  # bytes of a JPEG's tables; overwritten there, most files cannot be read at all
WAYS: dict[str, tuple[str, dict[str, object], float]] = {  # format, options, least share that is seen
    "quality 85": ("JPEG", {"quality": 85}, 0.5),
    "quality 85, optimised": ("JPEG", {"quality": 85, "optimize": True}, 0.5),
    "quality 85, progressive": ("JPEG", {"quality": 85, "progressive": True}, 0.65),
    "quality 95": ("JPEG", {"quality": 95}, 0.85),
    "PNG": ("PNG", {}, 0.9),
    "BMP": ("BMP", {}, 0.0),
}


def surface(seed: int, height: int = 120, width: int = 160) -> Image:
    """A rough surface with a disc: (120, 160, 3) uint8."""
    rng = np.random.default_rng(seed)
    rough = cv2.GaussianBlur(rng.normal(0, 300, (height, width, 3)).astype(np.float32), (0, 0), 3)
    image = 128 + rough + rng.normal(0, 4, rough.shape)
    cv2.circle(image, (width // 2, height // 2), 30, (200, 60, 40), -1)
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def encoded(image: Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Pil.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def overwritten(body: bytes, rng: np.random.Generator, count: int = 40) -> bytes:
    """The same file with `count` random bytes somewhere behind its header."""
    damaged, at = bytearray(body), int(rng.integers(HEADER, len(body) - count - 20))
    damaged[at : at + count] = rng.bytes(count)
    return bytes(damaged)


@pytest.mark.parametrize("way", WAYS)
def test_of_files_with_40_bytes_overwritten_the_share_is_seen_that_the_docs_say(way: str, tmp_path: Path) -> None:
    kind, options, least = WAYS[way]
    rng, files = np.random.default_rng(7), []
    for i in range(100):
        files.append(tmp_path / f"{i:03d}")
        files[-1].write_bytes(overwritten(encoded(surface(i % 20), kind, **options), rng))
    seen = set(spoilt_jpegs(files))
    for file in files:
        try:
            read_picture(file)
        except PictureError:
            seen.add(file)
    print(f"\n{way}: {len(seen)} of {len(files)} damaged files are seen")
    assert len(seen) >= least * len(files)


def test_a_damaged_jpeg_stops_the_training_by_its_name(pictures: Path) -> None:
    whole = encoded(surface(1), "JPEG", quality=95)
    rng = np.random.default_rng(1)
    good, bad = pictures / "good" / "whole.jpg", pictures / "good" / "damaged.jpg"
    good.write_bytes(whole)
    bad.write_bytes(overwritten(whole, rng))
    read_picture(bad)  # no decoder's error tells
    with pytest.raises(DataError, match=r"damaged\.jpg is a damaged JPEG.*Corrupt JPEG data") as caught:
        scan(pictures)
    assert "whole.jpg" not in str(caught.value)


def test_whole_jpegs_of_all_kinds_are_not_suspected(tmp_path: Path) -> None:
    ways: list[dict[str, object]] = [
        {}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"quality": 10},
        {"icc_profile": b"\0" * 128}, {"comment": b"by a camera"},
    ]  # fmt: skip
    names = []
    for i, how in enumerate(ways):
        names.append(f"{i}.jpg")
        (tmp_path / names[-1]).write_bytes(encoded(surface(i), "JPEG", **how))
    for mode in ("L", "CMYK"):
        names.append(f"{mode}.jpg")
        Pil.fromarray(surface(9)).convert(mode).save(tmp_path / names[-1])
    Pil.fromarray(surface(9)[:1, :1]).save(tmp_path / "tiny.jpg")
    assert len(look_at(tmp_path, [*names, "tiny.jpg"])) == len(names) + 1


def test_a_check_that_breaks_does_not_pass_for_one_that_found_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ended with status 1: .*No such file"):
        _ask_a_child([tmp_path / "gone.jpg"])
