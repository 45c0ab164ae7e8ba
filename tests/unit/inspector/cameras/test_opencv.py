"""Video through OpenCV: a real file, and a real stream over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.cameras.opencv import OpenCvCamera, devices, rgb_of
from inspector.core.clock import SystemClock
from inspector.core.errors import CameraError, CameraLost, CameraTimeout, FrameError
from inspector.core.types import Image, Mode, Proof, Trigger
from inspector.frames import FrameGate
from inspector.threads import DeviceThread
from plc.registers import Reason

SIZE = (96, 128)  # height, width


def picture(number: int) -> Image:
    """A grey that tells the frame, with a red corner that tells the order of channels."""
    image = np.full((*SIZE, 3), 40 + 20 * number, np.uint8)
    image[:32, :32] = (220, 20, 20)
    return image


def trigger() -> Trigger:
    now = SystemClock().monotonic_s()
    return Trigger(1, 1, now + 5, now, simulator=True)


@pytest.fixture
def thread() -> Iterator[DeviceThread]:
    thread = DeviceThread("camera")
    yield thread
    thread.submit(lambda: None).result(10)
    thread.close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "parts.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, SIZE[::-1])
    for number in range(3):
        writer.write(cv2.cvtColor(picture(number), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def camera_of(source: int | str | Path, thread: DeviceThread, **changes: object) -> OpenCvCamera:
    return OpenCvCamera(source, SystemClock(), thread, grab_timeout_s=5, **changes)  # type: ignore[arg-type]


async def test_a_video_file_shows_its_frames_in_order_in_true_colours_and_begins_again(video, thread):
    with contextlib.closing(camera_of(video, thread)) as camera:
        await camera.alive()
        frames = [await camera.grab(trigger()) for _ in range(4)]
    greys = [round(float(f.image[60:, 60:].mean())) for f in frames]
    assert greys == pytest.approx([40, 60, 80, 40], abs=3)
    red, green, blue = frames[0].image[8:24, 8:24].reshape(-1, 3).mean(0)
    assert red > 180 and green < 80 and blue < 80
    assert [f.frame_id for f in frames] == [1, 2, 3, 4]
    assert camera.simulated and not frames[0].image.flags.writeable


async def test_video_proves_nothing_so_it_never_passes_in_triggered_mode(video, thread):
    with contextlib.closing(camera_of(video, thread)) as camera:
        asked = trigger()
        frame = await camera.grab(asked)
    assert frame.proof is Proof.NONE
    with pytest.raises(FrameError) as refused:
        FrameGate(None, (0, 0, 0, 0), (), Mode.INSPECT).check(frame, asked)
    assert refused.value.reason is Reason.NO_PROOF
    assert FrameGate(None, (0, 0, 0, 0), (), Mode.COLLECT).check(frame, asked) is frame


@pytest.mark.parametrize("source", [63, "http://127.0.0.1:9/stream"])
async def test_what_is_not_there_is_lost_and_says_what_to_check(source, thread):
    with contextlib.closing(camera_of(source, thread)) as camera:
        for ask in (camera.alive(), camera.grab(trigger())):
            with pytest.raises(CameraLost, match="cannot be opened; check the cable"):
                await ask


async def test_a_missing_file_and_a_file_that_is_no_video_are_said(tmp_path, thread):
    missing, text = camera_of(tmp_path / "none.avi", thread), camera_of(tmp_path / "text.avi", thread)
    with contextlib.closing(missing), pytest.raises(CameraLost, match="no such file"):
        await missing.alive()
    (tmp_path / "text.avi").write_text("hello")
    with contextlib.closing(text), pytest.raises(CameraLost, match="cannot be opened"):
        await text.alive()


async def test_a_setting_that_the_camera_does_not_take_is_no_camera(video, thread):
    camera = camera_of(video, thread, settings={"gain": 7.0})
    with contextlib.closing(camera), pytest.raises(CameraLost, match="gain is"):
        await camera.alive()


class Stream:
    """An MJPEG stream over HTTP, as a network camera gives it; `number` is what it shows; `hold` stops it."""

    def __init__(self) -> None:
        self.number, self.hold = 0, threading.Event()
        self._end = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/stream.mjpg"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.recv(4096)
                peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
                while not self._end.wait(0.03):
                    if not self.hold.is_set():
                        jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture(self.number), cv2.COLOR_RGB2BGR))[1].tobytes()
                        head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                        peer.sendall(head + jpeg + b"\r\n")


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    yield stream
    stream.close()


async def test_a_stream_shows_the_newest_frame_and_a_silent_one_times_out_then_is_lost_and_comes_back(stream, thread):
    with contextlib.closing(camera_of(stream.url, thread)) as camera:
        await camera.alive()
        stream.number = 5
        await asyncio.sleep(0.3)  # frames of the former number wait in buffers meanwhile
        frame = await camera.grab(trigger())
        assert float(frame.image[60:, 60:].mean()) == pytest.approx(140, abs=5)
        assert not camera.simulated
        stream.hold.set()
        await asyncio.sleep(0.1)
        camera.grab_timeout_s = 0.2
        with pytest.raises((CameraTimeout, CameraLost)):
            for _ in range(20):  # what is buffered comes first
                await camera.grab(trigger())
        with pytest.raises(CameraLost, match=r"gives no frame|cannot be opened"):
            for _ in range(20):
                await camera.alive()
        stream.hold.clear()
        camera.grab_timeout_s = 5
        await camera.alive()
        assert (await camera.grab(trigger())).image.shape == (*SIZE, 3)


def test_grey_becomes_rgb_and_sixteen_bits_are_refused():
    assert rgb_of(np.zeros((4, 5), np.uint8)).shape == (4, 5, 3)
    with pytest.raises(CameraError, match="8 bits"):
        rgb_of(np.zeros((4, 5, 3), np.uint16))


def test_devices_are_listed_by_number_with_the_names_of_their_drivers(tmp_path):
    for number, name in ((10, "Line camera"), (2, "Webcam")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(name + "\n")
    assert devices(tmp_path) == [(2, "Webcam"), (10, "Line camera")]
    assert devices(tmp_path / "none") == []
