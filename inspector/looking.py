"""What a camera sees, for a person who sets it up: a small picture, light and focus. The parts come first.

While the PLC may trigger, nothing is grabbed: the picture is that of the last part. Else the camera is asked, and READY
is held at 0 for as long as that takes: a trigger is accepted with the camera free, or not at all.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from inspector.control import ControlError, Handler, Params
from inspector.core.errors import CameraTimeout
from inspector.core.types import Frame, Image
from inspector.exposure import exposure_of
from inspector.frames import Box
from inspector.stations import Running
from inspector.store.names import picture_name
from inspector.store.previews import LONGEST_SIDE, jpeg_of, shrunk
from inspector.threads import DeviceThread

EVERY_S = 0.18  # a look, at the most: some five a second, however many ask
QUIET_S = 2.0  # nothing is grabbed so soon after a part: a PLC may enable its triggers for each part alone
Answer = dict[str, Any]


def look_method(stations: Sequence[Running], thread: DeviceThread) -> Handler:
    """The control socket's `look` {station, roi}; roi: where light and focus are measured, null: the recipe's."""
    lookers = {running.section.id: Looker(running, thread) for running in stations}

    async def look(params: Params, actor: str) -> Answer:
        if not params.keys() <= {"station", "roi"}:
            raise ControlError("look takes station and roi")
        looker = lookers.get(params.get("station") or stations[0].section.id)
        if looker is None:
            raise ControlError(f"there is no station {params['station']!r:.64}")
        return await looker.look(_box(params.get("roi")))

    return look


class Looker:
    """One station's camera. thread: where pictures are measured and made small, none of the line's own."""

    def __init__(self, running: Running, thread: DeviceThread) -> None:
        self._running, self._thread = running, thread
        self._one_at_a_time = asyncio.Lock()
        self._grabbed: tuple[float, Frame] | None = None  # when, and what
        self._told: tuple[object, Answer] | None = None  # of which part and region
        self._busy_s, self._seen_no = -math.inf, 0  # when a part could come last, and which came

    async def look(self, roi: Box | None) -> Answer:
        """Raises CameraError; ControlError: the region is not in the picture."""
        async with self._one_at_a_time:
            running = self._running
            region, last = roi or running.judging.recipe.roi, running.view.last
            if self._is_quiet(last[0] if last is not None else 0):
                frame = await self._live()
                return self._about(live=True, no=last and last[0]) | await self._call(frame, region, live=True)
            self._grabbed = None
            if last is None:
                return self._about(live=False, no=None)
            no, frame = last
            of = no, region, running.judging.judged_by
            if self._told is None or self._told[0] != of:  # measured once a part, however many ask
                self._told = of, self._about(live=False, no=no) | await self._call(frame, region, live=False)
            return self._told[1]

    def _is_quiet(self, no: int) -> bool:
        """No part can come, and none could for a while. no: of the last one."""
        if not self._running.port.spare or no != self._seen_no:
            self._busy_s, self._seen_no = self._now(), no
        return self._now() - self._busy_s >= QUIET_S

    async def _live(self) -> Frame:
        """A frame of now. A driver that is still at it has ended before a part may come."""
        if self._grabbed is not None and self._now() - self._grabbed[0] < EVERY_S:
            return self._grabbed[1]
        camera = self._running.station.camera
        with self._running.port.occupied():
            try:
                frame = await camera.look()
            except CameraTimeout:
                await camera.alive()
                raise
        self._grabbed = self._now(), frame
        return frame

    async def _call(self, frame: Frame, region: Box | None, *, live: bool) -> Answer:
        return await self._thread.call(_measured, frame.image, region, live)

    def _about(self, *, live: bool, no: int | None) -> Answer:
        """roi: the recipe's; bundle_id: of who fixed its size, "" where nobody did."""
        judging, section = self._running.judging, self._running.section
        return {
            "station": section.id, "mode": str(section.mode), "live": live, "no": no, "recipe": judging.recipe.name,
            "roi": judging.recipe.roi, "bundle_id": judging.judged_by.bundle_id,
            "preview": None if live or no is None else picture_name(no), "jpeg": None, "size": None, "figures": None,
        }  # fmt: skip

    def _now(self) -> float:
        return self._running.shared.clock.monotonic_s()


def _measured(image: Image, region: Box | None, live: bool) -> Answer:
    height, width = image.shape[:2]
    box = region or (0, 0, width, height)
    if box[0] + box[2] > width or box[1] + box[3] > height:
        raise ControlError(f"the region {list(box)} is not within the camera's picture of {width} x {height} pixels")
    small = base64.b64encode(jpeg_of(shrunk(image, LONGEST_SIDE))).decode() if live else None
    return {"size": [width, height], "figures": asdict(exposure_of(image, box)), "jpeg": small}


def _box(sent: object) -> Box | None:
    if sent is None:
        return None
    if not isinstance(sent, list) or len(sent) != 4 or not all(type(side) is int for side in sent):
        raise ControlError("a region is four whole numbers: x, y, width, height")
    x, y, width, height = sent
    if min(x, y) < 0 or min(width, height) < 1:
        raise ControlError("a region has x and y from 0, width and height from 1")
    return x, y, width, height
