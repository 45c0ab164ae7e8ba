"""May this frame be judged at all? A bad picture is NOT_INSPECTED, never a model's verdict."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from inspector.core.details import Detail
from inspector.core.errors import FrameError
from inspector.core.manifest import ZoneLimits
from inspector.core.types import Frame, Image, Mode, Proof, Trigger
from inspector.light_trend import LightTrend
from plc.registers import Reason

Box = tuple[int, int, int, int]  # x, y, width, height in pixels of the view


def zone_figures(view: Image, box: Box) -> tuple[float, float, float]:
    """Brightness (mean grey, 0..255), contrast (deviation of grey) and sharpness (variance of the Laplacian) of a zone.

    view: (H, W, 3) uint8 RGB. Sharpness after Pech-Pacheco et al., ICPR 2000.
    """
    x, y, w, h = box
    grey = cv2.cvtColor(np.ascontiguousarray(view[y : y + h, x : x + w]), cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    edges = cv2.Laplacian(grey, cv2.CV_16S)  # exact: it stays within 4 times 255
    # As the mean of squares less the square of the mean, both exact: meanStdDev takes 20 times as long for 16 bits.
    sharpness = cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - (cv2.sumElems(edges)[0] / edges.size) ** 2
    return float(mean.item()), float(deviation.item()), max(0.0, sharpness)


class FrameGate:
    """Checks each frame before the model sees it.

    size: (height, width) of the camera picture. roi: the view that the zones are in. Proof that a frame is of this
    trigger is asked for in mode `inspect`, the only one that may say PASS. In mode `collect` only what makes a picture
    useless is refused: first pictures have no baseline yet.
    """

    def __init__(self, size: tuple[int, int] | None, roi: Box, zones: Sequence[ZoneLimits], mode: Mode) -> None:
        self._size, self._roi, self._zones, self._mode = size, roi, tuple(zones), mode
        self._last: Frame | None = None
        self.trend = LightTrend()

    @property
    def watches_light(self) -> bool:
        """False where there is no zone, or pictures are only collected."""
        return bool(self._zones) and self._mode is not Mode.COLLECT

    def follow(self, former: FrameGate) -> None:
        """Take over at a change-over: a frame that the former gate has seen must not come again."""
        self._last = former._last

    def check(self, frame: Frame, trigger: Trigger) -> Frame:
        """Return the frame if it may be judged. Raises FrameError with the reason the PLC is told."""
        self._check_shape(frame)
        self._check_fresh(frame, trigger)
        if self._mode is Mode.INSPECT:
            _check_proof(frame, trigger)
        if self._mode is not Mode.COLLECT:
            self._check_light(frame.image)
        return frame

    def _check_shape(self, frame: Frame) -> None:
        image = frame.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise FrameError(Reason.CAMERA, f"not an 8-bit RGB picture: {image.shape} {image.dtype}")
        if self._size is not None and image.shape[:2] != self._size:
            raise FrameError(Reason.CAMERA, Detail.WRONG_SIZE.of(size=image.shape[:2], wanted=self._size))

    def _check_fresh(self, frame: Frame, trigger: Trigger) -> None:
        last, self._last = self._last, frame  # before anything is refused: a refused frame must not come again either
        if frame.seq != trigger.seq:
            raise FrameError(Reason.CAMERA, Detail.OTHER_TRIGGER.of(frame=frame.seq, trigger=trigger.seq))
        if not frame.exposed_mono_s >= trigger.accepted_mono_s:
            raise FrameError(Reason.CAMERA, Detail.EXPOSED_BEFORE.of())
        if last is not None and _is_repeat(frame, last):
            raise FrameError(Reason.CAMERA, Detail.FROZEN.of())

    def _check_light(self, image: Image) -> None:
        x, y, w, h = self._roi
        self.trend.saw(check_light(image[y : y + h, x : x + w], self._zones))


def _check_proof(frame: Frame, trigger: Trigger) -> None:
    """Contract, P12."""
    if frame.proof is Proof.NONE:
        raise FrameError(Reason.NO_PROOF, Detail.NO_PROOF.of())
    if frame.proof is Proof.SIMULATED and not trigger.simulator:
        raise FrameError(Reason.SIMULATED, Detail.SIMULATED.of())


def check_light(view: Image, zones: Sequence[ZoneLimits]) -> dict[str, float]:
    """view: (H, W, 3) uint8 RGB. Raises FrameError: a zone is too dark, too bright, too flat or not sharp.

    Returns the place of each figure between its limits, 0 at the lower and 1 at the upper.
    """
    places: dict[str, float] = {}
    for zone in zones:
        figures = zone_figures(view, zone.box)
        limits = (zone.brightness, zone.contrast, zone.sharpness)
        for name, value, (low, high) in zip(("brightness", "contrast", "sharpness"), figures, limits, strict=True):
            if not low <= value <= high:  # two-sided: a dead lamp may make scores better
                at = {"value": f"{value:.1f}", "low": f"{low:.1f}", "high": f"{high:.1f}"}
                text = Detail.ZONE_OUTSIDE.of(zone=zone.name, measure=name, **at)
                raise FrameError(Reason.IMAGE_QUALITY, text)
            if low < high:
                places[f"zone {zone.name}: {name}"] = (value - low) / (high - low)
    return places


def _is_repeat(frame: Frame, last: Frame) -> bool:
    """True if the camera did not expose anew: its counter stands, or every pixel is as before.

    No sensor gives the same noise twice. A drawn or stored picture may well be the same again, so there only the
    counter tells (contract, P12).
    """
    if frame.frame_id == last.frame_id:
        return True
    one, two = frame.image, last.image
    if frame.proof is Proof.SIMULATED or one.shape != two.shape:
        return False
    return np.array_equal(one[::16], two[::16]) and np.array_equal(one, two)  # nearly always the first one tells
