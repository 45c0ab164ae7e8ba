"""An alarm is one, however its cause chatters; what a person did to it holds, and never longer than allowed."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.alarm_keeper import AlarmKeeper, conditions_of
from inspector.control import ControlError
from inspector.core.alarm_kinds import CRITICAL, KINDS, OFF_S, Kind
from inspector.core.alarms import ACTIVE, MAX_SHELVE_S, AlarmRefused, Alarms, Change, Condition, Event, Phase
from inspector.core.clock import SystemClock
from inspector.health import WATCHED, Health
from inspector.store.journal import Journal
from inspector.threads import DeviceThread
from tests.support.clock import SimClock

CAMERA = Condition("camera", Kind.CAMERA.of(detail="link lost"))
WRONG = Condition("plc_verdict", Kind.PLC_VERDICT.of(parts="7 (1)"))
STORE, BROKEN = (Condition("store", kind.of(detail="locked")) for kind in (Kind.STORE, Kind.STORE_BROKEN))
PLC = Condition("plc", Kind.PLC.of(detail="silent"))


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
        seen = next((c.utc_ms for c in self.alarms.listed() if c.id == id_), 0)
        self.changes += self.alarms.acknowledge(id_, seen, "anna", self.utc_ms)

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


def test_a_camera_pulled_for_a_minute_under_a_plc_that_triggers_ten_times_a_second_is_one_alarm(line):
    clock, told = SimClock(), []
    health = Health(clock)
    conditions = conditions_of({"st1": health})
    for part in range(600):
        for watched in WATCHED:
            health.ok(watched)
        if part % 7:  # now and then it answers for a moment, as a loose plug does
            health.down("camera", f"link lost at part {part}")
        clock.now_s += 0.1
        told += line.alarms.see(conditions(), clock.now_s, round(clock.now_s * 1000))
    assert [(change.id, change.event) for change in told] == [("camera", Event.RAISED)]
    assert line.alarms.listed()[0].params == {"detail": "link lost at part 599"}


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


def test_an_alarm_that_only_waits_for_its_delay_says_so_until_it_is_over_or_back(line):
    line.see(CAMERA, PLC, for_s=1)
    assert line.alarms.ending() == frozenset()
    line.see(PLC, for_s=1)
    assert line.phase() is Phase.UNACKNOWLEDGED and line.alarms.ending() == {"camera"}
    line.see(CAMERA, PLC)
    assert line.alarms.ending() == frozenset()
    line.see(PLC, for_s=Kind.CAMERA.off_s + 1)
    assert line.phase() is Phase.CLEARED and line.alarms.ending() == frozenset()


def test_a_short_break_of_the_plc_is_no_alarm_and_a_long_one_is(line):
    line.see(PLC, for_s=0.3)
    line.see(for_s=0.2)
    line.see(PLC, for_s=0.3)
    assert line.changes == [] and line.alarms.listed() == []
    line.see(PLC, for_s=0.3)
    assert line.events() == [Event.RAISED]


def test_what_takes_ready_waits_for_no_delay_and_what_is_critical_cannot_be_shelved(line):
    places = {*WATCHED, "latched", "recipe", *(kind.place for kind in Kind if kind.priority == CRITICAL)}
    assert {kind for kind in Kind if kind.place in places and kind.on_s > 0} == set()
    line.see(WRONG)
    assert line.events() == [Event.RAISED]
    with pytest.raises(AlarmRefused, match="critical"):
        line.shelve("plc_verdict")


def test_another_wrongly_accepted_part_must_be_taken_note_of_again(line):
    line.see(WRONG)
    line.ack("plc_verdict")
    line.see(Condition("plc_verdict", Kind.PLC_VERDICT.of(parts="7 (1), 8 (2)")))
    assert line.phase("plc_verdict") is Phase.UNACKNOWLEDGED and "8 (2)" in line.alarms.listed()[0].cause


def test_what_becomes_another_alarm_leaves_its_shelf_at_once_and_must_be_taken_note_of(line):
    line.see(STORE)
    line.ack("store")
    line.shelve("store")
    line.see(BROKEN)
    (alarm,) = line.alarms.listed()
    assert alarm.shelved_until_utc_ms is None and alarm.phase is Phase.UNACKNOWLEDGED and alarm.key == "store_broken"
    assert line.events()[-2:] == [Event.CHANGED, Event.UNSHELVED]


def test_nobody_takes_note_of_what_they_have_not_seen(line):
    line.see(WRONG)
    seen = line.alarms.listed()[0].utc_ms
    line.now_s += 1
    line.see(Condition("plc_verdict", Kind.PLC_VERDICT.of(parts="7 (1), 8 (2)")))
    with pytest.raises(AlarmRefused, match="changed"):
        line.alarms.acknowledge("plc_verdict", seen, "anna", line.utc_ms)
    assert line.phase("plc_verdict") is Phase.UNACKNOWLEDGED


def test_figures_that_grow_are_shown_as_they_are_and_make_no_new_alarm(line):
    for count in (1, 2, 3):
        line.see(Condition("gap", Kind.GAP.of(count=count)), for_s=1)
    assert line.alarms.listed()[0].params == {"count": 3} and line.events() == [Event.RAISED]


def test_what_a_person_shelves_and_what_is_over_has_the_figures_that_everybody_saw_last(line):
    for count in (1, 7):
        line.see(Condition("gap", Kind.GAP.of(count=count)), for_s=1)
    line.shelve("gap", seconds=1)
    line.see(for_s=OFF_S + 2)
    assert line.phase("gap") is Phase.CLEARED
    assert [(c.event, c.params["count"]) for c in line.changes] == [
        (Event.RAISED, 1), (Event.SHELVED, 7), (Event.UNSHELVED, 7), (Event.CLEARED, 7)
    ]  # fmt: skip
    assert line.alarms.listed()[0].params == {"count": 7} and "7" in line.alarms.listed()[0].cause


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


def test_a_wall_clock_that_is_set_back_over_a_restart_makes_no_shelf_longer_than_allowed(line):
    line.see(CAMERA)
    line.shelve(seconds=60)
    line.alarms = Alarms()
    line.alarms.recall(line.changes[-1:], line.now_s, line.utc_ms - 30 * 86_400_000)
    line.now_s += MAX_SHELVE_S
    line.see(CAMERA)
    assert line.events()[-1] is Event.UNSHELVED


def test_the_most_urgent_alarm_stands_first_and_then_the_newest(line):
    line.see(PLC, for_s=2)
    line.see(PLC, CAMERA, for_s=1)
    gap = Condition("gap", Kind.GAP.of(count=1))
    line.see(PLC, CAMERA, WRONG, STORE, gap)
    assert [c.id for c in line.alarms.listed()] == ["plc_verdict", "store", "camera", "plc", "gap"]


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
    changed = [event for event in line.events() if event in (Event.RAISED, Event.CLEARED)]
    assert changed[::2] == [Event.RAISED] * len(changed[::2]) and changed[1::2] == [Event.CLEARED] * len(changed[1::2])
    raised = [c.utc_ms for c in line.changes if c.event is Event.RAISED]
    assert all(later - former >= Kind.CAMERA.off_s * 1000 for former, later in pairwise(raised)), "no chattering"


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.key)
def test_an_alarm_is_raised_with_exactly_its_parameters(kind):
    made = kind.of(**dict.fromkeys(kind.params, "x"))
    assert "{" not in str(made) and KINDS[kind.key] is kind
    with pytest.raises(ValueError, match=kind.key):
        kind.of(**dict.fromkeys(kind.params, "x"), more=1)


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
        await self.keeper.recall()
        for part in WATCHED:
            self.health.ok(part)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.journal.close()
        self.thread.close()

    async def ask(self, method: str, **params: object) -> object:
        return await self.keeper.handlers()[method](params, "anna")  # type: ignore[misc]

    async def ack(self, id_: str) -> object:
        (seen,) = [a["changed_utc_ms"] for a in self.keeper.told() if a["id"] == id_]
        return await self.ask("alarm_ack", id=id_, changed_utc_ms=seen)

    def told(self) -> list[tuple[str, str, bool]]:
        return [(a["id"], a["phase"], a["shelved_until_utc_ms"] is not None) for a in self.keeper.told()]


async def test_acknowledging_and_shelving_survive_a_restart_are_journalled_and_never_make_ready(tmp_path):
    async with Daemon(tmp_path) as daemon:
        daemon.health.down("camera", "link lost")
        daemon.keeper.look()
        assert await daemon.ack("camera") == {"recorded": True}
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
        rows = list(db.execute("SELECT event, actor, shelved_why FROM alarm_changes ORDER BY n"))
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
            assert await daemon.ack("store") == {"recorded": False}
            assert daemon.told() == [("store", "acknowledged", False)]
            other.execute("ROLLBACK")
        daemon.keeper.look()
        await daemon.journal.alive()
        assert [c.event for c in await daemon.thread.call(daemon.journal.alarms.lasts)] == [Event.ACKNOWLEDGED]


async def test_what_waits_beyond_all_bounds_is_not_said_to_be_recorded(tmp_path, monkeypatch):
    async with Daemon(tmp_path) as daemon:
        daemon.health.down("camera", "link lost")
        daemon.keeper.look()
        monkeypatch.setattr("inspector.alarm_keeper.MAX_WAITING", 0)
        assert await daemon.ack("camera") == {"recorded": False}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("alarm_ack", {}),
        ("alarm_ack", {"id": "camera"}),
        ("alarm_ack", {"id": 5, "changed_utc_ms": 1}),
        ("alarm_ack", {"id": "camera", "changed_utc_ms": True}),
        ("alarm_ack", {"id": "camera", "changed_utc_ms": 1, "more": 1}),
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


def test_what_was_shelved_hides_no_other_problem_that_is_raised_in_its_place(line):
    line.see(STORE)
    line.shelve("store")
    line.ack("store")
    line.see(for_s=10)
    line.see(BROKEN)
    (alarm,) = line.alarms.listed()
    assert alarm.key == "store_broken" and alarm.shelved_until_utc_ms is None
    line.shelve("store")
    line.see(for_s=10)
    line.see(BROKEN)
    assert line.alarms.listed()[0].shelved_until_utc_ms is not None, "the same one stays shelved"
