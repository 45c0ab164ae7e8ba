"""The rendered camera on demand: each fault is caught by the camera itself or by the frame checks, then all is well."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.cameras import rendered
from inspector.cameras.faults import Fault, FaultScript
from inspector.cameras.rendered import LATE_S, RenderedCamera
from inspector.core.clock import SystemClock
from inspector.core.errors import CameraError, CameraLost, CameraTimeout, ConfigError, FrameError
from inspector.core.manifest import ZoneLimits
from inspector.core.types import Frame, Mode, Proof, Trigger
from inspector.demo.parts import ROI
from inspector.demo.scene import HEIGHT, WIDTH
from inspector.frames import FrameGate, zone_figures
from inspector.threads import DeviceThread
from plc.registers import Reason
from tests.support.page import until
from tests.support.patience import LONG_S
from tests.unit.inspector.cameras.conftest import Hang, MakeTrigger


def camera_of(thread: DeviceThread, *entries: str) -> RenderedCamera:
    return RenderedCamera(SystemClock(), thread, grab_timeout_s=0.02, faults=FaultScript.parse(entries))


def gate_around(frame: Frame) -> FrameGate:
    """A gate whose only zone is qualified on this frame, as narrow as parts that vary allow."""
    x, y, w, h = ROI
    zones = [
        ZoneLimits(
            name, box, *((0.7 * value, 1.3 * value) for value in zone_figures(frame.image[y : y + h, x : x + w], box))
        )
        for name, box in {"left-top": (0, 0, w // 2, h // 2), "all": (0, 0, w, h)}.items()
    ]
    return FrameGate((HEIGHT, WIDTH), ROI, zones, Mode.INSPECT)


async def checked(camera: RenderedCamera, gate: FrameGate, trigger: Trigger) -> Frame:
    return gate.check(await camera.grab(trigger), trigger)


async def test_a_part_looks_the_same_each_time_it_comes_and_each_is_a_new_exposure(
    thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(thread)
    first = await camera.grab(trigger(5))
    gate = gate_around(first)
    again, other = await checked(camera, gate, trigger(5)), await checked(camera, gate, trigger(5))
    assert (again.image == first.image).all() and other.frame_id > again.frame_id > first.frame_id
    assert camera.simulated and first.proof is Proof.SIMULATED and not first.image.flags.writeable


@pytest.mark.parametrize(
    ("fault", "reason", "text"),
    [
        (Fault.TIMEOUT, Reason.CAMERA, "no frame within 0.02 s"),
        (Fault.HALF_FRAME, Reason.CAMERA, "frame incomplete"),
        (Fault.FROZEN, Reason.CAMERA, "frozen"),
        (Fault.BUFFERED, Reason.CAMERA, "exposed before its trigger"),
        (Fault.STALE, Reason.CAMERA, "exposed before its trigger"),
        (Fault.WRONG_SIZE, Reason.CAMERA, "picture is"),
        (Fault.BLACK, Reason.IMAGE_QUALITY, "brightness"),
        (Fault.OVEREXPOSED, Reason.IMAGE_QUALITY, "zone"),
        (Fault.LAMP_DEAD, Reason.IMAGE_QUALITY, "zone left-top: brightness"),
    ],
)
async def test_a_fault_costs_its_own_part_and_the_next_part_is_fine(
    fault: Fault, reason: Reason, text: str, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(thread, "none", "none", fault)
    gate = gate_around(await camera.grab(trigger(1)))
    await checked(camera, gate, trigger(1))
    with pytest.raises((CameraError, FrameError), match=text) as caught:
        await checked(camera, gate, trigger(1))
    assert caught.value.reason is reason and not isinstance(caught.value, CameraLost)
    await camera.alive()
    await checked(camera, gate, trigger(1))


async def test_a_frame_out_of_the_queue_shows_the_part_before(thread: DeviceThread, trigger: MakeTrigger) -> None:
    camera = camera_of(thread, "none", "buffered")
    before = await camera.grab(trigger(1))
    late = await camera.grab(trigger(2))
    assert (late.image == before.image).all() and late.exposed_mono_s == before.exposed_mono_s


async def test_a_late_frame_is_thrown_away_and_never_the_next_parts_frame(
    thread: DeviceThread, trigger: MakeTrigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, loop = camera_of(thread, "late"), asyncio.get_running_loop()
    now_s = camera.clock.monotonic_s()
    late = Trigger(1, 1, now_s + 0.05, now_s)

    def sleep(seconds: float) -> None:
        loop.call_soon_threadsafe(deadline.reschedule, late.deadline_mono_s)  # the driver is at it
        time.sleep(seconds)

    monkeypatch.setattr(rendered, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            await camera.grab(late)
    after = trigger(2)
    frame = await camera.grab(after)
    assert frame.seq == after.seq and frame.exposed_mono_s >= after.accepted_mono_s
    assert camera.clock.monotonic_s() >= late.deadline_mono_s + LATE_S  # it had to wait until the driver was free
    assert (frame.image == (await camera.grab(trigger(2))).image).all()


async def test_a_driver_that_hangs_makes_no_turn_until_the_process_ends(
    thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(thread, "hang")
    camera._closed = hang = Hang()
    grab = asyncio.create_task(camera.grab(trigger()))
    await until(hang.begun.is_set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await camera.alive()
    assert not grab.done() and threading.active_count() > 1
    camera.close()
    with pytest.raises(CameraLost, match="closed while its driver hung"):
        await grab


async def test_an_unplugged_camera_stays_lost_until_it_is_plugged_in(
    thread: DeviceThread, trigger: MakeTrigger
) -> None:
    camera = camera_of(thread, "lost")
    await camera.alive()
    for _ in range(2):
        with pytest.raises(CameraLost, match="link lost"):
            await camera.grab(trigger())
        with pytest.raises(CameraLost, match="link lost"):
            await camera.alive()
    camera.replug()
    await camera.alive()
    await camera.grab(trigger())


async def test_whoever_makes_the_file_pulls_the_plug_and_whoever_removes_it_puts_it_in(
    tmp_path: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    unplugged = tmp_path / "unplugged"
    camera = camera_of(thread, f"lost while {unplugged}", "half_frame")
    await camera.alive()
    unplugged.touch()
    with pytest.raises(CameraLost, match="link lost"):
        await camera.alive()
    with pytest.raises(CameraLost, match="link lost"):
        await camera.grab(trigger())
    unplugged.unlink()
    await camera.alive()
    with pytest.raises(CameraError, match="incomplete"):  # nothing was taken from the queue meanwhile
        await camera.grab(trigger())
    await camera.grab(trigger())


async def test_any_fault_may_stand_for_a_while(tmp_path: Path, thread: DeviceThread, trigger: MakeTrigger) -> None:
    file = tmp_path / "slow"
    camera = camera_of(thread, f"timeout while {file}")
    file.touch()
    for _ in range(2):
        with pytest.raises(CameraTimeout):
            await camera.grab(trigger())
    file.unlink()
    await camera.grab(trigger())


@pytest.mark.parametrize("entry", ["rebooted", "rebooted while {}"])
async def test_a_camera_that_started_anew_is_not_ready_and_says_which_setting_differs(
    entry: str, tmp_path: Path, thread: DeviceThread, trigger: MakeTrigger
) -> None:
    file = tmp_path / "defaults"
    file.touch()
    camera = camera_of(thread, entry.format(file))
    with pytest.raises(CameraLost, match="exposure is 10000 for 500"):
        await camera.grab(trigger())
    with pytest.raises(CameraLost, match="exposure is 10000 for 500"):
        await camera.alive()
    file.unlink()
    camera.replug()
    await camera.alive()
    await camera.grab(trigger())


async def test_a_render_does_not_hold_up_the_loop(
    thread: DeviceThread, trigger: MakeTrigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, turned, render = threading.Event(), threading.Event(), rendered.render

    def slow(*of: Any, **how: Any) -> Any:
        begun.set()
        assert turned.wait(LONG_S), "the loop waits for the picture"
        return render(*of, **how)

    monkeypatch.setattr(rendered, "render", slow)
    grab = asyncio.create_task(camera_of(thread).grab(trigger()))
    await until(begun.is_set)
    turned.set()
    await grab


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("unplugged", "there is no 'unplugged', only none, timeout, late, hang"),
        ("lost while relative/file", "'lost while relative/file' needs the absolute path"),
        ("lost while ", "needs the absolute path"),
        ("gone while /run/x", "there is no 'gone'"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(entry: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        FaultScript.parse([entry])


async def test_a_look_uses_up_no_fault_and_shows_the_last_part_in_the_light_of_now(
    thread: DeviceThread, trigger: MakeTrigger, tmp_path: Path
) -> None:
    dark = tmp_path / "dark"
    camera = camera_of(thread, "none", "timeout", f"black while {dark}", f"lost while {tmp_path / 'unplugged'}")
    first = await camera.grab(trigger(9))
    assert (await camera.look()).image.tobytes() == first.image.tobytes()
    with pytest.raises(CameraTimeout):
        await camera.grab(trigger(9))
    dark.touch()
    assert (await camera.look()).image.max() < first.image.max() / 2
    (tmp_path / "unplugged").touch()
    with pytest.raises(CameraLost):
        await camera.look()
