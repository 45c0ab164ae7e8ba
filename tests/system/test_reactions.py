"""The real daemon over Modbus: a part's acknowledge and the PLC's own verdict arrive on its row, or are not known."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.web.reactions import disagrees
from inspector.web.stages import AGREE_WITHIN_MS, ends_of, sum_ms
from plc.registers import Verdict
from tests.support.invariants import Row, rows_of
from tests.support.live_line import START_S, LiveLine, live_line

pytestmark = [pytest.mark.system, pytest.mark.slow]
F7 = {
    "trigger", "opened", "exposing", "exposed", "grabbed", "checked", "cropped", "predicted", "judged", "decided",
    "publishing", "published",
}  # fmt: skip
ON_RECORD_S = 4.0  # a tick of health, then the next commit: the store's own beat at the latest


def row_of(line: LiveLine, trigger_id: int) -> Row:
    return next(row for row in rows_of(line.db) if row["trigger_id"] == trigger_id)


async def comes(line: LiveLine, trigger_id: int, true: Callable[[Row], bool]) -> Row:
    """Until the row says so."""
    assert await line.until(lambda: true(row_of(line, trigger_id)), ON_RECORD_S), dict(row_of(line, trigger_id))
    return row_of(line, trigger_id)


async def test_what_the_plc_did_with_each_part_stands_on_its_row_and_not_known_where_the_daemon_died(tmp_path: Path):
    async with live_line(tmp_path) as line:
        line.configure()
        await line.start()
        await line.ready()

        began_s, passed = time.monotonic(), await line.good()
        row = await comes(line, passed.trigger_id, lambda row: None not in (row["ack"], row["plc_verdict"]))
        assert (row["ack"], row["plc_verdict"], disagrees(row)) == ("acknowledged", 1, False)
        took_ms = 1000 * (time.monotonic() - began_s)
        assert 0 < row["ack_ms"] < took_ms and 0 < row["plc_verdict_ms"] < took_ms
        stages = json.loads(row["stages"])
        assert set(stages) >= F7 and abs((sum_ms(ends_of(row)) or 0.0) - row["elapsed_ms"]) <= AGREE_WITHIN_MS
        assert stages["publishing"] <= stages["published"] and "acknowledged" in ends_of(row)
        told_s, said_s = row["published_utc_ms"] / 1000, row["plc_verdict_utc_ms"] / 1000
        assert said_s - told_s == pytest.approx(row["plc_verdict_ms"] / 1000, abs=0.05)

        # the PLC overrules a PASS: its own reject is on record, and that it disagrees
        line.sim.ctrl["PLC_VERDICT"] = 2
        row = await comes(line, passed.trigger_id, lambda row: row["plc_verdict"] == 2)
        assert row["published_code"] == Verdict.PASS and disagrees(row)

        # killed between result and acknowledge
        await line.ready()
        held = line.raise_trigger(line.next_good())
        assert await line.until(lambda: line.sim.stat()["RES_TRIGGER_ID"] == held.trigger_id, START_S)
        assert line.process is not None
        line.process.send_signal(signal.SIGKILL)
        await line.process.wait()
        await line.start()
        await line.answer(held)
        await line.ready()
        after = await line.good()
        row = await comes(line, after.trigger_id, lambda row: row["ack"] is not None)
        assert row["ack"] == "acknowledged"
        row = row_of(line, held.trigger_id)
        assert (row["ack"], row["ack_ms"], row["plc_verdict"], row["plc_verdict_ms"]) == (None,) * 4
        line.checked()
