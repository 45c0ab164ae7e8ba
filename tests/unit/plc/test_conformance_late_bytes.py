"""The conformance suite's checker, where an ended connection's bytes arrive after the first of its successor."""

from __future__ import annotations

from plc.images import Image
from plc.registers import Control, Reason, Status
from tests.support.checked_line import ACKED, READY, VALID, Line, heartbeat_backwards


def rules(line: Line) -> list[str]:
    return [violation.rule for violation in line.checker.violations]


def in_flight() -> Line:
    """Id 5 is acknowledged by connection 1."""
    line = Line()
    line.trigger(5)
    line.acknowledge(5)
    return line


def successor(line: Line) -> Image:
    """Connection 2 has shown its first image. Returns the image that connection 1 stood at, to go on with."""
    old = line.stat.copy()
    line.checker.session("cut")
    line.by = 2
    line.show(Status.ONLINE, TRIGGER_ID_ACK=0)
    line.by, line.stat = 1, old
    return old


def test_record_and_flags_that_come_late_and_in_their_order_break_no_rule():
    line = in_flight()
    successor(line)
    line.publish(5)
    assert rules(line) == []
    assert line.checker.triggers[-1].verdicts == [(1, 0)]


def test_flags_that_come_late_need_their_record_in_the_write_before_on_their_own_connection():
    """The successor wrote the right record, flags down, in between: that is not the write before."""
    line = in_flight()
    old = successor(line)
    line.load(5)
    line.by = 2
    line.show(Status.ONLINE)
    line.by, line.stat = 1, old
    line.load(5)
    line.show(VALID | Status.PASS)
    assert rules(line) == ["P6: record before flags"]


def test_flags_that_come_after_the_session_was_declared_over_find_the_record_of_before_it():
    """The first broken rule that was traced: record, cut, and the flags were still on their way."""
    line = in_flight()
    line.load(5)
    line.show(ACKED)
    line.checker.session("cut")
    line.show(VALID | Status.PASS)
    assert rules(line) == []


def test_a_session_that_is_over_excuses_no_flags_without_their_record():
    line = in_flight()
    line.checker.session("cut")
    line.load(5)
    line.show(VALID | Status.PASS)
    assert rules(line) == ["P6: record before flags"]


def test_the_first_image_of_a_connection_shows_no_new_result():
    line = in_flight()
    line.checker.session("cut")
    line.by = 2
    line.load(5, 2, Reason.CLASS)
    line.show(VALID | Status.FAIL)
    assert rules(line) == ["P6: record before flags"]


def test_ready_that_comes_late_is_held_against_what_its_own_connection_saw():
    """The second that was traced: the successor has read RESULTS_ACK twice, the late READY was written before that."""
    line = Line()
    line.ctrl()
    successor(line)
    line.by = 2
    line.control["CONTROL"] = Control.TRIGGER_ENABLE | Control.RESULTS_ACK
    line.ctrl()
    line.ctrl()
    line.by = 1
    line.show(READY)
    assert rules(line) == []
    line.by = 2
    line.stat["HEARTBEAT"] += 5
    line.show(READY)
    assert rules(line) == ["READY needs ENABLE, no TRIGGER, no RESULTS_ACK"]


def test_ready_that_comes_late_and_was_wrong_when_it_was_written_breaks_the_rule():
    line = Line()
    line.control["CONTROL"] = Control.TRIGGER_ENABLE | Control.RESULTS_ACK
    line.ctrl()
    line.ctrl()
    successor(line)
    line.show(READY)
    assert rules(line) == ["READY needs ENABLE, no TRIGGER, no RESULTS_ACK"]


def test_a_pass_that_comes_after_the_refusal_of_its_successor_was_told_before_it():
    line = in_flight()
    old = successor(line)
    line.by = 2
    line.acknowledge(5)
    line.publish(5, 4, Reason.LINK_LOST)
    line.by, line.stat = 1, old
    line.publish(5)
    assert rules(line) == []
    assert line.checker.triggers[-1].verdicts == [(1, 0), (4, Reason.LINK_LOST)]


def test_a_pass_that_a_successor_tells_after_another_verdict_breaks_the_rule():
    """P8: no PASS crosses a session. The order of sending is known where the newer connection told it."""
    for earlier in ((4, Reason.LINK_LOST), (2, Reason.CLASS)):
        line = in_flight()
        line.publish(5, *earlier)
        line.checker.session("cut")
        line.by = 2
        line.show(Status.ONLINE)
        line.publish(5)
        assert rules(line) == ["P9: one verdict per accepted id", "P8: no PASS crosses a session"]


def test_a_pass_of_a_successor_for_an_id_that_was_acknowledged_before_it_breaks_the_rule():
    for loaded_before in (False, True):
        line = in_flight()
        if loaded_before:
            line.load(5)
            line.show(ACKED)
        line.checker.session("cut")
        line.by = 2
        if loaded_before:
            line.show(VALID | Status.PASS)
        else:
            line.publish(5)
        assert rules(line) == ["P8: no PASS crosses a session"]


def test_a_verdict_that_comes_late_is_still_the_only_one_beside_refusals():
    line = in_flight()
    old = successor(line)
    line.by = 2
    line.acknowledge(5)
    line.publish(5, 2, Reason.CLASS)
    line.by, line.stat = 1, old
    line.publish(5)
    assert rules(line) == ["P9: one verdict per accepted id"]


def test_a_pass_that_comes_late_for_a_part_that_may_not_pass_is_a_wrong_accept():
    line = in_flight()
    line.checker.triggers[-1].good = False
    successor(line)
    line.publish(5)
    assert rules(line) == ["no wrong accept"]


def test_within_one_connection_the_order_counts_however_late_its_bytes_are():
    line = in_flight()
    successor(line)
    heartbeat_backwards(line)
    assert rules(line) == ["HEARTBEAT counts up"]


def test_where_images_are_sampled_a_new_session_may_count_anew():
    line = Line(complete=False)
    line.checker.session("the appliance was restarted")
    line.stat["HEARTBEAT"] -= 10
    line.show(READY)
    assert rules(line) == []
    line.stat["HEARTBEAT"] -= 10
    line.show(READY)
    assert rules(line) == ["HEARTBEAT counts up"]


def test_a_plc_that_reads_over_a_new_connection_may_see_the_verdict_of_the_session_that_still_stands():
    """Server direction: the appliance's session ends by its owner's silence, not by the connection of who reads."""
    line = Line(complete=False)
    line.trigger(5)
    line.acknowledge(5)
    line.by = 2
    line.publish(5)
    assert rules(line) == []
    assert line.checker.triggers[-1].told_on == [2]
