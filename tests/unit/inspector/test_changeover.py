"""A change-over at its edges, on a whole box without a PLC: the answer that comes too late, the record that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inspector.bundle import activate
from inspector.changeover import change_over
from inspector.compose import Box, open_box
from inspector.config import AppConfig
from inspector.core.errors import StoreError
from plc.commands import CommandRequest
from plc.registers import Command, CommandResult, OfflineReason
from tests.support.tiny_bundle import make_bundle, make_key, trusted_key

KEY = make_key()


@pytest.fixture
async def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    monkeypatch.setattr(activate, "first_opening", lambda *_: None)
    make_bundle(tmp_path / "tiny.bundle", KEY)
    cfg = AppConfig.model_validate(
        {
            "paths": {"state": tmp_path / "state", "run": tmp_path / "run"},
            "plc": {"links": [{"host": "127.0.0.1"}]},
            "stations": [{"id": "st1", "recipes": {1: "a", 2: "b"}}],
            "camera": {"kind": "rendered"},
            "bundle": {"file": str(tmp_path / "tiny.bundle"), "trusted_keys": [trusted_key(KEY).raw.hex()]},
            "recipes": [{"name": "a"}, {"name": "b", "limits": {"min_confidence": 0.85}}],
        }
    )
    async with open_box(cfg) as box:
        assert box.stations[0].judging.recipe.number == 1
        yield box


def asked(box: Box, recipe: int, *, timed_out: bool = False) -> CommandRequest:
    """As if the PLC had commanded it; timed out: the PLC was told that it takes too long."""
    commands = box.stations[0].port.handshake._commands
    request = CommandRequest(Command.PREPARE_RECIPE, recipe, 7, 0.0)
    commands.running, commands._timed_out = request, timed_out
    return request


async def test_what_is_prepared_too_late_for_the_plc_judges_nothing_and_is_no_recipe_to_start_with(box):
    (running,) = box.stations
    await change_over(asked(box, 2, timed_out=True), running)
    assert running.judging.recipe.number == 0 and running.station.judge.model is None
    assert running.port.handshake.active_recipe == 1, "the test's PLC never took it away; ours does as it commands"
    state = running.health.state()
    assert state.offline_reason is OfflineReason.NO_RECIPE
    assert any("too late" in alarm.cause for alarm in state.alarms)
    assert await box.shared.judges.first_number(running.section) == 0


async def test_gate_recipe_limits_and_record_are_replaced_as_one(box):
    (running,) = box.stations
    before = running.station.judge
    await change_over(asked(box, 2), running)
    after = running.station.judge
    assert (after.recipe.number, after.judged_by.recipe, after.limits.min_confidence) == (2, 2, 0.85)
    assert after.model is before.model and before.judged_by.recipe == 1, "a part in flight keeps its own"
    assert after.gate is not before.gate and running.view.view.limits is after.limits
    assert running.link.recipe == 2 and running.board.about.recipe == "b"
    assert running.port.handshake.active_recipe == 2


async def test_a_change_over_that_cannot_be_put_on_record_is_none(box, monkeypatch):
    (running,) = box.stations

    def full(*_: object, **__: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(box.shared.journal.recipes, "changed_over", full)
    await change_over(asked(box, 2), running)
    assert running.station.judge.model is None
    assert running.port.handshake.stat["COMMAND_RESULT"] in (CommandResult.IDLE, CommandResult.LOAD_FAILED)
    assert running.health.state().offline_reason is OfflineReason.STORAGE
    monkeypatch.undo()
    assert await box.shared.judges.first_number(running.section) == 1, "a restart has the former one, whole"


async def test_lost_triggers_are_an_alarm_also_after_the_plc_has_reset_its_counters(box):
    (running,) = box.stations
    counts = running.port.handshake.counts

    def told() -> bool:
        running.warn()
        return any(alarm.id == "gap" for alarm in running.health.state().alarms)

    counts["ID_GAPS"] = 5
    assert told()
    running.acknowledged()
    assert not told()
    counts["ID_GAPS"] = 0  # as RESET_COUNTERS does
    assert not told()
    counts["ID_GAPS"] = 1
    assert told()
