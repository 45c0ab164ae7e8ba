"""The counts of the real daemon against DIAG.TRIGGERS, PLC_PART_COUNT and SQL, over lots, a reset and a kill."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from inspector.control import ControlError, connect_control
from inspector.demo.parts import Kind
from plc.sim import NewPart
from tests.support.counted import counted
from tests.support.live_line import LiveLine, live_line, parts_of

pytestmark = [pytest.mark.system, pytest.mark.slow]
SHOWN_S, ALARM_S = 60.0, 60.0


async def tally(line: LiveLine, scope: str) -> Mapping[str, Any]:
    return {t["scope"]: t for t in (await line.status())["tallies"]}[scope]


async def reset(line: LiveLine, **params: str) -> Any:
    async with connect_control(line.folder / "run" / "control.sock", "anna") as control:
        return await control.call("reset_counts", {"station": "st1", "why": "", **params})


async def shows(line: LiveLine, scope: str, **wanted: int) -> None:
    """Until the counts are those wanted, and then they are those of SQL."""
    end = time.monotonic() + SHOWN_S
    while not wanted.items() <= (counts := (await tally(line, scope))["counts"]).items():
        assert time.monotonic() < end, f"{scope}: {counts}, not {wanted}"
        await line.sim.idle_for(0.05)


async def test_the_counts_grow_with_diag_triggers_and_a_part_that_only_the_plc_counted_is_an_alarm(tmp_path: Path):
    good, bad = parts_of(Kind.GOOD), parts_of(Kind.EMPTY)
    async with live_line(tmp_path) as line:
        line.configure(more='\n[counts]\nshifts = ["00:00"]\n')
        await line.start()
        await line.sim.play([NewPart(next(good), lot="A"), NewPart(next(bad), lot="A"), NewPart(next(good), lot="B")])
        await line.sim.play([NewPart(next(bad), lot="B", test_part=True)])
        line.sim.next_id -= 1  # the PLC repeats an id
        await line.sim.play([NewPart(next(good), lot="B")])
        await shows(line, "lot", triggers=3, test=1)
        assert (await tally(line, "lot"))["key"] == "B"
        await shows(line, "reset", **counted(line.db, lambda row: True))
        first_life = (await line.counted())["TRIGGERS"]
        assert (await tally(line, "reset"))["counts"]["triggers"] == first_life == 5
        assert [(await tally(line, scope))["plc_parts"] for scope in ("reset", "lot")] == [5, 3]

        with pytest.raises(ControlError, match="station"):
            await reset(line, station="st9")
        await reset(line, why="new coil")
        await line.clear_error()
        await line.sim.play([NewPart(next(good), lot="B")])
        await shows(line, "reset", triggers=1)
        await shows(line, "lot", triggers=4)
        assert (await line.counted())["TRIGGERS"] == 6, "a reset by a person is none of the PLC's"

        assert line.process is not None
        line.process.kill()
        await line.process.wait()
        await line.sim.idle_for(2.2)  # the PLC has seen that nobody is there
        line.sim.ctrl["PLC_PART_COUNT"] += 2
        await line.start()
        await line.ready()
        await line.sim.play([NewPart(next(good), lot="A")])
        midnight_ms = 1000 * datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        await shows(line, "shift", **counted(line.db, lambda row: row["opened_utc_ms"] >= midnight_ms))
        await shows(line, "lot", **counted(line.db, lambda row: row["running_lot"] == "A"))
        await shows(line, "reset", triggers=2, **{"pass": 2})
        second_life = (await line.counted())["TRIGGERS"]
        assert first_life + 1 + second_life == len(line.checked()) == 7
        alarm = await line.alarm("the PLC counted 2 parts more than it triggered", ALARM_S)
        assert alarm["id"] == "part_count"
        status = await line.status()
        assert status["part_difference"] == 2 and (await tally(line, "reset"))["plc_parts"] == 4
        await reset(line)
        await line.sim.idle_for(1.0)
        assert "part_count" not in [a["id"] for a in (await line.status())["alarms"]]
