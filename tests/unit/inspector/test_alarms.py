"""An alarm is one, however its cause chatters; what a person did to it holds, and never longer than allowed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.alarm_keeper import AlarmKeeper, conditions_of
from inspector.control import ControlError
from inspector.core.alarms import ACTIVE, MAX_SHELVE_S, AlarmRefused, Alarms, Change, Condition, Delays, Event, Phase
from inspector.core.clock import SystemClock
from inspector.health import WATCHED, Health
from inspector.store.journal import Journal
from inspector.threads import DeviceThread
from tests.support.clock import SimClock

CAMERA = Condition("camera", "camera: link lost", "high")
WRONG = Condition("plc_verdict", "part 7 went on as good", "critical")
PLC = Condition("plc", "PLC: silent", "medium")


class Line:
    """Alarms under a clock that a test moves; every change is kept."""

    def __init__(self) -> None:
        self.alarms, self.now_s = Alarms(), 0.0
        self.changes: list[Change] = []

    @property
    def utc_ms(self) -> int:
        return 1_700_000_000_000 + round(self.now_s * 1000)

    def see(self, *conditions: Condition, for_s: float = 0.0, step_s: float = 0.1) -> None:
        end = self.now_s + for_s
        while True:
            self.changes += self.alarms.see(conditions, self.now_s, self.utc_ms)
            if self.now_s >= end:
                return
            self.now_s += step_s

    def ack(self, id_: str = "camera") -> None:
        self.changes += self.alarms.acknowledge(id_, "anna", self.utc_ms)

    def shelve(self, id_: str = "camera", seconds: float = 60, why: str = "cable on order") -> None:
        self.changes += self.alarms.shelve(id_, seconds, "ben", why, self.now_s, self.utc_ms)

    def phase(self, id_: str = "camera") -> Phase:
        return next((c.phase for c in self.alarms.listed() if c.id == id_), Phase.NORMAL)

    def events(self) -> list[Event]:
        return [c.event for c in self.changes]


@pytest.fixture
def line() -> Line:
    return Line()


def test_a_camera_that_comes_and_goes_for_a_minute_is_one_alarm(line):
    for _ in range(300):
        line.see(CAMERA, for_s=0.1)
        line.see(for_s=0.1)
    assert line.events() == [Event.RAISED]


def test_an_alarm_goes_through_its_life_when_acknowledged_while_it_stands(line):
    line.see(CAMERA)
    assert line.phase() is Phase.UNACKNOWLEDGED
    line.ack()
    assert line.phase() is Phase.ACKNOWLEDGED
    line.see(for_s=6)
    assert line.alarms.listed() == []
    assert line.events() == [Event.RAISED, Event.ACKNOWLEDGED, Event.CLEARED]


def test_an_alarm_that_is_over_stays_listed_until_a_person_took_note(line):
    line.see(CAMERA)
    line.see(for_s=3600, step_s=10)
    assert line.phase() is Phase.CLEARED
    line.ack()
    line.see()
    assert line.alarms.listed() == []
    with pytest.raises(AlarmRefused, match="no alarm"):
        line.ack()


def test_a_short_break_of_the_plc_is_no_alarm_and_a_long_one_is(line):
    line.see(PLC, for_s=0.8)
    line.see(for_s=0.2)
    line.see(PLC, for_s=0.8)
    assert line.changes == [] and line.alarms.listed() == []
    line.see(PLC, for_s=0.3)
    assert line.events() == [Event.RAISED]


def test_a_critical_alarm_waits_for_no_delay_and_cannot_be_shelved(line):
    line.alarms.delays = {"plc_verdict": Delays(on_s=60)}
    line.see(WRONG)
    assert line.events() == [Event.RAISED]
    with pytest.raises(AlarmRefused, match="critical"):
        line.shelve("plc_verdict")


def test_another_wrongly_accepted_part_must_be_taken_note_of_again(line):
    line.see(WRONG)
    line.ack("plc_verdict")
    line.see(replace(WRONG, cause="parts 7 and 8 went on as good"))
    assert line.phase("plc_verdict") is Phase.UNACKNOWLEDGED and "8" in line.alarms.listed()[0].cause


def test_what_becomes_critical_leaves_its_shelf_at_once(line):
    line.see(CAMERA)
    line.shelve()
    line.see(replace(CAMERA, priority="critical"))
    (alarm,) = line.alarms.listed()
    assert alarm.shelved_until_utc_ms is None and alarm.phase is Phase.UNACKNOWLEDGED


@pytest.mark.parametrize("seconds", [0, -1, MAX_SHELVE_S + 1, float("nan"), float("inf")])
def test_a_shelf_has_an_end(line, seconds):
    line.see(CAMERA)
    with pytest.raises(AlarmRefused, match="hours"):
        line.shelve(seconds=seconds)


def test_a_shelved_alarm_comes_back_by_itself_and_shelving_needs_a_reason(line):
    line.see(CAMERA)
    with pytest.raises(AlarmRefused, match="reason"):
        line.shelve(why=" ")
    line.shelve(seconds=60)
    line.see(CAMERA, for_s=59)
    assert line.alarms.listed()[0].shelved_until_utc_ms is not None
    line.see(CAMERA, for_s=2)
    assert line.alarms.listed()[0].shelved_until_utc_ms is None
    assert line.events()[-1] is Event.UNSHELVED


def test_the_most_urgent_alarm_stands_first_and_then_the_newest(line):
    line.see(PLC, for_s=2)
    line.see(PLC, CAMERA, for_s=1)
    line.see(PLC, CAMERA, WRONG, replace(CAMERA, id="store"))
    assert [c.id for c in line.alarms.listed()] == ["plc_verdict", "store", "camera", "plc"]


@given(st.lists(st.sampled_from(["on", "off", "ack", "shelve", "unshelve", "wait", "restart"]), max_size=40))
def test_whatever_is_done_the_list_is_what_the_journal_says_and_no_shelf_outlasts_its_end(deeds):
    line, holds = Line(), False
    for deed in deeds:
        try:
            match deed:
                case "on" | "off":
                    holds = deed == "on"
                case "ack":
                    line.ack()
                case "shelve":
                    line.shelve(seconds=3)
                case "unshelve":
                    line.changes += line.alarms.unshelve("camera", "ben", line.utc_ms)
                case "wait":
                    line.see(*[CAMERA] * holds, for_s=2)
                case "restart":
                    line.alarms = Alarms()
                    line.alarms.recall(line.changes[-1:], line.now_s, line.utc_ms)
        except AlarmRefused:
            continue
        line.see(*[CAMERA] * holds)
        listed = line.alarms.listed()
        assert [c for c in listed if c != line.changes[-1]] == []
        assert not holds or listed[0].phase in ACTIVE, "what is wrong is never hidden by what a person did"
        assert all(c.shelved_until_utc_ms is None or c.shelved_until_utc_ms > line.utc_ms for c in listed)
    raised = line.events().count(Event.RAISED)
    assert raised - line.events().count(Event.CLEARED) in (0, 1)


# -- with health and the record ----------------------------------------------------------------------------------------


class Daemon:
    """Health, record and keeper of one life of the daemon."""

    def __init__(self, folder: Path) -> None:
        self.thread = DeviceThread("store")
        self.journal = Journal(folder / "results.db", SystemClock(), self.thread, min_free_bytes=0)
        self.clock = SimClock()
        self.health = Health(self.clock)
        self.keeper = AlarmKeeper(SystemClock(), self.journal, conditions_of({"st1": self.health}))

    async def __aenter__(self) -> Daemon:
        await self.journal.start()
        self.keeper.recall(await self.thread.call(self.journal.alarms.lasts))
        for part in WATCHED:
            self.health.ok(part)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.journal.close()
        self.thread.close()

    async def ask(self, method: str, **params: object) -> object:
        return await self.keeper.handlers()[method](params, "anna")  # type: ignore[misc]

    def told(self) -> list[tuple[str, str, bool]]:
        return [(a["id"], a["phase"], a["shelved_until_utc_ms"] is not None) for a in self.keeper.told()]


async def test_acknowledging_and_shelving_survive_a_restart_are_journalled_and_never_make_ready(tmp_path):
    async with Daemon(tmp_path) as daemon:
        daemon.health.down("camera", "link lost")
        daemon.keeper.look()
        assert await daemon.ask("alarm_ack", id="camera") == {"recorded": True}
        assert await daemon.ask("alarm_shelve", id="camera", minutes=10, why="cable on order") == {"recorded": True}
        assert daemon.told() == [("camera", "acknowledged", True)]
        assert not daemon.health.state().ready, "a shelved alarm takes nothing back"
        assert [a.id for a in daemon.health.state().alarms] == ["camera"]
    async with Daemon(tmp_path) as daemon:
        daemon.health.down("camera", "link lost")
        daemon.keeper.look()
        assert daemon.told() == [("camera", "acknowledged", True)] and not daemon.health.state().ready
        assert await daemon.ask("alarm_unshelve", id="camera") == {"recorded": True}
    with closing(apsw.Connection(str(tmp_path / "results.db"))) as db:
        rows = list(db.execute("SELECT event, actor, why FROM alarm_changes ORDER BY n"))
        assert rows == [
            ("raised", "inspector", ""),
            ("acknowledged", "anna", ""),
            ("shelved", "anna", "cable on order"),
            ("unshelved", "anna", ""),
        ]
        with pytest.raises(apsw.ConstraintError, match="kept as it was"):
            db.execute("UPDATE alarm_changes SET actor = 'ben'")


async def test_an_alarm_about_the_store_can_be_acknowledged_and_is_recorded_later(tmp_path):
    async with Daemon(tmp_path) as daemon:
        with closing(apsw.Connection(str(tmp_path / "results.db"))) as other:
            other.execute("BEGIN IMMEDIATE")
            daemon.health.down("store", "locked")
            daemon.keeper.look()
            assert await daemon.ask("alarm_ack", id="store") == {"recorded": False}
            assert daemon.told() == [("store", "acknowledged", False)]
            other.execute("ROLLBACK")
        daemon.keeper.look()
        await daemon.journal.alive()
        assert [c.event for c in await daemon.thread.call(daemon.journal.alarms.lasts)] == [Event.ACKNOWLEDGED]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("alarm_ack", {}),
        ("alarm_ack", {"id": 5}),
        ("alarm_ack", {"id": "camera", "more": 1}),
        ("alarm_shelve", {"id": "camera", "minutes": True, "why": "x"}),
        ("alarm_shelve", {"id": "camera", "minutes": float("nan"), "why": "x"}),
        ("alarm_shelve", {"id": "camera", "minutes": 5, "why": "a\nb"}),
    ],
)
async def test_a_command_that_says_something_else_is_refused(tmp_path, method, params):
    async with Daemon(tmp_path) as daemon:
        daemon.health.down("camera", "link lost")
        daemon.keeper.look()
        with pytest.raises(ControlError):
            await daemon.ask(method, **params)
        assert daemon.told() == [("camera", "unacknowledged", False)]
