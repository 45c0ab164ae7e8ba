"""`inspector serve` as a user starts it: a process on the demo's bundle, asked over HTTP."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from inspector.demo.parts import ROI, Kind, render
from tests.support.serving import Service, serving

pytestmark = pytest.mark.slow


def png(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


GOOD = render(1, Kind.GOOD).image


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


def ask(service: Service, data: bytes) -> httpx.Response:
    return service[1].post("/predict", files={"file": ("part", data)})


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_good_part_passes_with_class_scores_and_timing(service, suffix):
    answer = ask(service, png(GOOD, suffix))
    found = answer.json()
    assert (answer.status_code, found["verdict"], found["class"]) == (200, "PASS", "good")
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert found["confidence"] == max(found["probabilities"].values())
    assert found["timing"]["total"] >= found["timing"]["infer"] > 0
    assert found["novelty_score"] > 0 and found["anomaly_score"] > 0


def test_the_view_alone_is_judged_as_the_whole_picture_is(service):
    x, y, w, h = ROI
    whole, view = ask(service, png(GOOD)).json(), ask(service, png(GOOD[y : y + h, x : x + w])).json()
    assert view["probabilities"] == whole["probabilities"] and view["novelty_score"] == whole["novelty_score"]


def test_a_defect_fails_and_an_empty_belt_is_no_part(service):
    assert ask(service, png(render(2, Kind.SCRATCH).image)).json()["verdict"] == "FAIL"
    assert ask(service, png(render(3, Kind.EMPTY).image)).json()["verdict"] == "NOT_INSPECTED"


def test_no_file_is_422_and_says_how_to_send_one(service):
    client = service[1]
    for answer in (client.post("/predict"), client.post("/predict", files={"other": ("part", png(GOOD))})):
        assert answer.status_code == 422
        assert "curl -F file=@part.png" in answer.json()["what_to_do"]


def test_a_picture_of_another_size_is_422_and_names_the_sizes(service):
    answer = ask(service, png(GOOD[:100, :100]))
    assert answer.status_code == 422
    assert "100 x 100" in answer.json()["error"] and "320 x 256" in answer.json()["what_to_do"]


def half_a_jpeg() -> bytes:
    return png(GOOD, ".jpg")[:3000]


@pytest.mark.parametrize("data", [b"hello", b"", half_a_jpeg(), b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_picture_is_415_or_no_file_and_the_next_part_is_fine(service, data):
    answer = ask(service, data)
    assert answer.status_code == (415 if data else 422)
    assert answer.json()["error"]
    assert ask(service, png(GOOD)).status_code == 200


def huge_header() -> bytes:
    """A PNG that claims 60000 x 60000 pixels in a hundred bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + data + struct.pack(">I", 1000) + b"IDAT" + bytes(1000)


def test_too_many_pixels_are_413_from_the_header_alone(service):
    before = memory_mb(service[0].pid)
    assert ask(service, huge_header()).status_code == 413
    assert memory_mb(service[0].pid) - before < 50


@pytest.mark.parametrize("length_told", [True, False])
def test_too_many_bytes_are_413_also_where_no_length_is_told(service, length_told):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(3_000_000)
    content = body if length_told else iter([body[i : i + 65536] for i in range(0, len(body), 65536)])
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = service[1].post("/predict", content=content, headers=headers)
    assert answer.status_code == 413
    assert ask(service, png(GOOD)).status_code == 200


def test_a_killed_decoder_costs_at_most_one_picture_and_sigterm_ends_all(tmp_path):
    with serving(tmp_path) as service:
        (child,) = children(service[0].pid)
        os.kill(child, signal.SIGKILL)
        assert ask(service, png(GOOD)).status_code in (200, 415)
        assert ask(service, png(GOOD)).status_code == 200
        (again,) = children(service[0].pid)
        assert again != child
        service[0].send_signal(signal.SIGTERM)
        assert service[0].wait(120) == 0
        assert not Path(f"/proc/{again}").exists()


def test_unknown_places_and_methods_are_json_that_says_what_to_do(service):
    client = service[1]
    assert client.get("/nothing").status_code == 404
    assert client.get("/predict").status_code == 405
    assert client.get("/nothing").json()["what_to_do"]
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_page_is_served_under_a_strict_policy(service):
    answer = service[1].get("/")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200 and "unsafe" not in policy and "default-src" in policy


def test_a_bundle_that_is_not_trusted_is_one_clear_line(tmp_path):
    command = [sys.executable, "-m", "inspector", "serve", "--bundle", str(tmp_path / "no.bundle"), "--key", "00" * 32]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "error: " in done.stderr and "Traceback" not in done.stderr


def children(pid: int) -> list[int]:
    """Of all its threads."""
    lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for text in lists for child in text.split()]


def memory_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(io.StringIO(text[text.index("VmRSS:") :])).split()[1]) / 1024
