"""A device, a video file or a stream through OpenCV. It proves no freshness: never PASS in triggered mode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog

from inspector.cameras.settings import check_read_back
from inspector.core.errors import CameraError, CameraLost, CameraTimeout
from inspector.core.ports import Clock
from inspector.core.types import Frame, Image, Proof, Trigger
from inspector.threads import DeviceThread

log = structlog.get_logger(__name__)

OPEN_TIMEOUT_MS = READ_TIMEOUT_MS = 2000  # below the watchdog's patience: a dead stream is a lost camera, not a hang
MOST_BUFFERED = 8  # frames that a driver may hold back; after these we take what comes
WAITED_S = 0.004  # a frame that took this long was not in a buffer
PROPERTIES = {
    "brightness": cv2.CAP_PROP_BRIGHTNESS, "contrast": cv2.CAP_PROP_CONTRAST, "saturation": cv2.CAP_PROP_SATURATION,
    "hue": cv2.CAP_PROP_HUE, "gain": cv2.CAP_PROP_GAIN, "exposure": cv2.CAP_PROP_EXPOSURE,
    "auto_exposure": cv2.CAP_PROP_AUTO_EXPOSURE, "gamma": cv2.CAP_PROP_GAMMA, "sharpness": cv2.CAP_PROP_SHARPNESS,
    "backlight": cv2.CAP_PROP_BACKLIGHT, "white_balance": cv2.CAP_PROP_WB_TEMPERATURE,
    "auto_white_balance": cv2.CAP_PROP_AUTO_WB, "focus": cv2.CAP_PROP_FOCUS, "autofocus": cv2.CAP_PROP_AUTOFOCUS,
    "zoom": cv2.CAP_PROP_ZOOM, "width": cv2.CAP_PROP_FRAME_WIDTH, "height": cv2.CAP_PROP_FRAME_HEIGHT,
    "fps": cv2.CAP_PROP_FPS,
}  # fmt: skip
V4L2 = Path("/sys/class/video4linux")
Source = int | str | Path


@dataclass(slots=True)
class OpenCvCamera:
    """source: N of /dev/videoN, the URL of a stream, or the path of a video file, which is played over and over.

    settings: names of PROPERTIES, written in this order and read back on every connect (DESIGN: a camera that started
    anew has settings of its own). fourcc comes before all: drivers reset sizes with the format.
    """

    source: Source
    clock: Clock
    thread: DeviceThread
    settings: Mapping[str, float] = field(default_factory=dict)
    fourcc: str | None = None
    grab_timeout_s: float = 0.1
    simulated: bool = field(init=False)
    _capture: Any = None
    _frame_id: int = 0

    def __post_init__(self) -> None:
        self.simulated = isinstance(self.source, Path)  # a file shows another moment (contract, P12)

    async def grab(self, trigger: Trigger) -> Frame:
        """The newest frame. Raises CameraTimeout; CameraLost: the device or stream is gone; CameraError."""
        begun_s = self.clock.monotonic_s()
        try:
            async with self.clock.deadline(begun_s + self.grab_timeout_s):
                image, at_s = await self.thread.call(self._newest)
        except TimeoutError as exc:
            raise CameraTimeout(f"{self}: no frame within {self.grab_timeout_s:g} s") from exc
        self._frame_id += 1
        return Frame(image, trigger.seq, at_s, 0, Proof.NONE, self._frame_id)

    async def alive(self) -> None:
        """Connect where needed; a live source must also give a frame, which keeps its buffer young."""
        await self.thread.call(self._check)

    def close(self) -> None:
        self.thread.submit(self._forget)

    def __str__(self) -> str:
        kind = "device /dev/video" if isinstance(self.source, int) else ""
        return f"camera {kind}{self.source}"

    # -- on the camera's thread ----------------------------------------------------------------------------------------

    def _check(self) -> None:
        capture = self._opened()
        if not isinstance(self.source, Path) and not capture.grab():
            self._forget()
            raise CameraLost(f"{self}: gives no frame")

    def _newest(self) -> tuple[Image, float]:
        """What lies in buffers is of the past: frames are thrown away until one had to be waited for."""
        capture = self._opened()
        if isinstance(self.source, Path):
            return self._next_of_file(capture), self.clock.monotonic_s()
        for _ in range(MOST_BUFFERED):
            begun_s = time.monotonic()
            if not capture.grab():
                self._forget()
                raise CameraLost(f"{self}: gives no frame")
            if time.monotonic() - begun_s >= WAITED_S:
                break
        at_s = self.clock.monotonic_s()
        ok, picture = capture.retrieve()
        if not ok:
            raise CameraError(f"{self}: the frame cannot be decoded")
        return rgb_of(picture), at_s

    def _next_of_file(self, capture: Any) -> Image:
        ok, picture = capture.read()
        if not ok:  # the end: from the start again
            self._forget()
            ok, picture = self._opened().read()
        if not ok:
            self._forget()
            raise CameraError(f"{self}: no frame can be decoded")
        return rgb_of(picture)

    def _opened(self) -> Any:
        """The open capture, its settings written and read back. Raises CameraLost."""
        if self._capture is not None:
            return self._capture
        capture = self._capture_of_source()
        try:
            if not capture.isOpened():
                raise CameraLost(f"{self}: cannot be opened; check the cable, the address and the rights")
            self._write_settings(capture)
        except CameraLost:
            capture.release()
            raise
        self._capture = capture
        return capture

    def _capture_of_source(self) -> Any:
        if isinstance(self.source, int):
            return cv2.VideoCapture(self.source, cv2.CAP_V4L2)
        if isinstance(self.source, Path):
            if not self.source.is_file():
                raise CameraLost(f"{self}: there is no such file")
            return cv2.VideoCapture(str(self.source), cv2.CAP_FFMPEG)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
        return cv2.VideoCapture(self.source, cv2.CAP_FFMPEG, limits)  # RTSP by TCP is OpenCV's default

    def _write_settings(self, capture: Any) -> None:
        if isinstance(self.source, int):
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # not every driver can; the flush above does not count on it
        if self.fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.fourcc))
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
