"""READY is earned by freshness, and latches hold."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from inspector.core.alarm_kinds import Kind
from inspector.core.clock import SystemClock
from inspector.core.errors import CameraLost, FrameError, ModelError, StoreBroken, StoreError
from inspector.core.types import Delivery, DeliveryState, Inspection, JudgedBy, Outcome, Trigger
from inspector.health import ERRORS_THAT_LATCH, WATCHED, Health, Watchdog
from inspector.sdnotify import notify
from plc.registers import OfflineReason, Reason, Verdict
from tests.support.clock import SimClock
from tests.support.store import GOOD


@pytest.fixture
def clock():
    return SimClock()


@pytest.fixture
def health(clock):
    health = Health(clock)
    for part in WATCHED:
        health.ok(part)
    return health


def inspection(verdict=Verdict.PASS, reason=Reason.NONE, code=None):
    trigger = Trigger(1, 7, deadline_mono_s=0, accepted_mono_s=0)
    delivery = Delivery(code if code is not None else verdict, reason, DeliveryState.CONFIRMED, 0.0)
    return Inspection(1, trigger, Outcome(verdict, reason), None, JudgedBy(), 1.0, delivery=delivery)


def test_a_station_that_has_seen_nothing_yet_is_not_ready(clock):
    state = Health(clock).state()
    assert not state.ready and state.offline_reason is OfflineReason.CAMERA


def test_every_part_seen_just_now_is_ready(health):
    assert health.state().ready and health.state().alarms == ()


@pytest.mark.parametrize("part", list(WATCHED))
def test_a_stale_part_drops_ready_and_says_which(health, clock, part):
    clock.now_s += WATCHED[part].max_age_s + 0.01
    for other in set(WATCHED) - {part}:
        health.ok(other)
    state = health.state()
    assert not state.ready and state.offline_reason is WATCHED[part].reason
    assert [a.id for a in state.alarms] == [part]


def test_a_clock_that_is_not_a_number_is_not_ready(health, clock):
    clock.now_s = math.nan
    assert not health.state().ready


def test_a_lost_camera_is_one_alarm_however_many_parts_it_meets(health):
    for _ in range(600):
        health.down("camera", "link lost")
        health.saw(inspection(Verdict.NOT_INSPECTED, Reason.CAMERA), CameraLost("link lost"))
        assert [a.id for a in health.state().alarms] == ["camera"]
    health.ok("camera")
    assert health.state().ready


def kind_for(health, part):
    return next(a.problem.kind for a in health.state().alarms if a.id == part)


async def turn(health, part, error):
    async def alive():
        raise error

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Watchdog(health).turn_forever(part, alive)


async def test_a_full_disk_says_that_it_recovers_and_a_broken_record_that_only_a_restart_helps(health):
    await turn(health, "store", StoreError("only 3 MB free"))
    assert kind_for(health, "store") is Kind.STORE
    health.ok("store")
    await turn(health, "store", StoreBroken("results.db is out of service until a restart"))
    assert kind_for(health, "store") is Kind.STORE_BROKEN
    health.saw(inspection(Verdict.NOT_INSPECTED, Reason.STORAGE), None)
    assert kind_for(health, "store") is Kind.STORE_BROKEN, "a part that meets it does not change what helps"


def test_a_stamp_that_a_broken_record_refuses_says_that_only_a_restart_helps(health):
    health.saw(inspection(), StoreBroken("results.db is out of service until a restart"))
    assert kind_for(health, "store") is Kind.STORE_BROKEN


def test_three_inference_errors_in_a_row_latch_until_acknowledged(health):
    for i in range(ERRORS_THAT_LATCH):
        assert health.state().ready, i
        health.saw(inspection(Verdict.NOT_INSPECTED, Reason.INFERENCE), ModelError("not finite"))
    assert health.state().offline_reason is OfflineReason.LATCHED_ERROR
    health.ok("model")
    assert not health.state().ready
    health.acknowledge()
    assert health.state().ready


def test_a_latch_tells_the_plc_which_error_it_was(health):
    for _ in range(ERRORS_THAT_LATCH):
        health.saw(inspection(Verdict.NOT_INSPECTED, Reason.DEADLINE), TimeoutError())
    assert health.state().error_code is Reason.DEADLINE
    assert health.state().alarms[0].cause.endswith("with deadline: the last one took 1 ms")
    health.acknowledge()
    assert health.state().error_code is Reason.NONE


def test_a_bad_picture_is_one_alarm_until_a_picture_was_judged_again_and_takes_no_ready(health):
    bad = inspection(Verdict.NOT_INSPECTED, Reason.IMAGE_QUALITY)
    for _ in range(3):
        health.saw(bad, FrameError(Reason.IMAGE_QUALITY, "zone top_left: brightness 3.0 is outside 50 to 110"))
    (alarm,) = health.state().alarms
    assert "top_left" in alarm.cause and health.state().ready
    health.saw(inspection(Verdict.NOT_INSPECTED, Reason.CAMERA), CameraLost("link lost"))
    assert alarm in health.state().alarms, "no picture at all is no better one"
    health.saw(replace(inspection(), prediction=GOOD), None)
    assert health.state().alarms == ()


def test_a_good_part_between_errors_starts_the_count_anew(health):
    for _ in range(4):
        health.saw(inspection(Verdict.NOT_INSPECTED, Reason.DEADLINE), TimeoutError())
        health.saw(inspection(), None)
    assert health.state().ready


def test_a_challenge_part_that_the_model_missed_latches_past_an_acknowledge(health):
    health.saw(inspection(code=6), None)
    health.acknowledge()
    assert health.state().offline_reason is OfflineReason.CHECK_DUE


async def test_a_thread_that_hangs_ends_the_process(health, monkeypatch):
    ended = []
    monkeypatch.setattr("inspector.health.os._exit", lambda code: ended.append(code) or asyncio.current_task().cancel())
    watchdog = Watchdog(health, hang_after_s=0.02)
    with pytest.raises(asyncio.CancelledError):
        await watchdog.turn_forever("camera", asyncio.Event().wait)
    assert ended == [70]


async def test_systemd_is_fed_only_while_every_thread_turns(health, clock):
    watchdog = Watchdog(health)

    async def lost():
        raise CameraLost("unplugged")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await watchdog.turn_forever("camera", lost)
    assert watchdog.all_turned_within(1.0)
    assert not health.state().ready  # a lost camera is an error state, not a restart
    clock.now_s += 5
    assert not watchdog.all_turned_within(1.0)


@pytest.mark.parametrize("address", ["gone", "full"])
def test_a_service_manager_that_takes_no_word_never_holds_up_the_line(tmp_path, monkeypatch, address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "full"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / address))
        heard = [notify("WATCHDOG=1") for _ in range(5000)]
        assert heard[0] is (address == "full") and heard[-1] is False


def test_parts_that_the_plc_took_as_good_unasked_are_a_critical_alarm_until_acknowledged_whatever_else_is_latched(
    health,
):
    health.latch(OfflineReason.CHECK_DUE, Kind.CHALLENGE_MISSED.of(part_id=3))
    for _ in range(3):  # told ten times a second, one alarm
        health.wrongly_accepted([(17, 4711), (19, 4713)])
    state = health.state()
    assert not state.ready and state.offline_reason is OfflineReason.LATCHED_ERROR
    alarm = next(a for a in state.alarms if a.id == "plc_verdict")
    assert alarm.priority == "critical" and "4711 (17), 4713 (19)" in alarm.cause
    health.wrongly_accepted([])  # the PLC's word for it is gone; the parts are not
    assert [a.priority for a in health.state().alarms] == ["critical", "high"]
    health.acknowledge()
    assert [a.id for a in health.state().alarms] == ["latched"]


def test_a_recipe_that_fails_is_not_ready_until_one_holds(health):
    health.recipe_fails(OfflineReason.NO_RECIPE, Kind.RECIPE_UNKNOWN.of(detail="station st1 has no recipe 9"))
    state = health.state()
    assert not state.ready and state.offline_reason is OfflineReason.NO_RECIPE
    health.acknowledge()
    assert not health.state().ready, "nobody can acknowledge a recipe into being"
    health.recipe_holds()
    assert health.state().ready


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - a state
            await asyncio.sleep(0.005)


async def test_a_part_of_all_stations_that_is_lost_takes_ready_from_each_and_a_camera_from_its_own():
    healths = [Health(SystemClock()), Health(SystemClock())]
    for health in healths:
        for part in WATCHED:
            health.ok(part)
    watchdog = Watchdog(healths[0])

    async def fails() -> None:
        raise StoreError("full")

    async def lost() -> None:
        raise CameraLost("unplugged")

    turns = [asyncio.create_task(watchdog.turn_forever("camera", lost, [healths[1]], "camera of st2"))]
    await until(lambda: [h.state().ready for h in healths] == [True, False])
    turns.append(asyncio.create_task(watchdog.turn_forever("store", fails, healths)))
    await until(lambda: [h.state().ready for h in healths] == [False, False])
    for turn in turns:
        turn.cancel()
    await asyncio.gather(*turns, return_exceptions=True)
