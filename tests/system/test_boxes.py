"""One daemon with several stations, and one that the PLC finds by itself: the whole path over real Modbus."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import apsw
import pytest

from inspector.control import ControlError, connect_control
from inspector.demo.processes import daemon, last_words
from plc.registers import Command, CommandResult, Control, OfflineReason, Status
from plc.sim import SimConfig
from plc.sim_client import SimClientPlc
from tests.support.boxes import (
    EMPTY,
    GOOD,
    PATIENT,
    START_S,
    beside,
    play,
    ready,
    station,
    two_stations,
    until,
    write_box,
)

pytestmark = pytest.mark.system
SWAPPED = "does not echo our heartbeat"


def rows(folder: Path) -> list[tuple[str, int, int, int, str]]:
    """(station, trigger id, code told, recipe, delivery)."""
    db = apsw.Connection(str(folder / "state" / "results.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(
            db.execute("SELECT station, trigger_id, published_code, recipe, delivery FROM inspections ORDER BY no")
        )
    finally:
        db.close()


async def test_two_stations_in_one_daemon_judge_change_over_and_fail_each_by_itself(tmp_path):
    lost = tmp_path / "unplugged"
    faults = f'[test]\nfaulty_camera = "cam2"\ncamera_faults = ["lost while {lost}"]'
    async with two_stations(tmp_path, [station(1), station(2)], faults) as (one, two):
        assert await until([one, two], lambda: ready(one) and ready(two)), last_words(tmp_path / "daemon.log")
        parts = [*GOOD[:6], EMPTY[0]]
        results = await asyncio.gather(play(one, parts), play(two, parts))
        assert [[r.verdict for r in of] for of in results] == [["good"] * 6 + ["reject"]] * 2, results

        # station 2 alone changes over; station 1 goes on meanwhile
        two.ctrl["CONTROL"] = Control(0)
        assert await until([one, two], lambda: not two.stat()["STATUS"] & (Status.TRIGGER_READY | Status.SYSTEM_BUSY))
        two.ctrl["COMMAND"], two.ctrl["COMMAND_ARG"], two.ctrl["COMMAND_ID"] = Command.PREPARE_RECIPE, 2, 1
        two.ctrl["CONTROL"] = Control.EXECUTE_COMMAND
        meanwhile = await beside(two, play(one, GOOD[6:10]))
        assert [r.verdict for r in meanwhile] == ["good"] * 4
        assert await until([one, two], lambda: two.stat()["STATUS"] & Status.COMMAND_COMPLETED)
        assert [p.stat()["ACTIVE_RECIPE"] for p in (one, two)] == [1, 2]
        assert two.stat()["COMMAND_RESULT"] == CommandResult.OK
        two.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        assert [r.verdict for r in await beside(one, play(two, GOOD[6:8]))] == ["good"] * 2

        # camera 2 is lost: station 1 stays READY
        lost.touch()
        await beside(one, play(two, [GOOD[8]]))
        assert await until([one, two], lambda: two.stat()["OFFLINE_REASON"] == OfflineReason.CAMERA)
        assert [r.verdict for r in await beside(two, play(one, GOOD[10:12]))] == ["good"] * 2
        async with connect_control(tmp_path / "run" / "control.sock", "test") as control:
            status = await control.status()
            recent = {name: await control.recent(name) for name in ("st1", "st2", "")}
            with pytest.raises(ControlError, match="no station"):
                await control.recent("st3")
        assert [(s["station"], s["recipe"], s["ready"]) for s in status["stations"]] == [
            ("st1", "a", True),
            ("st2", "b", False),
        ]
        since_reset = [next(t for t in s["tallies"] if t["scope"] == "reset") for s in status["stations"]]
        assert [t["counts"]["pass"] for t in since_reset] == [12, 8], "each station has counts of its own"
        kept = {s["station"]: s["parts"]["camera"]["ok"] for s in status["stations"]}
        assert kept == {"st1": True, "st2": False}, "all that a screen of its own needs"
        assert [len(recent[name]) for name in ("st1", "st2", "")] == [13, 10, 23]
        assert all(part["station"] == name for name in ("st1", "st2") for part in recent[name])
        assert any(a["id"] == "st2.camera" and a["cause"].startswith("st2: camera") for a in status["alarms"])
        lost.unlink()
        assert await until([one, two], lambda: ready(two))
    found = rows(tmp_path)
    judged = {name: {recipe for s, _, code, recipe, _ in found if s == name and code == 1} for name in ("st1", "st2")}
    assert judged == {"st1": {1}, "st2": {1, 2}}
    assert all(n == 1 for n in Counter((s, id_) for s, id_, *_ in found).values()), "one row for each id of a station"
    assert {delivery for *_, delivery in found} == {"confirmed"}


async def test_two_stations_whose_results_are_swapped_both_refuse(tmp_path):
    """faults.md, row 64: no station ever shows READY to the PLC of the other, and no part passes."""
    async with two_stations(tmp_path, [station(1, stat_of=2), station(2, stat_of=1)]) as (one, two):
        socket = tmp_path / "run" / "control.sock"
        async with asyncio.timeout(START_S):
            while sum(SWAPPED in cause for cause in await alarms(socket)) < 2:
                await asyncio.gather(one.idle_for(0.05), two.idle_for(0.05))
        for plc in (one, two):
            plc.cfg.ready_timeout_s = 3
        results = await asyncio.gather(play(one, GOOD[:2]), play(two, GOOD[:2]))
        assert [[r.verdict for r in of] for of in results] == [["reject"] * 2] * 2
        for result, plc in zip(results, (one, two), strict=True):
            assert all(r.code != 1 for r in result) and plc.stat()["STAT_SIGNATURE"] != 0xA100 + plc.cfg.number
        async with connect_control(socket, "test") as control:
            status = await control.status()
        assert [s["ready"] for s in status["stations"]] == [False, False]
        causes = await alarms(socket)
        assert sum(SWAPPED in cause for cause in causes) == 2, causes


async def alarms(socket: Path) -> list[str]:
    """What the page is told; nothing before the daemon listens."""
    with contextlib.suppress(OSError):
        async with connect_control(socket, "test") as control:
            return [alarm["cause"] for alarm in (await control.status())["alarms"]]
    return []


async def test_a_plc_that_finds_the_box_by_itself_gets_its_verdicts(tmp_path, free_port):
    """mode = "server": the daemon listens, two function blocks are its clients."""
    stations = [station(n, client=False) for n in (1, 2)]
    config = write_box(
        tmp_path, free_port, stations, link='mode = "server"\nallow_peers = ["127.0.0.1"]\ncomm_timeout_ms = 5000'
    )
    plcs = [SimClientPlc(SimConfig(number=n, **PATIENT)) for n in (1, 2)]
    async with daemon(config):
        for plc in plcs:
            await plc.start("127.0.0.1", free_port)
        try:
            parts = [*GOOD[:5], EMPTY[0]]
            results = await asyncio.gather(*(plc.play(parts) for plc in plcs))
            assert [[r.verdict for r in of] for of in results] == [["good"] * 5 + ["reject"]] * 2, results
        finally:
            for plc in plcs:
                await plc.close()
    assert Counter(s for s, *_ in rows(tmp_path)) == {"st1": 6, "st2": 6}


async def test_an_address_where_any_plc_could_write_is_refused_before_anything_starts(tmp_path, free_port):
    config = write_box(tmp_path, free_port, [station(1, client=False)], link='mode = "server"')
    config.write_text(config.read_text().replace('host = "127.0.0.1"', 'host = "0.0.0.0"'))
    async with daemon(config) as process:
        assert await asyncio.wait_for(process.wait(), START_S) == 1
    assert "name the PLCs in allow_peers" in (tmp_path / "daemon.log").read_text()
