"""The fault table of the contract (section 5): a test for each row that needs no wire, process or picture.

Handshake and FB_Inspect stand face to face, so that both columns of a row are seen: what the appliance does, and that
the PLC takes nothing wrong for good.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from plc.handshake import HealthInput, Link, Record
from plc.images import Image
from plc.parts import HandshakeConfig
from plc.registers import CTRL, STAT, Control, OfflineReason, Reason, Status, Status2, Verdict, VisionState
from tests.support.ablations import ALL_RULES, STUCK_ID
from tests.support.fb import FbConfig
from tests.support.rule_appliance import READY
from tests.support.rule_bench import RuleBench
from tests.unit.plc.test_handshake import PASS, Bench

GOOD, BAD = True, False
RESULT = Status.RESULTS_VALID | Status.PASS | Status.FAIL


@pytest.fixture
def line() -> RuleBench:
    line = RuleBench(ALL_RULES)
    line.start()
    assert status(line) & Status.TRIGGER_READY
    return line


def status(line: RuleBench) -> Status:
    return Status(line.stat[0])


def answer(line: RuleBench) -> tuple[int, int, int]:
    """Id, code and reason of the record in the PLC's memory."""
    stat = Image(STAT, line.stat)
    return stat["RES_TRIGGER_ID"], stat["RESULT_CODE"], stat["REASON"]


def test_a_frozen_ready_is_not_believed(line):
    """Row 1: cable pulled while idle."""
    line.cut()
    assert not line.hs.stat["STATUS"] & Status.TRIGGER_READY
    for _ in range(60):
        line.scan()
    assert status(line) & Status.TRIGGER_READY  # what the PLC still sees
    line.scan(GOOD)
    assert not line.fb.ctrl[0] & Control.TRIGGER


def test_a_part_whose_link_was_cut_is_answered_link_lost_when_it_is_back(line):
    """Row 2: cable pulled mid-inspection, before the PLC saw ACK; TRIGGER stands."""
    line.scan(GOOD)
    line.poll()
    part = line.take()
    record = line.look(part)
    line.cut()
    assert line.publish(part, record) is None
    line.connect()
    line.poll()
    line.serve()
    assert answer(line) == (part.trigger_id, Verdict.NOT_INSPECTED, Reason.LINK_LOST)
    assert line.went_good == []


def test_a_trigger_raised_while_the_link_was_down_is_stale(line):
    """Row 3: the first image is a baseline."""
    line.cut()
    line.scan(GOOD)
    line.connect()
    line.poll()
    line.serve()
    assert answer(line) == (1, Verdict.NOT_INSPECTED, Reason.STALE_TRIGGER) and line.went_good == []


def test_a_pass_that_a_killed_daemon_left_behind_is_cleared_and_the_standing_id_answered_restarted(line):
    """Row 4: killed between the flags and their acknowledgement; the PLC has not dropped TRIGGER."""
    line.scan(GOOD)
    line.poll()
    part = line.take()
    line.publish(part, line.look(part))
    assert status(line) & Status.PASS
    line.restart_appliance()
    line.connect()
    line.poll()
    line.write()
    assert not status(line) & (RESULT | Status.TRIGGER_READY)
    line.serve()
    assert answer(line) == (part.trigger_id, Verdict.NOT_INSPECTED, Reason.RESTARTED) and line.went_good == []


def test_a_trigger_that_came_during_a_pause_is_stale_and_the_pause_is_shown(line):
    """Row 5: the daemon stood still for 80 ms."""
    for _ in range(8):
        line.scan(GOOD if not line.parts else None)
    line.poll()
    line.write()
    assert Status2.DEGRADED & line.stat[STAT["STATUS2"].offset]
    line.serve()
    assert answer(line) == (1, Verdict.NOT_INSPECTED, Reason.STALE_TRIGGER) and line.went_good == []


@pytest.mark.parametrize("clears", [True, False])
def test_the_record_of_an_old_id_1_is_not_taken_for_the_new_id_1(line, clears):
    """Row 6: the PLC restarts with a PASS of id 1 in its memory, and counts from 1 again."""
    line.turn(GOOD)
    part = line.take()
    line.publish(part, line.look(part))
    old = list(line.stat)
    line.restart_plc(clears=clears)
    line.stat = old
    for _ in range(3):
        line.scan()
    line.scan(BAD)
    line.wait(0.6)
    assert line.went_good == []
    for _ in range(3):
        line.inspect(GOOD)
    assert line.went_good[-2:] == [4, 5] and not line.wrong  # the first may be a duplicate


@pytest.mark.parametrize("register", ["PLC_HEARTBEAT", "PLC_SESSION"])
def test_a_restarted_plc_program_gets_a_reject_for_the_part_in_flight(register):
    """Row 6: its heartbeat went back, or it shows a new session."""
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    bench.ctrl[register] -= 3
    bench.sample()
    bench.sample()
    bench.sample()
    told = bench.publish(bench.parts[0])
    assert (told.code, told.reason) == (Verdict.NOT_INSPECTED, Reason.LINK_LOST)


def test_a_stopped_plc_program_whose_server_answers_on_is_not_inspected_for(line):
    """Row 7: PLC in STOP; on RUN it begins with a baseline."""
    line.turn(GOOD)
    part = line.take()
    record = line.look(part)
    frozen = list(line.ctrl)
    for _ in range(60):
        line.now += 0.01
        line.poll(frozen)
    assert line.hs.stat["OFFLINE_REASON"] == OfflineReason.PLC_HEARTBEAT and line.hs.link is Link.BASELINE
    loaded = line.hs.load(part, record, line.now)
    assert (loaded.code, loaded.reason) == (Verdict.NOT_INSPECTED, Reason.PLC_HEARTBEAT)
    line.hs.give_up(part, loaded, line.now)
    line.hs.line_free(True, line.now)
    line.wait(0.3)
    line.inspect(GOOD)
    assert line.went_good == [2]


def test_a_heartbeat_that_stops_with_a_part_in_flight_makes_it_a_reject():
    """Row 7: it was still fresh enough at the trigger, and is not any more at the publishing write."""
    bench = Bench()
    bench.connect()
    for _ in range(22):
        bench.sample(0.02, beat=False)
    bench.ctrl["TRIGGER_ID"] = 17
    bench.set(Control.TRIGGER, True)
    bench.sample(beat=False)
    assert bench.parts[0].refused is None
    bench.now += 0.1
    told = bench.publish(bench.parts[0])
    assert (told.code, told.reason) == (Verdict.NOT_INSPECTED, Reason.PLC_HEARTBEAT)


def test_a_constant_id_passes_one_part_and_rejects_every_later_one():
    """Row 8: a program error of the PLC."""
    line = RuleBench(STUCK_ID)
    line.start()
    for _ in range(20):
        line.inspect(GOOD)
    assert line.went_good == [1] and answer(line)[1:] == (Verdict.NOT_INSPECTED, Reason.DUPLICATE_ID)
    assert line.hs.stat["STATUS2"] & Status2.DUPLICATE_ID and line.hs.stat["STATUS"] & Status.ERROR
    assert line.hs.counts["DUPLICATES"] == line.hs.counts["TRIGGERS"] - 1 > 5


def test_a_trigger_that_was_never_seen_is_a_gap_in_the_ids():
    """Row 9: the PLC's pulse was too short."""
    bench = Bench()
    bench.connect()
    for id_ in (17, 19):
        bench.trigger(id_)
        bench.publish(bench.parts[-1])
        bench.acknowledge()
    assert bench.hs.counts["ID_GAPS"] == 1 and bench.hs.stat["STATUS2"] & Status2.ID_GAP
    assert [part.refused for part in bench.parts] == [None, None]


def test_an_image_that_comes_twice_is_one_trigger_and_one_good(line):
    """Row 10: duplicate write, or a retry of the client."""
    line.turn(GOOD)
    line.poll(list(line.ctrl))
    assert len(line.hs.events) == 1
    part = line.take()
    flags = line.publish(part, line.look(part))
    line.scan()
    line.deliver(flags)
    line.scan()
    line.deliver(flags)
    line.wait(0.1)
    assert line.went_good == [1] and line.hs.counts["TRIGGERS"] == 1


def test_a_trigger_while_busy_is_an_overrun_and_shifts_no_result(line):
    """Row 11: the next part comes while the first is judged; a PLC that triggers without READY."""
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    bench.set(Control.TRIGGER, False)
    bench.sample()
    bench.trigger(18)
    assert bench.status & Status.MISSED_TRIGGER
    first = bench.publish(bench.parts[0])
    assert (bench.hs.stat["RES_TRIGGER_ID"], first.code) == (17, Verdict.PASS)
    bench.acknowledge()
    second = bench.publish(bench.parts[1])
    assert (bench.hs.stat["RES_TRIGGER_ID"], second.code, second.reason) == (18, 4, Reason.OVERRUN)
    bench.acknowledge()
    bench.set(Control.CLEAR_ERROR, True)
    bench.sample()
    assert not bench.status & Status.MISSED_TRIGGER


def test_a_pass_that_comes_after_the_deadline_is_published_as_a_reject(line):
    """Row 12: inference slower than the deadline."""
    line.turn(GOOD)
    part = line.take()
    record = line.look(part)
    line.wait(0.16)
    line.publish(part, record)
    line.wait(0.1)
    assert answer(line) == (1, Verdict.NOT_INSPECTED, Reason.DEADLINE) and line.went_good == []


@pytest.mark.parametrize(
    ("offline", "error"), [(OfflineReason.CAMERA, Reason.CAMERA), (OfflineReason.STORAGE, Reason.STORAGE)]
)
def test_a_lost_camera_or_store_drops_ready_with_an_error_and_the_heartbeat_goes_on(line, offline, error):
    """Rows 13, 26: and an edge that crosses it is refused with the same reason."""
    line.hs.health(HealthInput(False, offline, error), line.now)
    line.scan(GOOD)  # the PLC still saw READY
    line.poll()
    line.write()
    assert not status(line) & Status.TRIGGER_READY and status(line) & Status.ERROR
    line.serve()
    assert answer(line) == (1, Verdict.NOT_INSPECTED, error) and line.went_good == []
    beat = line.stat[1]
    line.wait(0.2)
    assert line.stat[1] > beat


def test_a_result_that_is_never_acknowledged_is_cleared_after_ten_seconds():
    """Row 15: PASS is not latched for ever."""
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    bench.publish(bench.parts[0])
    bench.hs.tick(bench.now + 9.9)
    assert bench.status & Status.PASS
    bench.hs.tick(bench.now + 10.1)
    assert not bench.status & RESULT and bench.hs.stat["STATUS2"] & Status2.ACK_TIMEOUT


@pytest.mark.parametrize("cut_at", range(1, CTRL.size))
def test_a_torn_read_of_ctrl_is_looked_at_again_and_never_accepted_under_a_wrong_id(cut_at):
    """Row 16: the new image up to a register, the old one behind it; or the other way round."""
    for new_first in (True, False):
        bench = Bench()
        bench.ctrl["TRIGGER_ID"], bench.ctrl["TRIGGER_ID_INV"] = 17, 17 ^ 0xFFFF
        bench.connect()
        old = bench.ctrl.copy()
        bench.ctrl["TRIGGER_ID"], bench.ctrl["TRIGGER_ID_INV"] = 18, 18 ^ 0xFFFF
        bench.set(Control.TRIGGER, True)
        a, b = (bench.ctrl, old) if new_first else (old, bench.ctrl)
        bench.hs.sample(Image(CTRL, a.words[:cut_at] + b.words[cut_at:]), bench.now, bench.now)
        bench.sample()
        assert [(part.trigger_id, part.refused) for part in bench.parts] == [(18, None)]


def test_an_id_whose_inverse_does_not_fit_is_no_trigger_however_long_it_stands():
    """Row 16: ERROR and no READY until TRIGGER is 0 again; then the line goes on."""
    bench = Bench()
    bench.connect()
    bench.ctrl["TRIGGER_ID_INV"] = 17
    bench.trigger(17)
    for _ in range(5):
        bench.sample()
    assert not bench.parts and bench.status & Status.ERROR and not bench.status & Status.TRIGGER_READY
    bench.set(Control.TRIGGER, False)
    bench.sample()
    assert bench.status & Status.TRIGGER_READY


@pytest.mark.parametrize("first_code", [Verdict.PASS, Verdict.FAIL])
def test_a_torn_copy_of_stat_is_never_taken_for_good(line, first_code):
    """Row 17: each mixture of two parts' images, at each register, in both orders."""
    images = []
    for number, code in ((1, first_code), (2, Verdict.FAIL if first_code is Verdict.PASS else Verdict.PASS)):
        line.turn(GOOD)
        part = line.take()
        line.look(part)
        images.append(line.publish(part, Record(int(code), Reason.NONE, inspection_no=number, recipe_used=1)))
        line.wait(0.1)
    a, b = images
    for k in range(STAT.size + 1):
        for mixed in (a[:k] + b[k:], b[:k] + a[k:]):
            for id_ in (1, 2):
                line.fb.id = id_
                whole = Image(STAT, mixed)["INSPECTION_NO"] == id_ and Image(STAT, mixed)["RESULT_CODE"] == 1
                assert whole or not line.fb.good(mixed)


def test_nothing_is_published_to_a_plc_without_the_signature():
    """Row 21: wrong address, wrong PLC, or another one that answers there now."""
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    bench.ctrl["SIGNATURE"] = 0xA102
    bench.sample()
    assert bench.hs.simulator is None and bench.publish(bench.parts[0]) is None
    assert not bench.status & (RESULT | Status.TRIGGER_READY)


def test_a_second_appliance_drops_ready_until_a_person_acknowledges(line):
    """Row 22: two appliances on one STAT."""
    line.hs.owner_conflict(line.now)
    line.turn()
    assert line.hs.owner_doubted and not status(line) & Status.TRIGGER_READY
    line.fb.set(Control.CLEAR_ERROR, True)
    line.turn()
    assert not line.hs.owner_doubted and status(line) & Status.TRIGGER_READY


def test_words_that_belong_to_another_request_are_no_trigger(line):
    """Row 24: a late reply of a right length, with TRIGGER set in it by chance."""
    line.poll([0xFFFF] * CTRL.size)
    line.poll([*line.stat[: CTRL.size]])
    assert not line.hs.events and line.hs.link is Link.BASELINE
    assert not line.hs.stat["STATUS"] & Status.TRIGGER_READY


def test_a_part_of_another_recipe_is_not_inspected():
    """Row 25: the PLC believes in another recipe."""
    line = RuleBench(replace(ALL_RULES, fb_cfg=FbConfig(recipe_expected=2)))
    line.start()
    line.turn(GOOD)
    line.serve()
    assert answer(line) == (1, Verdict.NOT_INSPECTED, Reason.RECIPE_MISMATCH) and line.went_good == []


def test_a_recipe_that_changes_between_accept_and_publish_makes_it_a_reject(line):
    """Row 25: change-over while a part is in flight, on either side."""
    for change in ("plc", "appliance"):
        line.turn(GOOD)
        part = line.take()
        record = line.look(part)
        if change == "plc":
            line.fb.ctrl[CTRL["RECIPE_EXPECTED"].offset] = 2
            line.turn()
            line.publish(part, record)
            line.fb.ctrl[CTRL["RECIPE_EXPECTED"].offset] = 0
        else:
            line.publish(part, replace(record, recipe_used=2))
        assert answer(line)[1:] == (Verdict.NOT_INSPECTED, Reason.RECIPE_MISMATCH)
        line.wait(0.2)
    assert line.went_good == []


def test_a_pass_by_another_recipe_is_not_taken_by_the_plc(line):
    """Row 25: the PLC's own check, were the appliance wrong."""
    line.turn(GOOD)
    part = line.take()
    flags = line.publish(part, line.look(part))
    line.fb.cfg = replace(line.fb.cfg, recipe_expected=2)
    assert not line.fb.good(flags)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_of_the_wall_clock_changes_no_verdict(line, hours):
    """Row 27: all timers are monotonic; the record's UTC is only shown."""
    for utc_ms, expected in ((1_000_000_000_000, [1]), (1_000_000_000_000 + hours * 3_600_000, [1, 2])):
        line.turn(GOOD)
        part = line.take()
        line.publish(part, replace(line.look(part), utc_ms=utc_ms))
        line.wait(0.2)
        assert line.went_good == expected


def test_an_orderly_stop_answers_the_part_in_flight_offline_and_shows_online_0(line):
    """Row 28: SIGTERM, update."""
    line.turn(GOOD)
    part = line.take()
    record = line.look(part)
    line.hs.stop(line.now)
    line.publish(part, record)
    line.wait(0.1)
    assert answer(line) == (1, Verdict.NOT_INSPECTED, Reason.OFFLINE) and line.went_good == []
    assert not status(line) & Status.ONLINE and line.stat[STAT["STATE"].offset] == VisionState.HALTED


def test_the_bench_is_ready_with_the_products_own_defaults():
    """What these rows are tested with is what a station runs with."""
    assert HandshakeConfig().max_trigger_age_s == 0.05 and READY.ready and PASS.code == Verdict.PASS
