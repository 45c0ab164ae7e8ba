"""The whole daemon shown what must never pass: no whole part, a camera with wrong settings, a simulation."""

from __future__ import annotations

import pytest

from inspector.demo.parts import Kind
from plc.registers import OfflineReason, Reason, Verdict
from plc.sim import SimConfig
from tests.support.faulty_line import faulty_line, parts_of

pytestmark = [pytest.mark.fault, pytest.mark.slow]

GOOD = parts_of(Kind.GOOD)


async def test_an_empty_belt_half_a_part_and_a_wrong_part_are_not_inspected(tmp_path):
    """Fault row 61."""
    negatives = [ids for kind in (Kind.EMPTY, Kind.HALF_PART, Kind.WRONG_PART) for ids in parts_of(kind)[:4]]
    async with faulty_line(tmp_path) as line, line.start():
        results = await line.sim.play(negatives)
    assert {r.code for r in results} == {Verdict.NOT_INSPECTED}
    assert {r.reason for r in results} <= {Reason.NO_PART, Reason.IMAGE_QUALITY}
    line.checked()


async def test_a_camera_that_started_anew_with_settings_of_its_own_takes_ready_away(tmp_path):
    """Fault row 63: its settings read back differently."""
    async with faulty_line(tmp_path) as line, line.start(["none", "rebooted"]):
        passed, hit = await line.sim.play(GOOD[:2])
        status = await line.told(OfflineReason.CAMERA, "camera")
    assert (passed.verdict, hit.verdict) == ("good", "reject")
    assert (hit.code, hit.reason) == (Verdict.NOT_INSPECTED, Reason.CAMERA)
    assert "read back" in status["alarms"][0]["cause"]
    line.checked()


async def test_a_rendered_camera_never_passes_a_part_of_a_real_plc(tmp_path):
    """Fault row 65: a simulated camera left in a production configuration."""
    production = SimConfig(simulator=False, ack_timeout_s=2, result_timeout_s=5, ready_timeout_s=25)
    async with faulty_line(tmp_path, production) as line, line.start():
        results = await line.sim.play(GOOD[:3])
    assert [(r.code, r.reason) for r in results] == [(Verdict.NOT_INSPECTED, Reason.SIMULATED)] * 3
    line.checked()
