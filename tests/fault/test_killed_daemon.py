"""The real daemon, killed at each stage of a cycle and started again."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from inspector.demo.parts import Kind, kind_of
from inspector.demo.processes import config_text, daemon
from plc.sim import SimPlc
from tests.support.faulty_line import PATIENT, patient
from tests.support.invariants import check

GOOD_PARTS = [p for p in range(1, 60) if kind_of(p) is Kind.GOOD]
STAGES = ("accepted", "opening", "grabbed", "checked", "predicted", "judged", "decided", "published", "stamped")


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
async def test_a_daemon_killed_mid_cycle_never_passes_the_part_in_flight(tmp_path, stage):
    sim = SimPlc(PATIENT)
    await sim.start()
    try:
        config = tmp_path / "station.toml"
        broken = f'\n[test]\nfailpoints = {{ {stage} = "kill@2" }}\n'
        config.write_text(patient(config_text(sim.port, tmp_path, broken)))
        async with daemon(config) as first:
            before, hit = await sim.play(GOOD_PARTS[:2])
            assert await first.wait() == -9, "the failpoint was never reached"
        config.write_text(patient(config_text(sim.port, tmp_path)))
        async with daemon(config):
            (after,) = await sim.play(GOOD_PARTS[2:3])
    finally:
        await sim.close()
    assert before.verdict == "good"
    assert after.verdict == "good", "not READY again"
    if stage not in ("published", "stamped"):  # there the PLC had been told already
        assert hit.verdict == "reject"
    rows = check(tmp_path / "state" / "results.db", map(asdict, sim.results))
    assert before.trigger_id in [r["trigger_id"] for r in rows]
