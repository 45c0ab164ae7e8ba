"""Video through OpenCV: a real file, and a real stream over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.cameras import opencv
from inspector.cameras.opencv import OpenCvCamera, devices, rgb_of
from inspector.core.clock import SystemClock
from inspector.core.errors import CameraError, CameraLost, CameraTimeout, FrameError
from inspector.core.types import Frame, Image, Mode, Proof, Trigger
from inspector.frames import FrameGate
from inspector.health import Health, Watchdog
from inspector.threads import DeviceThread
from plc.registers import Reason
from tests.support.clock import SimClock
from tests.support.patience import LONG_S

pytestmark = pytest.mark.slow

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
    thread.submit(lambda: None).result(LONG_S)
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
    return OpenCvCamera(source, SystemClock(), thread, grab_timeout_s=LONG_S, **changes)  # type: ignore[arg-type]


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
        await camera.alive()
        asked = trigger()
        frame = await camera.grab(asked)
    assert frame.proof is Proof.NONE
    with pytest.raises(FrameError) as refused:
        FrameGate(None, (0, 0, 0, 0), (), Mode.INSPECT).check(frame, asked)
    assert refused.value.reason is Reason.NO_PROOF
    assert FrameGate(None, (0, 0, 0, 0), (), Mode.COLLECT).check(frame, asked) is frame


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (63, "/dev/video63: is not there; check the cable"),
        ("http://127.0.0.1:9/stream", "127.0.0.1:9/stream: cannot be opened; check the cable"),
    ],
)
async def test_what_is_not_there_is_lost_and_says_what_to_check(source, text, thread):
    with contextlib.closing(camera_of(source, thread)) as camera:
        for ask in (camera.alive(), camera.grab(trigger())):
            with pytest.raises(CameraLost, match=text):
                await ask


@pytest.mark.parametrize("secret", ["secret", "sec@ret"])
async def test_the_password_of_a_stream_is_told_to_nobody(secret, thread):
    with contextlib.closing(camera_of(f"http://admin:{secret}@127.0.0.1:9/a@b", thread)) as camera:
        with pytest.raises(CameraLost, match=r"camera http://127\.0\.0\.1:9/a@b: cannot") as told:
            await camera.alive()
        assert "sec" not in str(told.value) and "admin" not in str(told.value)


async def test_a_missing_file_and_a_file_that_is_no_video_are_said(tmp_path, thread):
    missing, text = camera_of(tmp_path / "none.avi", thread), camera_of(tmp_path / "text.avi", thread)
    with contextlib.closing(missing), pytest.raises(CameraLost, match="no such file"):
        await missing.alive()
    (tmp_path / "text.avi").write_text("hello")
    with contextlib.closing(text), pytest.raises(CameraLost, match="cannot be opened"):
        await text.alive()


async def test_nobody_gets_a_picture_before_the_camera_was_connected_and_its_settings_read_back(video, thread):
    with contextlib.closing(camera_of(video, thread)) as camera, pytest.raises(CameraLost, match="not connected yet"):
        await camera.grab(trigger())


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"settings": {"gain": 7.0}}, "gain is"),
        ({"settings": {"width": 640.0}}, "width is 128 for 640; correct"),
        ({"fourcc": "H264"}, "gives MJPG, not fourcc = H264"),
    ],
)
async def test_a_setting_that_the_camera_does_not_take_is_no_camera(wish, text, video, thread):
    with contextlib.closing(camera_of(video, thread, **wish)) as camera:
        for ask in (camera.alive(), camera.grab(trigger())):
            with pytest.raises(CameraLost, match=text):
                await ask


async def test_a_setting_that_the_camera_takes_is_a_camera(video, thread):
    with contextlib.closing(
        camera_of(video, thread, settings={"width": 128.0, "height": 96.0}, fourcc="MJPG")
    ) as camera:
        await camera.alive()
        assert (await camera.grab(trigger())).image.shape == (*SIZE, 3)


async def test_a_video_that_ends_in_damage_is_lost_and_not_shown_twice(video, thread):
    with contextlib.closing(camera_of(video, thread)) as camera:
        await camera.alive()
        video.unlink()  # the open file can still be read to its end
        for _ in range(3):
            await camera.grab(trigger())
        with pytest.raises(CameraLost, match="no such file"):
            await camera.grab(trigger())
        with pytest.raises(CameraLost, match="no such file"):
            await camera.alive()


HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"


class Stream:
    """An MJPEG stream over HTTP, as a network camera gives it; `number` is what it shows; `hold` silences it."""

    def __init__(self) -> None:
        self.number, self.hold, self.cut, self.served = 0, threading.Event(), threading.Event(), 0
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
            self.served += 1
            with peer, contextlib.suppress(OSError):
                peer.recv(4096)
                peer.sendall(HEADER)
                while not self._end.wait(0.03) and not self.cut.is_set():
                    if not self.hold.is_set():
                        jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture(self.number), cv2.COLOR_RGB2BGR))[1].tobytes()
                        head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                        peer.sendall(head + jpeg + b"\r\n")


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    yield stream
    stream.close()


@pytest.fixture
def patient_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is late on busy cores is not lost."""
    monkeypatch.setattr(opencv, "OPEN_TIMEOUT_MS", int(1000 * LONG_S))
    monkeypatch.setattr(opencv, "READ_TIMEOUT_MS", int(1000 * LONG_S))


async def silenced(stream: Stream, camera: OpenCvCamera) -> None:
    """The stream says nothing more, and the camera has read what was on its way."""
    stream.hold.set()
    read_s = -1.0
    while read_s != camera._read_s:
        read_s = camera._read_s
        await asyncio.sleep(0.4)


def shown(frame: Frame) -> int:
    return round((float(frame.image[60:, 60:].mean()) - 40) / 20)


@pytest.mark.usefixtures("patient_reader")
async def test_a_stream_shows_what_was_exposed_after_the_trigger_and_not_what_waited_in_queues(stream, thread):
    with contextlib.closing(camera_of(stream.url, thread)) as camera:
        await camera.alive()
        assert not camera.simulated
        for number in (3, 6):
            for _ in range(5):  # some thirty frames come meanwhile; nobody wants them
                await asyncio.sleep(0.2)
                await camera.alive()
            await silenced(stream, camera)  # what nobody has read by now waits in a queue
            stream.number = number
            asked = trigger()
            grab = asyncio.create_task(camera.grab(asked))
            await asyncio.sleep(0)
            stream.hold.clear()
            frame = await grab
            assert shown(frame) == number
            assert frame.exposed_mono_s >= asked.accepted_mono_s and frame.seq == asked.seq


class Driver:
    """Stands for a device: `queued` frames are there at once and show 0, then every 20 ms one that shows 6.

    clock: tells the camera the time, by these frames and by nothing else.
    """

    def __init__(self, queued: int) -> None:
        self.queued, self.read, self.clock = queued, 0, SimClock()

    def isOpened(self) -> bool:
        return True

    def grab(self) -> bool:
        self.read += 1
        if self.read > self.queued:
            time.sleep(0.001)
            self.clock.now_s += 0.02
        return True

    def retrieve(self) -> tuple[bool, Image]:
        return True, cv2.cvtColor(picture(0 if self.read <= self.queued else 6), cv2.COLOR_RGB2BGR)

    def release(self) -> None:
        pass


async def test_what_waited_while_the_camera_was_connected_is_thrown_away(thread, monkeypatch):
    driver = Driver(queued=8)
    monkeypatch.setattr(OpenCvCamera, "_capture_of_source", lambda _: driver)
    with contextlib.closing(OpenCvCamera("rtsp://127.0.0.1/x", driver.clock, thread, grab_timeout_s=1e9)) as camera:
        await camera.alive()
        assert shown(await camera.grab(trigger())) == 6


async def test_a_frame_that_came_just_before_the_trigger_is_not_taken(thread, monkeypatch):
    """The thread reads all the time, but a trigger may come right between two frames."""
    monkeypatch.setattr(OpenCvCamera, "_capture_of_source", lambda _: Driver(queued=1))
    monkeypatch.setattr(OpenCvCamera, "_drain", lambda *_: None)
    monkeypatch.setattr(OpenCvCamera, "_pump", lambda _: None)
    with contextlib.closing(camera_of("rtsp://127.0.0.1/x", thread)) as camera:
        await camera.alive()
        assert shown(await camera.grab(trigger())) == 6


@pytest.mark.usefixtures("patient_reader")
async def test_a_stream_that_is_silent_for_a_moment_costs_one_part(stream, thread):
    with contextlib.closing(camera_of(stream.url, thread)) as camera:
        await camera.alive()
        await silenced(stream, camera)
        camera.grab_timeout_s = 0.2
        with pytest.raises(CameraTimeout, match=r"no two frames within 0\.2 s"):
            await camera.grab(trigger())
        stream.hold.clear()
        camera.grab_timeout_s = LONG_S
        assert (await camera.grab(trigger())).image.shape == (*SIZE, 3)


async def test_a_silent_stream_is_lost_then_comes_back_by_itself(stream, thread):
    with contextlib.closing(camera_of(stream.url, thread)) as camera:
        await back(camera)
        stream.hold.set()
        await lost(camera, "gives no frame")
        with pytest.raises(CameraLost):
            await camera.grab(trigger())
        stream.hold.clear()
        assert (await seen(camera)).image.shape == (*SIZE, 3)


@pytest.mark.usefixtures("patient_reader")
async def test_a_stream_that_is_cut_is_lost_at_once_and_comes_back_by_itself(stream, thread):
    with contextlib.closing(camera_of(stream.url, thread)) as camera:
        await camera.alive()
        stream.cut.set()
        await lost(camera, "gives no frame")
        stream.number = 4
        stream.cut.clear()
        await back(camera)
        assert shown(await camera.grab(trigger())) == 4
        assert stream.served >= 2


@pytest.mark.parametrize(
    "says", [b"", b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"]
)
async def test_no_turn_of_a_dead_stream_is_taken_for_a_hang(says, thread, monkeypatch):
    """The watchdog ends the process after 3 s; what accepts and then keeps silent must be told before.

    By limits of OpenCV, whose own are ten times as long.
    """
    assert (opencv.OPEN_TIMEOUT_MS + opencv.READ_TIMEOUT_MS) / 1000 + opencv.SETTLE_S <= 2.5
    assert Watchdog(Health(SystemClock())).hang_after_s >= 3.0
    limits, capture = [], cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *how: limits.append(how[2]) or capture(*how))
    peers = []
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer = stack.enter_context(server.accept()[0])
                    peers.append(peer)
                    peer.sendall(says)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        with contextlib.closing(camera_of(f"http://127.0.0.1:{server.getsockname()[1]}/x", thread)) as camera:
            for _ in range(2):
                with pytest.raises(CameraLost):
                    await camera.alive()
        server.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
    assert peers, "it was there and accepted"
    assert limits == [[cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 1000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 1000]] * 2


@pytest.mark.usefixtures("patient_reader")
async def test_a_camera_that_is_closed_reads_no_more(stream, thread):
    with contextlib.closing(camera_of(stream.url, thread)) as camera:
        await camera.alive()
        await camera.grab(trigger())
    await thread.call(int)
    read_s = camera._read_s
    await asyncio.sleep(0.2)
    assert camera._read_s == read_s and camera._capture is None


async def lost(camera: OpenCvCamera, text: str) -> None:
    """Asks as the watchdog does, until the camera says that it is lost."""
    async with asyncio.timeout(60):
        with pytest.raises(CameraLost, match=text):
            while True:
                await camera.alive()
                await asyncio.sleep(0.05)


async def back(camera: OpenCvCamera) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(CameraLost):
                return await camera.alive()
            await asyncio.sleep(0.05)


async def seen(camera: OpenCvCamera) -> Frame:
    """The next frame; on busy cores the stream may be lost once more before it comes."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(CameraLost):
                await camera.alive()
                return await camera.grab(trigger())
            await asyncio.sleep(0.05)


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
