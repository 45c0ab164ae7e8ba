"""A device, a video file or a stream through OpenCV. It proves no freshness: never PASS in triggered mode."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import structlog

from inspector.cameras.settings import check_read_back
from inspector.core.details import Detail
from inspector.core.errors import CameraError, CameraLost, CameraTimeout
from inspector.core.ports import Clock
from inspector.core.types import Frame, Image, Proof, Trigger
from inspector.threads import DeviceThread

log = structlog.get_logger(__name__)

OPEN_TIMEOUT_MS = READ_TIMEOUT_MS = 1000  # with SETTLE_S below the watchdog's patience: a dead source is lost, no hang
SETTLE_S = 0.5
V4L2_PATIENCE = ("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")  # seconds; read at the first frame, OpenCV's own is 10
PROPERTIES = {
    "brightness": cv2.CAP_PROP_BRIGHTNESS, "contrast": cv2.CAP_PROP_CONTRAST, "saturation": cv2.CAP_PROP_SATURATION,
    "hue": cv2.CAP_PROP_HUE, "gain": cv2.CAP_PROP_GAIN, "exposure": cv2.CAP_PROP_EXPOSURE,
    "auto_exposure": cv2.CAP_PROP_AUTO_EXPOSURE, "gamma": cv2.CAP_PROP_GAMMA, "sharpness": cv2.CAP_PROP_SHARPNESS,
    "backlight": cv2.CAP_PROP_BACKLIGHT, "white_balance": cv2.CAP_PROP_WB_TEMPERATURE,
    "auto_white_balance": cv2.CAP_PROP_AUTO_WB, "focus": cv2.CAP_PROP_FOCUS, "autofocus": cv2.CAP_PROP_AUTOFOCUS,
    "zoom": cv2.CAP_PROP_ZOOM, "width": cv2.CAP_PROP_FRAME_WIDTH, "height": cv2.CAP_PROP_FRAME_HEIGHT,
    "fps": cv2.CAP_PROP_FPS,
}  # fmt: skip
DEVICE = "/dev/video"
V4L2 = Path("/sys/class/video4linux")
Source = int | str | Path


@dataclass(slots=True)
class OpenCvCamera:
    """source: N of /dev/videoN, the URL of a stream, or the path of a video file, which is played over and over.

    A live source is read all the time, wanted or not: what nobody reads waits in queues, and a queue of some seconds
    shows parts that have left long ago. settings: names of PROPERTIES, written in this order and read back on every
    connect (a camera that started anew has settings of its own). fourcc comes before all: drivers reset sizes with it.
    """

    source: Source
    clock: Clock
    thread: DeviceThread
    settings: Mapping[str, float] = field(default_factory=dict)
    fourcc: str | None = None
    grab_timeout_s: float = 0.1
    simulated: bool = field(init=False)
    temperature_c: float | None = None  # V4L2 has no word for it
    _capture: Any = None
    _why: str = "not connected yet"  # what is wrong while there is no capture
    _untold: bool = False  # lost since `alive` was asked last
    _closed: bool = False
    _pumping: bool = False  # one is queued
    _read_s: float = -math.inf  # when the last frame had come
    _frame_id: int = 0

    def __post_init__(self) -> None:
        self.simulated = isinstance(self.source, Path)  # a file shows another moment (contract, P12)

    async def grab(self, trigger: Trigger) -> Frame:
        """The second frame that comes from now on: the first may have been under way already.

        Raises CameraTimeout; CameraLost: the device or stream is gone, or `alive` has not connected it; CameraError.
        """
        return await self._frame_of(trigger.seq)

    async def look(self) -> Frame:
        """As `grab`; a video file moves on by it."""
        return await self._frame_of(0)

    async def _frame_of(self, seq: int) -> Frame:
        begun_s = self.clock.monotonic_s()
        try:
            async with self.clock.deadline(begun_s + self.grab_timeout_s):
                image, at_s = await self.thread.call(self._next, begun_s)
        except TimeoutError as exc:
            text = f"{self}: no two frames within {self.grab_timeout_s:g} s, and the first may be too old"
            raise CameraTimeout(text) from exc
        self._frame_id += 1
        return Frame(image, seq, at_s, 0, Proof.NONE, self._frame_id)

    async def alive(self) -> None:
        """Connect where needed; a live source has to give a frame then. A loss is told once before it reconnects."""
        await self.thread.call(self._check)

    async def set_up(self, settings: Mapping[str, float]) -> None:
        """Connect anew with other settings, written and read back. Raises CameraLost."""
        await self.thread.call(self._change, {n: v for n, v in settings.items() if n in PROPERTIES})

    def close(self) -> None:
        self._closed = True
        self.thread.submit(self._forget)

    def __str__(self) -> str:
        if isinstance(self.source, int):
            return f"camera {DEVICE}{self.source}"
        return "camera " + re.sub(r"//[^/]*@", "//", str(self.source))  # the password of a stream is for nobody's eyes

    # -- on the camera's thread ----------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._untold:
            self._untold = False  # one slow thing a turn: to wait for a frame, or to connect
            raise CameraLost(self._why)
        if self._capture is not None:
            return
        try:
            self._capture = self._opened()
        except CameraLost as exc:
            self._why = str(exc)
            raise
        if not isinstance(self.source, Path) and not self._pumping:
            self._pumping = True
            self.thread.submit(self._pump)

    def _change(self, settings: Mapping[str, float]) -> None:
        self.settings = settings
        self._forget()
        self._why, self._untold = f"{self}: takes the settings of another recipe", False
        self._check()

    def _pump(self) -> None:
        """Read one frame and come again: in between the thread serves `grab` and `alive`."""
        self._pumping = False
        if self._capture is None or self._closed:
            return
        with contextlib.suppress(CameraLost):  # `alive` tells
            self._read()
            self._pumping = True
            self.thread.submit(self._pump)

    def _read(self) -> None:
        """Wait for the next frame; it is decoded only where it is wanted. Raises CameraLost."""
        if not self._capture.grab():
            self._lose("gives no frame")
        self._read_s = self.clock.monotonic_s()

    def _next(self, asked_s: float) -> tuple[Image, float]:
        if self._capture is None:
            raise CameraLost(self._why)
        if isinstance(self.source, Path):
            return self._next_of_file(), self.clock.monotonic_s()
        if not self._read_s >= asked_s:  # else the pump has just waited for the first
            self._read()
        self._read()
        ok, picture = self._capture.retrieve()
        if not ok:
            raise CameraError(f"{self}: the frame cannot be decoded")
        return rgb_of(picture), self._read_s

    def _next_of_file(self) -> Image:
        ok, picture = self._capture.read()
        if not ok:  # the end: from the start again
            self._forget()
            self._capture = self._opened()
            ok, picture = self._capture.read()
        if not ok:
            self._lose("no frame can be decoded")
        return rgb_of(picture)

    def _lose(self, what: str) -> NoReturn:
        self._forget()
        self._why, self._untold = f"{self}: {what}", True
        raise CameraLost(self._why)

    def _opened(self) -> Any:
        """A capture with its settings written and read back; a live one gave a frame. Raises CameraLost."""
        capture = self._capture_of_source()
        try:
            if not capture.isOpened():
                raise CameraLost(Detail.CANNOT_BE_OPENED.of(camera=self))
            self._write_settings(capture)
            if not isinstance(self.source, Path):
                self._drain(capture)
        except CameraLost:
            capture.release()
            raise
        return capture

    def _drain(self, capture: Any) -> None:
        """FFmpeg looks at a stream before it opens it, and keeps what it saw: those frames are thrown away."""
        end_s = self.clock.monotonic_s() + SETTLE_S
        while self.clock.monotonic_s() < end_s:
            if not capture.grab():
                raise CameraLost(Detail.GIVES_NO_FRAME.of(camera=self))

    def _capture_of_source(self) -> Any:
        if isinstance(self.source, int):
            if not Path(f"{DEVICE}{self.source}").exists():
                raise CameraLost(Detail.NOT_THERE.of(camera=self))
            os.environ.setdefault(*V4L2_PATIENCE)
            return cv2.VideoCapture(self.source, cv2.CAP_V4L2)
        if isinstance(self.source, Path):
            if not self.source.is_file():
                raise CameraLost(f"{self}: there is no such file")
            return cv2.VideoCapture(str(self.source), cv2.CAP_FFMPEG)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
        return cv2.VideoCapture(self.source, cv2.CAP_FFMPEG, limits)  # RTSP by TCP is OpenCV's default

    def _write_settings(self, capture: Any) -> None:
        if isinstance(self.source, int):
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # not every driver can
        if self.fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.fourcc))
            got = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("ascii", "replace")
            if got != self.fourcc:
                raise CameraLost(f"{self}: gives {got}, not fourcc = {self.fourcc}; correct [camera] fourcc")
        for name, value in self.settings.items():
            capture.set(PROPERTIES[name], value)
        read = {name: float(capture.get(PROPERTIES[name])) for name in self.settings}
        log.info("camera connected", camera=str(self), settings=check_read_back(str(self), self.settings, read))

    def _forget(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def rgb_of(picture: Any) -> Image:
    """(H, W, 3) uint8 RGB, not writeable, from what OpenCV gives. Raises CameraError: not 8 bits a channel."""
    if picture is None or picture.dtype != np.uint8 or picture.ndim not in (2, 3):
        raise CameraError("the frame has not 8 bits a channel")
    grey = picture.ndim == 2 or picture.shape[2] == 1
    image = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB), np.uint8)
    image.flags.writeable = False
    return image


def devices(folder: Path = V4L2) -> list[tuple[int, str]]:
    """(N of /dev/videoN, name that its driver gives), by the kernel's list."""
    found = []
    for entry in sorted(folder.glob("video[0-9]*"), key=lambda path: int(path.name[5:])):
        try:
            found.append((int(entry.name[5:]), (entry / "name").read_text().strip()))
        except OSError:
            continue  # unplugged just now
    return found
