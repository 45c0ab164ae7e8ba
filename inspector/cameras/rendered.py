"""A camera that renders the part whose seed is PART_ID, and fails on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from inspector.cameras.faults import Fault, FaultScript
from inspector.cameras.settings import check_read_back
from inspector.core.details import Detail
from inspector.core.errors import CameraError, CameraLost, CameraTimeout
from inspector.core.ports import Clock
from inspector.core.types import Frame, Image, Proof, Trigger
from inspector.demo.parts import render
from inspector.demo.scene import Light
from inspector.threads import DeviceThread

LATE_S = 0.05  # how long after the part's deadline a late frame comes
SLOW_S = 0.4
DEFAULT_EXPOSURE_US = 10_000  # what the camera has after a restart
_LIGHT = {
    Fault.BLACK: Light(exposure=0.0),
    Fault.OVEREXPOSED: Light(exposure=4.0),
    Fault.LAMP_DEAD: Light(lamps=(0.0, 1.0, 1.0, 1.0)),
}


@dataclass(slots=True)
class RenderedCamera:
    """Stamps its exposures itself, so they count as simulated (contract, P12)."""

    clock: Clock
    thread: DeviceThread
    exposure_us: int = 500
    grab_timeout_s: float = 0.1
    faults: FaultScript = field(default_factory=FaultScript)
    simulated: bool = True
    temperature_c: float | None = 36.0
    _unplugged: bool = False
    _rebooted: bool = False
    _closed: threading.Event = field(default_factory=threading.Event)  # ends a hang, for tests in one process
    _frame_id: int = 0
    _part_id: int = 1  # of the last trigger
    _last: Frame | None = None

    async def grab(self, trigger: Trigger) -> Frame:
        fault = self.faults.next()
        self._unplugged |= fault is Fault.LOST and not self.faults.stands(fault)
        self._rebooted |= fault is Fault.REBOOTED and not self.faults.stands(fault)
        self._check_link()
        if fault is Fault.TIMEOUT:
            await self.clock.sleep(self.grab_timeout_s)
            raise CameraTimeout(
                Detail.NO_FRAME_IN_TIME.of(camera="rendered camera", seconds=f"{self.grab_timeout_s:g}")
            )
        exposed_s, last = self.clock.monotonic_s(), self._last
        image = await self.thread.call(self._expose, trigger, fault)
        if fault is Fault.FROZEN and last is not None:
            return Frame(last.image, trigger.seq, exposed_s, self.exposure_us, last.proof, last.frame_id)
        if fault is Fault.BUFFERED and last is not None:
            return Frame(last.image, trigger.seq, last.exposed_mono_s, self.exposure_us, last.proof, last.frame_id)
        if fault in (Fault.STALE, Fault.BUFFERED):
            exposed_s = trigger.accepted_mono_s - 0.001
        self._frame_id += 1
        self._last = Frame(image, trigger.seq, exposed_s, self.exposure_us, Proof.SIMULATED, self._frame_id)
        return self._last

    async def look(self) -> Frame:
        """The part of the last trigger once more, in the light of now; no fault of the script is used up."""
        self._check_link()
        exposed_s = self.clock.monotonic_s()
        image = await self.thread.call(self._draw, self._part_id, self._light())
        return Frame(image, 0, exposed_s, self.exposure_us, Proof.SIMULATED, self._frame_id)

    async def set_up(self, settings: Mapping[str, float]) -> None:
        """A recipe has no settings for it."""

    async def alive(self) -> None:
        self._check_link()
        await self.thread.call(int)

    def replug(self) -> None:
        """The cable is in again, and the camera has the settings that it was given."""
        self._unplugged = self._rebooted = False

    def close(self) -> None:
        self._closed.set()

    def _check_link(self) -> None:
        if self._unplugged or self.faults.stands(Fault.LOST):
            raise CameraLost(Detail.LINK_LOST.of(camera="rendered camera"))
        rebooted = self._rebooted or self.faults.stands(Fault.REBOOTED)
        exposure_us = DEFAULT_EXPOSURE_US if rebooted else self.exposure_us
        check_read_back("rendered camera", {"exposure": self.exposure_us}, {"exposure": exposure_us})

    def _expose(self, trigger: Trigger, fault: Fault) -> Image:
        """As a driver's call: on the camera's thread, and nobody can end it from outside."""
        if fault is Fault.HANG:
            self._closed.wait()
            raise CameraLost("rendered camera: closed while its driver hung")
        if fault is Fault.SLOW:
            time.sleep(SLOW_S)
        if fault is Fault.LATE:
            time.sleep(max(0.0, trigger.deadline_mono_s - self.clock.monotonic_s()) + LATE_S)
        if fault is Fault.HALF_FRAME:
            raise CameraError(Detail.INCOMPLETE.of(camera="rendered camera"))
        self._part_id = trigger.part_id
        return self._draw(trigger.part_id, _LIGHT.get(fault, Light()), half=fault is Fault.WRONG_SIZE)

    def _light(self) -> Light:
        return next((light for fault, light in _LIGHT.items() if self.faults.stands(fault)), Light())

    @staticmethod
    def _draw(part_id: int, light: Light, *, half: bool = False) -> Image:
        image = render(part_id, light=light).image
        if half:
            image = np.ascontiguousarray(image[::2, ::2])
        image.flags.writeable = False
        return image
