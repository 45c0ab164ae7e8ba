"""The folder camera: which picture a trigger gets, and what becomes of pictures that cannot be used."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from inspector.cameras import folder as folder_module
from inspector.cameras.folder import FolderCamera
from inspector.core.clock import SystemClock
from inspector.core.errors import CameraError, CameraLost, CameraTimeout
from inspector.core.types import Proof
from inspector.threads import DeviceThread
from plc.registers import Reason
from tests.support.patience import LONG_S
from tests.unit.inspector.cameras.conftest import MakeTrigger


def put(folder: Path, name: str, grey: int) -> None:
    PIL.Image.new("RGB", (8, 6), (grey, grey, grey)).save(folder / name)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of grey 10, 20, 30 in the order of their names, and what is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    put(folder, "b.png", 20)
    put(folder, "a.bmp", 10)
    put(folder, "c.tiff", 30)
    put(folder, ".half-copied.png", 99)
    (folder / "notes.txt").write_text("no picture")
    (folder / "folder.png").mkdir()
    return folder


def camera_of(pictures: Path, thread: DeviceThread, **how: object) -> FolderCamera:
    return FolderCamera(pictures, SystemClock(), thread, **{"grab_timeout_s": 30.0, **how})  # type: ignore[arg-type]


async def shown(camera: FolderCamera, trigger: MakeTrigger, *part_ids: int) -> list[int]:
    return [int((await camera.grab(trigger(part_id))).image[0, 0, 0]) for part_id in part_ids]


async def test_next_shows_the_pictures_in_the_order_of_names_and_begins_again(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(pictures, thread)
    assert await shown(camera, trigger, 7, 7, 7, 7, 7) == [10, 20, 30, 10, 20]


async def test_part_id_1_is_the_first_picture_in_the_order_of_names(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(pictures, thread, pick="part_id")
    assert await shown(camera, trigger, 3, 1, 1, 2) == [30, 10, 10, 20]


@pytest.mark.parametrize("part_id", [0, 4, 2**32 - 1])
async def test_a_part_id_that_has_no_picture_is_not_inspected(
    part_id: int, pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(pictures, thread, pick="part_id")
    with pytest.raises(CameraError, match=f"no picture for PART_ID {part_id}; .* holds 3") as caught:
        await camera.grab(trigger(part_id))
    assert caught.value.reason is Reason.CAMERA and not isinstance(caught.value, CameraLost)
    assert await shown(camera, trigger, 1) == [10]


async def test_a_frame_is_simulated_was_exposed_after_its_trigger_and_cannot_be_written(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(pictures, thread)
    one, two = trigger(), trigger()
    first, second = await camera.grab(one), await camera.grab(two)
    assert camera.simulated and first.proof is Proof.SIMULATED
    assert first.seq == one.seq and first.exposed_mono_s >= one.accepted_mono_s
    assert second.frame_id > first.frame_id
    assert first.image.shape == (6, 8, 3) and first.image.dtype == np.uint8 and not first.image.flags.writeable


async def test_a_damaged_picture_costs_its_own_part_only(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    body = (pictures / "b.png").read_bytes()
    (pictures / "b.png").write_bytes(body[: len(body) // 2])
    camera = camera_of(pictures, thread)
    assert await shown(camera, trigger, 1) == [10]
    with pytest.raises(CameraError, match=r"b\.png cannot be read") as caught:
        await camera.grab(trigger())
    assert not isinstance(caught.value, CameraLost)
    assert await shown(camera, trigger, 1) == [30]


async def test_a_picture_above_max_megapixels_costs_its_own_part_only(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    PIL.Image.new("RGB", (100, 100)).save(pictures / "a.bmp")
    camera = camera_of(pictures, thread, max_megapixels=0.001)
    with pytest.raises(CameraError, match="100 x 100 pixels by its header"):
        await camera.grab(trigger())
    assert await shown(camera, trigger, 1) == [20]


async def test_pictures_that_come_later_are_shown_at_their_place_and_removed_ones_are_not(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(pictures, thread)
    assert await shown(camera, trigger, 1, 1) == [10, 20]
    put(pictures, "bb.png", 25)
    assert await shown(camera, trigger, 1) == [25]
    (pictures / "c.tiff").unlink()
    assert await shown(camera, trigger, 1) == [10]


async def test_a_folder_at_rest_is_not_listed_again_and_a_change_is_still_seen(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    is_picture = folder_module._is_picture
    monkeypatch.setattr(folder_module, "_is_picture", lambda path: bool(looked.append(path)) or is_picture(path))
    os.utime(pictures, ns=(10**18, 10**18))
    camera = camera_of(pictures, thread)
    await shown(camera, trigger, 1, 1, 1)
    assert len(looked) == 6  # every entry once
    put(pictures, "bb.png", 25)
    assert await shown(camera, trigger, 1, 1) == [10, 20]
    assert await shown(camera, trigger, 1) == [25]


async def test_a_missing_or_empty_folder_says_what_to_do_and_recovers(
    tmp_path: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    folder = tmp_path / "later"
    camera = camera_of(folder, thread)
    with pytest.raises(CameraLost, match=r"later cannot be read \(No such file .*\): correct \[camera\] folder"):
        await camera.alive()
    folder.mkdir()
    with pytest.raises(CameraLost, match="holds no JPEG, PNG, BMP or TIFF picture: copy some there"):
        await camera.alive()
    with pytest.raises(CameraLost, match="holds no"):
        await camera.grab(trigger())
    put(folder, "one.png", 10)
    await camera.alive()
    assert await shown(camera, trigger, 1) == [10]


async def test_a_picture_that_takes_too_long_is_a_timeout_and_never_the_next_parts_frame(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(pictures, thread, grab_timeout_s=0.05)
    busy = threading.Event()
    held = thread.submit(busy.wait, LONG_S)  # the disk does not answer
    late = trigger()
    with pytest.raises(CameraTimeout, match=r"no picture within 0\.05 s"):
        await camera.grab(late)
    busy.set()
    held.result(LONG_S)
    camera.grab_timeout_s = 30
    after = trigger()
    frame = await camera.grab(after)
    assert frame.seq == after.seq and frame.exposed_mono_s >= after.accepted_mono_s


async def test_pixels_are_decoded_on_the_cameras_thread(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[str] = []
    read = folder_module.read_picture

    def noted(file: Path, **how: float) -> object:
        where.append(threading.current_thread().name)
        return read(file, **how)

    def left(file: Path, **how: float) -> None:
        where.append(threading.current_thread().name)

    monkeypatch.setattr(folder_module, "read_bitmap", left)
    monkeypatch.setattr(folder_module, "read_picture", noted)
    await camera_of(pictures, thread).grab(trigger())
    assert where == ["camera", "camera"]


async def test_a_look_shows_what_the_next_part_gets_and_takes_nothing_from_it(
    pictures: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(pictures, thread)
    assert [int((await camera.look()).image[0, 0, 0]) for _ in range(3)] == [10, 10, 10]
    assert await shown(camera, trigger, 1, 1) == [10, 20]
    assert int((await camera.look()).image[0, 0, 0]) == 30
    assert await shown(camera, trigger, 1) == [30]
    by_id = camera_of(pictures, thread, pick="part_id")
    assert int((await by_id.look()).image[0, 0, 0]) == 10
    assert await shown(by_id, trigger, 2) == [20]
    assert int((await by_id.look()).image[0, 0, 0]) == 20, "the part that was there last"
