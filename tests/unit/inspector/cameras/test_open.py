"""From a [camera] section to a camera, and closed again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import PIL.Image
import pytest

from inspector.camera_sections import FolderConfig, RenderedConfig
from inspector.cameras.folder import FolderCamera
from inspector.cameras.open import open_camera
from inspector.cameras.rendered import RenderedCamera
from inspector.core.clock import SystemClock
from inspector.core.errors import CameraLost, CameraTimeout, ConfigError
from inspector.threads import DeviceThread
from tests.support.page import until
from tests.unit.inspector.cameras.conftest import Hang, MakeTrigger


async def test_a_rendered_section_plays_its_script_of_faults(thread: DeviceThread, trigger: MakeTrigger) -> None:
    section = RenderedConfig(exposure_us=700, grab_timeout_ms=20)
    async with open_camera(section, {}, SystemClock(), thread, ("none", "timeout")) as camera:
        assert isinstance(camera, RenderedCamera)
        assert (await camera.grab(trigger())).exposure_us == 700
        with pytest.raises(CameraTimeout, match=r"within 0\.02 s"):
            await camera.grab(trigger())
        await camera.grab(trigger())


async def test_an_unknown_fault_is_refused_before_the_line_runs(thread: DeviceThread) -> None:
    with pytest.raises(ConfigError, match="there is no 'smoke'"):
        async with open_camera(RenderedConfig(), {}, SystemClock(), thread, ("smoke",)):
            pass


async def test_closing_frees_a_thread_that_hangs(thread: DeviceThread, trigger: MakeTrigger) -> None:
    async with open_camera(RenderedConfig(), {}, SystemClock(), thread, ("hang",)) as camera:
        assert isinstance(camera, RenderedCamera)
        camera._closed = hang = Hang()
        grab = asyncio.create_task(camera.grab(trigger()))
        await until(hang.begun.is_set)
    with pytest.raises(CameraLost):
        await grab


async def test_a_folder_section_gives_a_folder_camera(
    tmp_path: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    for number in (1, 2):
        PIL.Image.new("L", (4, 4), number).save(tmp_path / f"{number}.png")
    section = FolderConfig(kind="folder", folder=tmp_path, pick="part_id", max_megapixels=1, grab_timeout_ms=9000)
    async with open_camera(section, {}, SystemClock(), thread) as camera:
        assert isinstance(camera, FolderCamera)
        assert (camera.max_megapixels, camera.grab_timeout_s) == (1, 9)
        assert (await camera.grab(trigger(2))).image[0, 0, 0] == 2
