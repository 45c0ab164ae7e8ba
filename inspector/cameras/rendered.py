"""A camera that renders the part whose seed is PART_ID, and fails on demand."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from inspector.core.errors import CameraError, CameraLost, CameraTimeout
from inspector.core.ports import Clock
from inspector.core.types import Frame, Image, Proof, Trigger
from inspector.demo.parts import Light, render
from inspector.threads import DeviceThread


class Fault(StrEnum):
    """What the next grab does instead of its work."""

    TIMEOUT = "timeout"
    LOST = "lost"
    FROZEN = "frozen"  # the frame before again
    STALE = "stale"  # exposed before this trigger
    BLACK = "black"
    OVEREXPOSED = "overexposed"
    LAMP_DEAD = "lamp_dead"
    HALF_FRAME = "half_frame"
    WRONG_SIZE = "wrong_size"


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
    faults: deque[Fault] = field(default_factory=deque)  # each grab takes one
    down: bool = False  # set by a test: the cable is out
    simulated: bool = True
    _frame_id: int = 0
    _last: Frame | None = None

    async def grab(self, trigger: Trigger) -> Frame:
        if self.down:
            raise CameraLost("rendered camera: link lost")
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.TIMEOUT:
            await self.clock.sleep(self.grab_timeout_s)
            raise CameraTimeout(f"rendered camera: no frame within {self.grab_timeout_s} s")
        if fault is Fault.LOST:
            self.down = True
            raise CameraLost("rendered camera: link lost")
        if fault is Fault.FROZEN and self._last is not None:
            last = self._last
            return Frame(last.image, trigger.seq, self.clock.monotonic_s(), self.exposure_us, last.proof, last.frame_id)
        exposed_s = self.clock.monotonic_s() if fault is not Fault.STALE else trigger.accepted_mono_s - 0.001
        image = await self.thread.call(self._expose, trigger.part_id, fault)
        self._frame_id += 1
        self._last = Frame(image, trigger.seq, exposed_s, self.exposure_us, Proof.SIMULATED, self._frame_id)
        return self._last

    def _expose(self, part_id: int, fault: Fault | None) -> Image:
        image = render(part_id, light=_LIGHT.get(fault, Light()) if fault else Light()).image
        if fault is Fault.HALF_FRAME:
            raise CameraError("rendered camera: frame incomplete")
        if fault is Fault.WRONG_SIZE:
            image = np.ascontiguousarray(image[::2, ::2])
        image.flags.writeable = False
        return image

    async def alive(self) -> None:
        if self.down:
            raise CameraLost("rendered camera: link lost")
        await self.thread.call(int)
