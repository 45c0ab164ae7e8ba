"""A person looks through a station's camera: live where no part can come, and never in the way of one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

import inspector.looking
from inspector.control import ControlError
from inspector.core.clock import SystemClock
from inspector.core.errors import CameraLost, CameraTimeout
from inspector.core.types import Frame, Mode, Proof
from inspector.demo.parts import render
from inspector.judging import NOBODY
from inspector.looking import look_method
from inspector.threads import DeviceThread


def frame_of(seed: int) -> Frame:
    return Frame(render(seed).image, 0, 0.0, 500, Proof.SIMULATED, seed)


class Camera:
    """Counts who looked, and whether READY could have come meanwhile."""

    def __init__(self, station: Station) -> None:
        self.station, self.looks, self.turns = station, 0, 0
        self.fault: Exception | None = None
        self.free_meanwhile: list[bool] = []

    async def look(self) -> Frame:
        self.looks += 1
        await asyncio.sleep(0.01)
        self.free_meanwhile.append(not self.station.occupied_by)
        if self.fault is not None:
            raise self.fault
        return frame_of(self.looks)

    async def alive(self) -> None:
        self.turns += 1
        self.free_meanwhile.append(not self.station.occupied_by)


class Station:
    """The sides of a running station that a look has to do with."""

    def __init__(self) -> None:
        self.spare, self.occupied_by = True, 0
        self.camera = Camera(self)
        self.view = SimpleNamespace(last=None)
        self.running: Any = SimpleNamespace(
            section=SimpleNamespace(id="st1", mode=Mode.COLLECT), station=SimpleNamespace(camera=self.camera),
            port=self, view=self.view, judging=NOBODY, shared=SimpleNamespace(clock=SystemClock()),
        )  # fmt: skip

    @contextlib.contextmanager
    def occupied(self) -> Iterator[None]:
        self.occupied_by += 1
        try:
            yield
        finally:
            self.occupied_by -= 1


@asynccontextmanager
async def looking() -> AsyncIterator[tuple[Station, Any]]:
    thread, station = DeviceThread("look"), Station()
    method = look_method([station.running], thread)
    try:
        yield station, lambda **params: method(params, "web")
    finally:
        thread.close()


async def test_where_no_part_can_come_the_picture_is_of_now_and_ready_is_held_off_meanwhile() -> None:
    async with looking() as (station, look):
        found = await look()
        assert found["live"] and found["size"] == [320, 256] and found["preview"] is None
        assert found["figures"]["sharpness"] > 0 and len(found["figures"]["histogram"]) == 64
        shown = cv2.imdecode(np.frombuffer(base64.b64decode(found["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(shown[..., ::-1].astype(int) - render(1).image).mean() < 6
        assert station.camera.free_meanwhile == [False] and station.occupied_by == 0


async def test_where_a_part_may_come_the_camera_is_not_asked_and_the_last_part_is_shown() -> None:
    async with looking() as (station, look):
        station.spare = False
        before = await look()
        assert (before["live"], before["no"], before["figures"], before["preview"]) == (False, None, None, None)
        station.view.last = (7, frame_of(7))
        found = await look()
        assert (found["live"], found["no"], found["preview"], found["jpeg"]) == (False, 7, "0000000007.jpg", None)
        assert found["figures"]["brightness"] > 0 and station.camera.looks == 0
        assert await look() is found, "measured once a part, however many ask"


async def test_between_two_parts_of_a_plc_that_enables_each_alone_nothing_is_grabbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inspector.looking, "QUIET_S", 600.0)
    async with looking() as (station, look):
        assert (await look())["live"]
        for no in (1, 2):
            station.view.last = (no, frame_of(no))  # it came and went between two looks
            assert not (await look())["live"], "a part was there a moment ago"
        station.spare = False
        await look()
        station.spare = True
        assert not (await look())["live"] and station.camera.looks == 1
        monkeypatch.setattr(inspector.looking, "QUIET_S", 0.05)
        await asyncio.sleep(0.06)
        assert (await look())["live"]


async def test_however_many_look_the_camera_is_asked_five_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 / inspector.looking.EVERY_S < 6
    monkeypatch.setattr(inspector.looking, "EVERY_S", 600.0)
    async with looking() as (station, look):
        answers = await asyncio.gather(*(look(roi=[0, 0, 10 + n, 10]) for n in range(12)))
        assert station.camera.looks == 1 and len(answers) == 12
        await look()
        assert station.camera.looks == 1
        monkeypatch.setattr(inspector.looking, "EVERY_S", 0.01)
        await asyncio.sleep(0.02)
        await look()
        assert station.camera.looks == 2


async def test_a_driver_that_is_late_has_ended_before_a_part_may_come() -> None:
    async with looking() as (station, look):
        station.camera.fault = CameraTimeout("no frame")
        with pytest.raises(CameraTimeout):
            await look()
        assert station.camera.turns == 1 and not any(station.camera.free_meanwhile) and station.occupied_by == 0
        station.camera.fault = CameraLost("cable")
        with pytest.raises(CameraLost, match="cable"):
            await look()
        assert station.occupied_by == 0


@pytest.mark.parametrize(
    "params",
    [
        {"roi": [0, 0, 321, 10]}, {"roi": [0, 250, 10, 10]}, {"roi": [0, 0, 0, 10]}, {"roi": [-1, 0, 5, 5]},
        {"roi": "all"}, {"roi": [1.5, 0, 5, 5]}, {"roi": [1, 2, 3]}, {"station": "st9"}, {"file": "/etc/passwd"},
    ],
)  # fmt: skip
async def test_what_cannot_be_looked_at_is_refused(params: dict[str, Any]) -> None:
    async with looking() as (_, look):
        with pytest.raises(ControlError):
            await look(**params)
