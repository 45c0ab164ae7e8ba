"""Change-over by the PLC on the real daemon: what goes right, what fails, and the power cut at each of its steps."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from inspector.control import ControlError
from inspector.demo.parts import Kind
from plc.registers import Command, CommandResult, Control, OfflineReason, Reason, Status, Verdict
from tests.support.live_line import KEY, PATIENT, START_S, LiveLine, broken, live_line, parts_of
from tests.support.tiny_bundle import make_bundle, tiny_manifest, trusted_key

pytestmark = pytest.mark.fault

RECIPES = 'recipes = { 1 = "a", 2 = "b", 3 = "c" }'
SECTIONS = """
[[recipes]]
name = "a"
[[recipes]]
name = "b"
limits = { min_confidence = 0.85 }
[[recipes]]
name = "c"
limits = { min_confidence = 1.0 }
"""
ANSWERED = Status.COMMAND_COMPLETED | Status.COMMAND_FAILED
_ids = itertools.count(1)


def bundle_of(folder: Path) -> str:
    """Whose signed range lets a recipe (c) reject its own golden good parts."""
    path, signed = folder / "wide.bundle", tiny_manifest().limits
    if not path.exists():
        wide = replace(signed, min_confidence=replace(signed.min_confidence, allowed=(0.6, 1.0)))
        make_bundle(path, KEY, limits=wide)
    return f'[bundle]\nfile = "{path}"\ntrusted_keys = ["{trusted_key(KEY).raw.hex()}"]'


@asynccontextmanager
async def line_with_recipes(folder: Path, more: str = "") -> AsyncIterator[LiveLine]:
    async with live_line(folder) as line:
        configure(line, more)
        await line.start()
        await line.ready()
        yield line


def configure(line: LiveLine, more: str = "") -> None:
    line.configure(bundle=bundle_of(line.folder), station=RECIPES, more=SECTIONS + more)


async def command(line: LiveLine, number: int, arg: int = 0, *, id_: int = 0, enable: bool = False) -> CommandResult:
    """Steps 1 to 5 of section 6 of the contract; the answer, with TRIGGER_ENABLE as before the command."""
    ctrl, stat = line.sim.ctrl, line.sim.stat
    ctrl["CONTROL"] = Control.TRIGGER_ENABLE if enable else Control(0)
    assert await line.until(lambda: enable or not stat()["STATUS"] & (Status.TRIGGER_READY | Status.SYSTEM_BUSY), 5)
    ctrl["COMMAND"], ctrl["COMMAND_ARG"], ctrl["COMMAND_ID"] = number, arg, id_ or next(_ids)
    ctrl["CONTROL"] |= Control.EXECUTE_COMMAND
    answered = await line.until(lambda: stat()["STATUS"] & ANSWERED, START_S)
    assert answered and stat()["COMMAND_ID_ACK"] == ctrl["COMMAND_ID"], line.words()
    result = CommandResult(stat()["COMMAND_RESULT"])
    assert bool(stat()["STATUS"] & Status.COMMAND_COMPLETED) is (result is CommandResult.OK)
    ctrl["CONTROL"] &= ~Control.EXECUTE_COMMAND
    assert await line.until(lambda: not stat()["STATUS"] & ANSWERED, 5)
    ctrl["CONTROL"] = Control.TRIGGER_ENABLE
    return result


async def prepare(line: LiveLine, recipe: int, id_: int = 0) -> CommandResult:
    return await command(line, Command.PREPARE_RECIPE, recipe, id_=id_)


def on_record(line: LiveLine) -> list[tuple[int, int, str]]:
    """(recipe, result, actor) of each change-over."""
    db = apsw.Connection(str(line.db), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [tuple(row) for row in db.execute("SELECT recipe, result, actor FROM change_overs ORDER BY n")]
    finally:
        db.close()


def wrong_accepts(line: LiveLine) -> list[tuple[int, int]]:
    """(trigger id, part id) of each on record."""
    db = apsw.Connection(str(line.db), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [tuple(row) for row in db.execute("SELECT trigger_id, part_id FROM wrong_accepts ORDER BY n")]
    finally:
        db.close()


async def test_the_plc_changes_over_and_each_row_names_the_recipe_that_judged(tmp_path):
    async with line_with_recipes(tmp_path) as line:
        first = await line.good()
        assert await prepare(line, 2) is CommandResult.OK
        assert line.sim.stat()["ACTIVE_RECIPE"] == 2
        line.sim.ctrl["RECIPE_EXPECTED"] = 2
        await line.ready()
        second = await line.good()
        rows = [line.row(result) for result in (first, second)]
        assert [row["recipe"] for row in rows] == [1, 2] and rows[0]["model_rev"] != rows[1]["model_rev"]
        status = await line.status()
        assert status["recipe"] == "b" and status["limits"]["min_confidence"] == 0.85

        line.sim.ctrl["RECIPE_EXPECTED"] = 1  # test 55: the PLC believes in another one
        refused = await line.play(line.next_good())
        assert (refused.verdict, refused.code, refused.reason) == ("reject", 4, Reason.RECIPE_MISMATCH)
        line.sim.ctrl["RECIPE_EXPECTED"] = 0

        await line.end()  # an orderly restart comes up with the recipe that was active
        await line.start()
        await line.ready()
        assert line.sim.stat()["ACTIVE_RECIPE"] == 2
        await line.good()
        assert on_record(line) == [(1, 1, "config"), (2, 1, "plc")]
        line.checked()


async def test_a_change_over_that_fails_leaves_no_recipe_and_a_text_until_one_succeeds(tmp_path):
    async with line_with_recipes(tmp_path) as line:
        assert await command(line, Command.PREPARE_RECIPE, 2, enable=True) is CommandResult.NOT_ALLOWED
        await line.good()
        assert await prepare(line, 9) is CommandResult.UNKNOWN_RECIPE
        await line.not_ready(OfflineReason.NO_RECIPE, "station st1 has no recipe 9")
        assert line.sim.stat()["ACTIVE_RECIPE"] == 0
        assert await prepare(line, 3, id_=900) is CommandResult.LOAD_FAILED
        await line.not_ready(OfflineReason.CHECK_DUE, "would not pass")
        assert await prepare(line, 3, id_=900) is CommandResult.LOAD_FAILED, "the same answer"
        assert [recipe for recipe, *_ in on_record(line)] == [1, 9, 3], "not executed twice"
        assert await prepare(line, 1) is CommandResult.OK
        await line.ready()
        await line.good()


async def test_a_bundle_that_is_damaged_on_the_disk_is_never_judged_with(tmp_path):
    async with line_with_recipes(tmp_path) as line:
        await line.good()
        assert await command(line, Command.SELF_TEST) is CommandResult.OK
        await line.ready()
        weights = next((tmp_path / "state" / "bundles").glob("*/a/model.bin"))
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        assert await command(line, Command.SELF_TEST) is CommandResult.HASH_MISMATCH  # test 56: not READY any more
        await line.not_ready(OfflineReason.CHECK_DUE, "self test")
        assert await prepare(line, 2) is CommandResult.HASH_MISMATCH
        await line.not_ready(OfflineReason.MODEL, "the bundle is damaged")
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        assert await prepare(line, 2) is CommandResult.OK
        await line.ready()
        await line.good()


@pytest.mark.parametrize(("point", "recipes"), [("preparing", {1}), ("prepared", {1}), ("recorded", {2})])
async def test_a_power_cut_during_a_change_over_comes_up_with_a_whole_recipe(tmp_path, point, recipes):
    """And the command that still stands is done then: the PLC waits for its answer."""
    async with line_with_recipes(tmp_path, broken({point: "kill"})) as line:
        ctrl = line.sim.ctrl
        ctrl["CONTROL"] = Control(0)
        await line.until(lambda: not line.sim.stat()["STATUS"] & Status.TRIGGER_READY, 5)
        ctrl["COMMAND"], ctrl["COMMAND_ARG"], ctrl["COMMAND_ID"] = Command.PREPARE_RECIPE, 2, 77
        ctrl["CONTROL"] = Control.EXECUTE_COMMAND
        assert line.process is not None
        assert await line.until(lambda: line.process.returncode is not None, START_S), "it was not killed"
        ctrl["CONTROL"] = Control.TRIGGER_ENABLE  # the PLC gave up
        await line.sim.idle_for(0.1)
        configure(line)
        await line.start()
        await line.ready()
        assert line.sim.stat()["ACTIVE_RECIPE"] in recipes
        result = await line.good()
        assert line.row(result)["recipe"] in recipes
        line.checked()


async def test_a_command_that_stands_when_the_daemon_starts_is_done(tmp_path):
    async with live_line(tmp_path) as line:
        configure(line)
        ctrl = line.sim.ctrl
        ctrl["COMMAND"], ctrl["COMMAND_ARG"], ctrl["COMMAND_ID"] = Command.PREPARE_RECIPE, 2, 5
        ctrl["CONTROL"] = Control.EXECUTE_COMMAND
        await line.start()
        assert await line.until(lambda: line.sim.stat()["STATUS"] & Status.COMMAND_COMPLETED, START_S), line.words()
        assert line.sim.stat()["ACTIVE_RECIPE"] == 2
        ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        await line.ready()
        await line.good()


async def test_what_the_plc_took_away_stays_away_over_a_restart(tmp_path):
    async with line_with_recipes(tmp_path) as line:
        assert await command(line, Command.UNPREPARE_RECIPE) is CommandResult.OK
        await line.not_ready(OfflineReason.NO_RECIPE, "the PLC took it away")
        await line.end()
        await line.start()
        await line.until(lambda: line.sim.stat()["OFFLINE_REASON"] == OfflineReason.NO_RECIPE, START_S)
        assert await prepare(line, 1) is CommandResult.OK
        await line.ready()


async def test_a_part_that_the_plc_took_as_good_unasked_is_a_critical_alarm_also_after_a_crash(tmp_path):
    """Acknowledging the alarm makes nothing ready: only CLEAR_ERROR does. What people did survives the crash too."""
    no_room = f"\n[archive]\nmin_free_gb = {shutil.disk_usage(tmp_path).free // 10**9 + 5}\n"
    async with live_line(tmp_path, replace(PATIENT, claims_good=True)) as line:
        line.configure(bundle=bundle_of(tmp_path), more=no_room)
        await line.start()
        await line.ready()
        rejected = await line.play(next(parts_of(Kind.EMPTY)))
        assert rejected.code != Verdict.PASS
        part = f"{rejected.part_id} ({rejected.trigger_id})"
        alarm = await line.not_ready(OfflineReason.LATCHED_ERROR, part)
        assert alarm["priority"] == "critical"
        seen, archive = await line.listed("plc_verdict"), await line.listed("archive")
        with pytest.raises(ControlError, match="critical"):
            await line.act("alarm_shelve", id="plc_verdict", minutes=30, why="too loud")
        done = [
            await line.act("alarm_ack", id="plc_verdict", changed_utc_ms=seen["changed_utc_ms"]),
            await line.act("alarm_shelve", id="archive", minutes=30, why="disk on order"),
        ]
        assert done == [{"recorded": True}] * 2 and archive["phase"] == "unacknowledged"
        assert line.process is not None
        line.process.kill()  # what is shown is on the disk by then
        await line.process.wait()
        beat = line.sim.stat()["HEARTBEAT"]
        await line.start()
        assert await line.until(lambda: line.sim.stat()["HEARTBEAT"] != beat, START_S)
        alarm = await line.not_ready(OfflineReason.LATCHED_ERROR, part, START_S)
        assert alarm["priority"] == "critical" and alarm["params"] == {"parts": part}
        assert wrong_accepts(line) == [(rejected.trigger_id, rejected.part_id)], "once, however often it starts"
        assert (await line.listed("plc_verdict"))["phase"] == "acknowledged", "and yet NOT READY"
        shelf = await line.listed("archive")
        assert shelf["shelved_by"] == "anna" and shelf["shelved_until_utc_ms"] > time.time() * 1000
        await line.clear_error()
        await line.ready()
        assert not [a for a in (await line.status())["alarms"] if a["priority"] == "critical"]
        await line.end()
        await line.start()
        await line.ready()
