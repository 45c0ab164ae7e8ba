"""Where make bench says that a cycle's time goes: played with a PLC and a daemon that the test writes itself."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path

import apsw
import pytest

from inspector.failpoints import POINTS
from plc.images import Image, record_xor
from plc.registers import CTRL, SIGNATURE, STAT, Control, Status
from plc.sim import SimConfig
from plc.wire import Wire
from tests.bench.stages import OF_THE_RECORD, Seen, WatchedPlc, stages_s
from tests.support.invariants import STAGES_OF_A_PASS
from tests.support.links import LONG_S

BESIDE = "first commit, beside the rest"
STAMPS = {  # milliseconds since accept
    "trigger": 0.0, "accepted": 0.5, "opening": 0.6, "opened": 2.1, "grabbed": 1.6, "checked": 1.9, "cropped": 2.0,
    "predicted": 12.0, "judged": 12.1, "decided": 13.1, "publishing": 13.6,
}  # fmt: skip


def record(folder: Path, *lives: dict[int, dict[str, float]]) -> Path:
    """A results.db with the two tables that are read; one dict of stamps by trigger id for each life."""
    file = folder / "results.db"
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE boots (boot INTEGER); CREATE TABLE inspections (boot, kind, trigger_id, stages)")
    for boot, parts in enumerate(lives, 1):
        db.execute("INSERT INTO boots VALUES (?)", (boot,))
        for trigger_id, stamps in parts.items():
            db.execute("INSERT INTO inspections VALUES (?, 'accepted', ?, ?)", (boot, trigger_id, json.dumps(stamps)))
    db.close()
    return file


def test_the_stages_of_a_part_add_up_to_its_cycle(tmp_path: Path) -> None:
    seen = Seen(7, edge_s=100.0, polled_s=100.0011, flags_s=100.0151, valid_s=100.0156)
    found = stages_s([seen], record(tmp_path, {7: STAMPS}))
    assert found["infer"] == [pytest.approx(0.010)]
    assert found[BESIDE] == [pytest.approx(0.0016)]
    assert sum(values[0] for name, values in found.items() if name != BESIDE) == pytest.approx(seen.cycle_s)


def test_ids_of_a_former_life_are_not_taken_for_this_one(tmp_path: Path) -> None:
    slow = {**STAMPS, "predicted": 99.0}
    found = stages_s([Seen(1, 0.0, 0.001, 0.015, 0.016)], record(tmp_path, {1: slow}, {1: STAMPS}))
    assert found["infer"] == [pytest.approx(0.010)]


def test_every_stage_of_the_record_is_stamped_by_the_line() -> None:
    used = {stamp for span in OF_THE_RECORD.values() for stamp in span}
    assert used == set(STAMPS)
    assert used - {"trigger", "opened", "publishing", "cropped"} <= set(POINTS)
    assert {"grabbed", "checked", "cropped", "predicted", "judged"} == set(STAGES_OF_A_PASS) < used


async def test_the_watched_plc_says_when_it_was_polled_and_when_the_flags_came() -> None:
    patience = {"ack_timeout_s": LONG_S, "result_timeout_s": LONG_S, "heartbeat_timeout_s": LONG_S}
    plc = WatchedPlc(SimConfig(scan_s=0.001, ready_timeout_s=LONG_S, **patience))
    await plc.start()
    wire = await Wire.connect("127.0.0.1", plc.port, 1, LONG_S, lambda: 0.0, deque())
    try:
        stat = Image(STAT)
        stat["STAT_SIGNATURE"] = SIGNATURE + 1

        async def poll_and_answer() -> None:
            """What a daemon does, in its barest form: beat, take the trigger, write record and flags, clear them."""
            stat["STATUS"] = Status.ONLINE | Status.TRIGGER_READY
            while True:
                stat["HEARTBEAT"] += 1
                await wire.write(STAT.base, list(stat.words))
                ctrl = Image(CTRL, await wire.read(CTRL.base, CTRL.size))
                if Control(ctrl["CONTROL"]) & Control.TRIGGER:
                    break
            stat["RES_TRIGGER_ID"] = stat["TRIGGER_ID_ACK"] = ctrl["TRIGGER_ID"]
            stat["RESULT_CODE"], stat["RES_SEQ"], stat["RES_SEQ_TAIL"] = 1, 1, 1
            stat["RES_XOR"] = record_xor(stat)
            await wire.write(STAT.base, list(stat.words))
            stat["STATUS"] = Status.ONLINE | Status.TRIGGER_ACK | Status.RESULTS_VALID | Status.PASS
            await wire.write(STAT.base, list(stat.words))
            while not Control(Image(CTRL, await wire.read(CTRL.base, CTRL.size))["CONTROL"]) & Control.RESULTS_ACK:
                pass
            stat["STATUS"] = Status.ONLINE
            await wire.write(STAT.base, list(stat.words))

        answering = asyncio.create_task(poll_and_answer())
        result = await plc.inspect(1)
        await answering
        seen = plc.seen(result)
        assert result.verdict == "good"
        assert seen.edge_s <= seen.polled_s < seen.flags_s <= seen.valid_s
    finally:
        wire.abort()
        await plc.close()
