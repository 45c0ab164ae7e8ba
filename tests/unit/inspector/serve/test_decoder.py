"""Uploads are decoded by a child with bounds: what breaks it costs one picture, never the service."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inspector.demo.parts import Kind, render
from inspector.demo.scene import HEIGHT, WIDTH
from inspector.serve.declined import Declined
from inspector.serve.decode_child import REPLY, Status
from inspector.serve.decoder import DecodeBounds, Decoder
from tests.support.patience import LONG_S, be_patient

pytestmark = pytest.mark.slow

SIZES = ((HEIGHT, WIDTH), (240, 240))
PART = render(1, Kind.GOOD).image


def encoded(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that claims a size; `data`: its compressed pixels, right or not."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in chunks)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    one = Decoder(SIZES, DecodeBounds(max_megapixels=1, timeout_s=LONG_S))
    with pytest.MonkeyPatch.context() as patches:  # the module's, so made before a test is patient
        be_patient(patches.setattr, within="inspector.serve.")
        one.start()
    yield one
    one.close()


def declined(decoder: Decoder, data: bytes) -> Declined:
    with pytest.raises(Declined) as caught:
        decoder.decode(data)
    return caught.value


def test_a_png_is_its_pixels(decoder: Decoder) -> None:
    np.testing.assert_array_equal(decoder.decode(encoded(PART)), PART)


def test_a_grey_picture_becomes_rgb(decoder: Decoder) -> None:
    got = decoder.decode(encoded(PART[..., 0]))
    np.testing.assert_array_equal(got, np.repeat(PART[..., :1], 3, 2))


def test_a_picture_that_its_camera_held_upright_is_turned(decoder: Decoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    got = decoder.decode(encoded(np.rot90(PART).copy(), exif=exif))
    np.testing.assert_array_equal(got, PART)


def test_a_picture_that_turning_makes_a_wrong_size_is_422(decoder: Decoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    refused = declined(decoder, encoded(PART, exif=exif))
    assert refused.status == 422 and f"{HEIGHT} x {WIDTH}" in refused.error


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF", "WEBP", "PPM"])
def test_only_jpeg_and_png_are_ever_parsed(decoder: Decoder, kind: str) -> None:
    assert declined(decoder, encoded(PART, kind)).status == 415


def test_sixteen_bits_a_channel_are_415_and_not_silently_cut_to_eight(decoder: Decoder) -> None:
    refused = declined(decoder, encoded(PART[..., 0].astype(np.uint16) << 8))
    assert refused.status == 415 and "8 bits" in refused.error


def test_a_wrong_size_is_told_from_the_header_and_nothing_is_decoded(decoder: Decoder) -> None:
    refused = declined(decoder, png_header(900, 900, b"no pixels at all"))
    assert (refused.status, refused.error) == (422, "the picture is 900 x 900 pixels")
    assert "320 x 256" in refused.what_to_do and "240 x 240" in refused.what_to_do


def test_too_many_pixels_are_413_from_the_header(decoder: Decoder) -> None:
    refused = declined(decoder, png_header(60_000, 60_000))
    assert refused.status == 413 and "60000 x 60000" in refused.error


@pytest.fixture
def own() -> Iterator[Decoder]:
    """For tests that break the child."""
    one = Decoder(SIZES, DecodeBounds(timeout_s=LONG_S))
    one.start()
    yield one
    one.close()


def test_a_child_that_hangs_costs_its_picture_and_the_next_part_is_fine(own: Decoder) -> None:
    first = own.pid or 0
    own.bounds = DecodeBounds(timeout_s=0.5)
    os.kill(first, signal.SIGSTOP)
    assert declined(own, encoded(PART)).status == 415
    assert not psutil.pid_exists(first)
    own.bounds = DecodeBounds(timeout_s=LONG_S)
    np.testing.assert_array_equal(own.decode(encoded(PART)), PART)


def test_a_child_that_is_killed_costs_its_picture_and_the_next_part_is_fine(own: Decoder) -> None:
    os.kill(own.pid or 0, signal.SIGKILL)
    assert declined(own, encoded(PART)).status == 415
    np.testing.assert_array_equal(own.decode(encoded(PART)), PART)


def test_a_child_that_claims_more_than_any_picture_is_ended_and_nothing_is_set_aside_for_it(own: Decoder) -> None:
    """Whoever took it over by a picture may send what they like."""
    ours, theirs = socket.socketpair()
    assert own._sock is not None
    own._sock.close()
    own._sock = ours
    own.bounds = DecodeBounds(timeout_s=600)  # who waits for what was claimed waits for longer than a test may take
    with theirs:
        theirs.sendall(REPLY.pack(Status.PIXELS, HEIGHT, WIDTH, 1 << 40))
        assert declined(own, b"\xff\xd8\xff...").status == 415
        assert own.pid is None
    np.testing.assert_array_equal(own.decode(encoded(PART)), PART)


class Tight(Decoder):
    """Leaves the child a megabyte."""

    def _address_bytes(self) -> int:
        return 1 << 20


def test_a_picture_that_takes_more_memory_than_the_child_may_have_is_415() -> None:
    large = encoded(np.zeros((3000, 3000, 3), np.uint8))
    for kind, status in ((Decoder, 200), (Tight, 415)):
        decoder = kind(((3000, 3000), (240, 240)), DecodeBounds(timeout_s=LONG_S))
        try:
            assert status == 200 or declined(decoder, large).status == status
            assert status != 200 or decoder.decode(large).shape == (3000, 3000, 3)
        finally:
            decoder.close()


def test_a_bomb_in_the_text_of_a_png_costs_no_memory(decoder: Decoder) -> None:
    plain, body = encoded(PART), b"comment\0\0" + zlib.compress(bytes(400_000_000), 9)
    at = plain.index(b"IDAT") - 4
    assert declined(decoder, plain[:at] + chunk(b"zTXt", body) + plain[at:]).status == 415
    assert psutil.Process(decoder.pid).memory_info().rss < 200_000_000


def test_the_child_has_bounds_of_its_own(decoder: Decoder) -> None:
    limits = Path(f"/proc/{decoder.pid}/limits").read_text()
    bound = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert bound["Max file size"] == bound["Max core file size"] == "0"
    assert bound["Max address space"].isdigit()


def test_the_child_is_outside_the_network_where_the_kernel_lets_it(decoder: Decoder) -> None:
    probe = "from inspector.sandbox import without_network; print(without_network())"
    allowed = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=240, check=True)
    if allowed.stdout.strip() != "True":
        pytest.skip("this kernel lets an ordinary user make no network namespace")
    assert os.readlink(f"/proc/{decoder.pid}/ns/net") != os.readlink("/proc/self/ns/net")


def test_the_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal; from inspector.serve.decoder import *\n"
        f"d = Decoder({SIZES!r}, DecodeBounds()); d.start(); print(d.pid, flush=True)\n"
        "os.kill(d.pid, signal.SIGSTOP); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid, end_s = int(done.stdout), time.monotonic() + 60
    while not is_gone(pid):
        if time.monotonic() > end_s:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("it outlives its parent")
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """A zombie too: it has ended, where nobody takes in orphans."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


JPEG, PNG = encoded(PART, "JPEG"), encoded(PART)
FLIPS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.sampled_from([JPEG, PNG]), flips=FLIPS, cut=st.integers(0, 1 << 20))
def test_damaged_bytes_are_a_picture_or_declined(
    decoder: Decoder, data: bytes, flips: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(data)
    for at, bits in flips:
        damaged[at % len(damaged)] ^= bits
    try:
        image = decoder.decode(bytes(damaged[: cut % (2 * len(damaged))]))
    except Declined as exc:
        status = exc.status
    else:
        status = 200
        assert image.shape[:2] in SIZES
    assert status in (200, 413, 415, 422)
