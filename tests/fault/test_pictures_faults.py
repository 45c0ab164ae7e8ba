"""Pictures that must not be judged, or not of this moment, in the real daemon with the demo's own bundle.

Numbers are those of the fault campaign.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice, repeat
from pathlib import Path

import cv2
import pytest
import pytest_asyncio

from inspector.cameras.faults import Fault
from inspector.demo.parts import NEGATIVES, Kind, render
from inspector.demo.scene import Light
from plc.registers import OfflineReason, Reason, Status2, Verdict
from plc.sim import SimConfig
from tests.support.alarms import action_of
from tests.support.live_line import (
    DEMO,
    READY_AGAIN_S,
    RENDERED,
    START_S,
    LiveLine,
    broken,
    live_line,
    parts_of,
    standing,
)

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

QUALITY, NO_PART, SIMULATED = (
    (Verdict.NOT_INSPECTED, reason) for reason in (Reason.IMAGE_QUALITY, Reason.NO_PART, Reason.SIMULATED)
)
AT_A_REAL_PLC = SimConfig(
    simulator=False, ack_timeout_s=8, result_timeout_s=10, heartbeat_timeout_s=4, ready_timeout_s=START_S
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveLine]:
    folder = tmp_path_factory.mktemp("pictures")
    faults = standing(folder, Fault.BLACK, Fault.OVEREXPOSED, Fault.LAMP_DEAD, Fault.REBOOTED)
    async with live_line(folder) as line:
        line.configure(bundle=DEMO, more=broken(camera=faults))
        await line.start()
        await line.ready()
        yield line


@pytest.mark.parametrize("kind", NEGATIVES)
async def test_an_empty_belt_half_a_part_and_a_wrong_part_are_not_inspected_and_never_pass(line, kind):
    """Row 61."""
    for part_id in islice(parts_of(kind), 5):
        result = await line.fairly(repeat(part_id))
        assert (result.code, result.reason) in (QUALITY, NO_PART)
        assert (await line.told_row(result))["published_code"] == Verdict.NOT_INSPECTED
    await line.good()


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        pytest.param(Fault.BLACK, "brightness 0.", id="row 6: lens cap"),
        pytest.param(Fault.OVEREXPOSED, "is outside", id="row 7: lamp stuck"),
    ],
)
async def test_a_picture_without_light_or_with_too_much_is_no_verdict_of_the_model_and_an_alarm(line, fault, text):
    """Rows 6 and 7, I6. A defect would be a FAIL of the model: here it is none either."""
    with line.fault(fault):
        for part_id in (line.next_good(), next(parts_of(Kind.STAIN))):
            result = await line.fairly(repeat(part_id))
            assert (result.code, result.reason) == QUALITY
            assert line.row(result)["confidence"] is None
        alarm = await line.alarm("picture not fit to be judged")
        told = [part["measured"] for part in await line.act("recent", station="st1")]
    assert text in alarm["cause"] and "lamps" in action_of(alarm)
    assert len(told) >= 2 and text in told[0] and text in told[1], "the screen says what was measured in each"
    await line.good()
    assert (await line.act("recent", station="st1"))[0]["measured"] == ""
    await line.no_alarm()  # one good picture ends it


async def test_a_dead_lamp_of_several_refuses_pictures_raises_an_alarm_and_lets_no_defect_pass(line):
    """Row 62. Contrast falls, and scores may look better: the limits of each zone have two sides."""
    with line.fault(Fault.LAMP_DEAD):
        good = [await line.fairly(line.goods) for _ in range(10)]
        refused = [result for result in good if (result.code, result.reason) == QUALITY]
        assert len(refused) >= 8, "single lamps scatter: a picture now and then is still inside all limits"
        defects = [next(parts_of(k)) for k in (Kind.SCRATCH, Kind.DENT, Kind.MISSING_HOLE, Kind.STAIN)]
        for part_id in defects:
            assert (await line.play(part_id)).verdict == "reject"
        alarm = await line.alarm("picture not fit to be judged")
    assert "zone" in alarm["cause"]
    await line.good()


async def test_a_camera_that_started_anew_with_settings_of_its_own_is_not_ready_until_they_are_right_again(line):
    """Row 63, I6."""
    await line.good()
    with line.fault(Fault.REBOOTED):
        alarm = await line.not_ready(OfflineReason.CAMERA, "settings read back differ")
        assert "exposure is 10000 for 500" in alarm["cause"]
        told = await line.answer(line.raise_trigger(line.next_good()))
        assert told == (Verdict.NOT_INSPECTED, Reason.CAMERA), "a part that comes all the same"
    await line.ready(READY_AGAIN_S)
    await line.good()


async def test_every_part_of_that_line_has_one_row(line):
    """I1, I2 and I3 over all of the above."""
    counted, rows = await line.counted(), line.checked()
    assert counted["TRIGGERS"] == len(rows) == len(line.sim.results) + len(line.held)


async def test_lamps_that_decay_are_an_alarm_before_the_first_picture_is_refused(tmp_path):
    """Row 8."""
    lights = [*[1.0] * 12, *[0.87] * 22, *[0.7] * 3]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, exposure in enumerate(lights):
        picture = render(number, Kind.GOOD, light=Light(exposure=exposure)).image
        cv2.imwrite(str(pictures / f"{number:03d}.png"), picture[..., ::-1])
    async with live_line(tmp_path) as line:
        line.configure(bundle=DEMO, camera=f'kind = "folder"\nfolder = "{pictures}"\npick = "part_id"')
        await line.start()
        as_qualified = [await line.fairly(repeat(number)) for number in range(1, 13)]
        await line.sim.idle_for(0.6)
        await line.no_alarm()
        weaker = [await line.fairly(repeat(number)) for number in range(13, 35)]
        alarm = await line.alarm("nears its lower limit")
        assert "zone" in alarm["cause"] and "lamps" in action_of(alarm) and (await line.status())["ready"]
        dark = [await line.fairly(repeat(number)) for number in range(35, 38)]
        line.checked()
    assert QUALITY not in [(r.code, r.reason) for r in (*as_qualified, *weaker)]
    assert [(r.code, r.reason) for r in dark] == [QUALITY] * 3


@pytest.mark.parametrize("camera", ["rendered", "folder"])
async def test_pictures_that_are_not_of_this_moment_never_pass_at_a_real_plc(tmp_path, camera):
    """Row 65: a rendered or folder camera that was left in a production configuration."""
    async with live_line(tmp_path, AT_A_REAL_PLC) as line:
        line.configure(camera=RENDERED if camera == "rendered" else replayed(tmp_path / "pictures"))
        await line.start()
        for part_id in (1, 2):
            result = await line.fairly(repeat(part_id))
            assert (result.verdict, (result.code, result.reason)) == ("reject", SIMULATED)
            assert line.codes_told(result.trigger_id) == [SIMULATED]
            assert line.row(result)["published_reason"] == Reason.SIMULATED
        stat = line.sim.stat()
        assert stat["STATUS2"] & Status2.SIMULATION and stat["RESULT_FLAGS"] & 2
        assert (await line.status())["simulated"], "the page's banner"


def replayed(pictures: Path) -> str:
    pictures.mkdir()
    for part_id in (1, 2):
        cv2.imwrite(str(pictures / f"{part_id}.png"), render(part_id, Kind.GOOD).image[..., ::-1])
    return f'kind = "folder"\nfolder = "{pictures}"'
