"""The counts of the real daemon against DIAG.TRIGGERS, PLC_PART_COUNT and SQL, over lots, a reset and a kill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inspector.control import ControlError, connect_control
from inspector.demo.parts import Kind
from plc.registers import DIAG
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


async def told_triggers(line: LiveLine, wanted: int) -> None:
    """DIAG, which is written once a second, comes to say so."""
    offset = DIAG.base + DIAG["TRIGGERS"].offset

    def told() -> bool:
        high, low = line.sim.memory.words[offset : offset + 2]
        return high << 16 | low == wanted

    assert await line.until(told, SHOWN_S), line.sim.memory.words[offset : offset + 2]


async def plc_parts(line: LiveLine, **wanted: int) -> None:
    """Each scope comes to count so many of the PLC's parts."""
    async with asyncio.timeout(SHOWN_S):
        while {scope: (await tally(line, scope))["plc_parts"] for scope in wanted} != wanted:
            await line.sim.idle_for(0.05)


async def test_the_counts_grow_with_diag_triggers_and_a_part_that_only_the_plc_counted_is_an_alarm(tmp_path: Path):
    good, bad = parts_of(Kind.GOOD), parts_of(Kind.EMPTY)
    async with live_line(tmp_path) as line:
        # It began half a day ago, so that none begins while this runs.
        shift = (datetime.now() - timedelta(hours=12)).replace(minute=0, second=0, microsecond=0)
        line.configure(more=f'\n[counts]\nshifts = ["{shift:%H:%M}"]\n')
        await line.start()
        await line.sim.play([NewPart(next(good), lot="A"), NewPart(next(bad), lot="A"), NewPart(next(good), lot="B")])
        await line.sim.play([NewPart(next(bad), lot="B", test_part=True)])
        line.sim.next_id -= 1  # the PLC repeats an id
        await line.sim.play([NewPart(next(good), lot="B")])
        await shows(line, "lot", triggers=3, test=1)
        assert (await tally(line, "lot"))["key"] == "B"
        await shows(line, "reset", **counted(line.db, lambda row: True))
        await told_triggers(line, 5)
        assert (await tally(line, "reset"))["counts"]["triggers"] == 5
        await plc_parts(line, reset=5, lot=3)

        with pytest.raises(ControlError, match="station"):
            await reset(line, station="st9")
        await reset(line, why="new coil")
        await line.clear_error()
        await line.sim.play([NewPart(next(good), lot="B")])
        await shows(line, "reset", triggers=1)
        await shows(line, "lot", triggers=4)
        await told_triggers(line, 6)  # a reset by a person is none of the PLC's

        assert line.process is not None
        line.process.kill()
        await line.process.wait()
        while line.sim.program.heartbeat_ok(time.monotonic()):
            await line.sim.idle_for(0.05)  # until the PLC has seen that nobody is there
        line.sim.ctrl["PLC_PART_COUNT"] += 2
        await line.start()
        await line.ready()
        await line.sim.play([NewPart(next(good), lot="A")])
        await shows(line, "shift", triggers=7)
        began_ms = 1000 * shift.timestamp()
        await shows(line, "shift", **counted(line.db, lambda row: row["opened_utc_ms"] >= began_ms))
        await shows(line, "lot", **counted(line.db, lambda row: row["running_lot"] == "A"))
        await shows(line, "reset", triggers=2, **{"pass": 2})
        await told_triggers(line, 1)  # of this life
        assert len(line.checked()) == 5 + 1 + 1
        alarm = await line.alarm("the PLC counted 2 parts more than it triggered", ALARM_S)
        assert alarm["id"] == "part_count"
        assert (await line.status())["part_difference"] == 2
        await plc_parts(line, reset=4)
        await reset(line)
        async with asyncio.timeout(ALARM_S):
            while "part_count" in [a["id"] for a in (await line.status())["alarms"]]:
                await line.sim.idle_for(0.05)
