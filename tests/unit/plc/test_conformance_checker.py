"""The conformance suite's checker: a right cycle breaks no rule, and each rule goes red on a violation made for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plc.conformance.checker import Checker
from plc.images import Image, seal_record
from plc.registers import CTRL, SIGNATURE, STAT, Control, OfflineReason, Reason, Status, Verdict

READY = Status.ONLINE | Status.TRIGGER_READY
ACKED = Status.ONLINE | Status.TRIGGER_ACK
VALID = ACKED | Status.RESULTS_VALID


class Line:
    """A checker, and both images as a right appliance and a right PLC would show them."""

    def __init__(self, *, complete: bool = True) -> None:
        self.checker = Checker(complete=complete, two_phase=True)
        self.stat, self.control, self.seq = Image(STAT), Image(CTRL), 0
        self.by = 1  # the connection that images come and go by
        self.stat["STAT_SIGNATURE"] = SIGNATURE + 1
        self.control["CONTROL"] = Control.TRIGGER_ENABLE
        self.ctrl()
        self.show(READY)

    def ctrl(self) -> None:
        self.checker.ctrl(list(self.control.words), self.by)

    def show(self, status: Status, **registers: int) -> None:
        self.stat["STATUS"] = status
        self.stat["HEARTBEAT"] += 1
        for name, value in registers.items():
            self.stat[name] = value
        self.checker.stat(list(self.stat.words), self.by)

    def trigger(self, id_: int, *, good: bool = True, test_part: bool = False) -> None:
        self.control["CONTROL"] = Control.TRIGGER_ENABLE | Control.TRIGGER
        self.control["TRIGGER_ID"] = id_
        self.checker.trigger(id_, good=good, test_part=test_part)
        self.ctrl()

    def acknowledge(self, id_: int) -> None:
        self.show(ACKED, TRIGGER_ID_ACK=id_)

    def load(self, id_: int, code: int = 1, reason: int = 0, **more: int) -> None:
        self.seq += 1
        for name, value in {"RES_TRIGGER_ID": id_, "RESULT_CODE": code, "REASON": reason, **more}.items():
            self.stat[name] = value
        seal_record(self.stat, self.seq)

    def publish(self, id_: int, code: int = 1, reason: int = 0, **more: int) -> None:
        self.load(id_, code, reason, **more)
        self.show(ACKED)
        self.show(VALID | (Status.PASS if code == Verdict.PASS else Status.FAIL))

    def release(self) -> None:
        self.control["CONTROL"] = Control.TRIGGER_ENABLE
        self.ctrl()
        self.show(Status.ONLINE)
        self.show(READY)

    def decide(self, id_: int, verdict: int) -> None:
        self.control["PLC_VERDICT_ID"], self.control["PLC_VERDICT"] = id_, verdict
        self.ctrl()

    def cycle(self, id_: int, code: int = 1, reason: int = 0) -> None:
        self.trigger(id_, good=code == Verdict.PASS)
        self.acknowledge(id_)
        self.publish(id_, code, reason)
        self.release()
        self.decide(id_, 1 if code == Verdict.PASS else 2)


def test_right_cycles_break_no_rule():
    line = Line()
    for id_ in range(1, 20):
        line.cycle(id_, *((1, 0), (2, Reason.CLASS), (4, Reason.DEADLINE))[id_ % 3])
    line.checker.settled()
    assert line.checker.violations == []
    assert (line.checker.counts["results"], line.checker.counts["passes"]) == (19, 6)


def test_a_refused_repetition_of_an_id_breaks_no_rule():
    line = Line()
    line.cycle(7)
    line.trigger(7, good=False)
    line.acknowledge(7)
    line.publish(7, 4, Reason.DUPLICATE_ID)
    line.release()
    line.checker.settled()
    assert line.checker.violations == []


def pass_and_fail(line: Line) -> None:
    line.show(VALID | Status.PASS | Status.FAIL)


def neither_pass_nor_fail(line: Line) -> None:
    line.publish(5)
    line.show(VALID)


def pass_without_valid(line: Line) -> None:
    line.show(ACKED | Status.PASS)


def wrong_station(line: Line) -> None:
    line.show(ACKED, STAT_SIGNATURE=SIGNATURE + 2)


def error_without_code(line: Line) -> None:
    line.show(ACKED | Status.ERROR)


def ready_with_a_result(line: Line) -> None:
    line.publish(5)
    line.show(VALID | Status.PASS | Status.TRIGGER_READY)


def ready_while_offline(line: Line) -> None:
    line.show(READY, OFFLINE_REASON=OfflineReason.CAMERA)


def ready_while_trigger_stands(line: Line) -> None:
    line.ctrl()
    line.show(READY)


def not_online_and_no_reason(line: Line) -> None:
    line.show(Status(0))


def acknowledge_of_0(line: Line) -> None:
    line.show(ACKED, TRIGGER_ID_ACK=0)


def acknowledge_of_nothing(line: Line) -> None:
    line.acknowledge(99)


def torn_record(line: Line) -> None:
    line.load(5)
    line.stat["RES_SEQ_TAIL"] = 77
    line.show(ACKED)
    line.show(VALID | Status.PASS)


def wrong_check_word(line: Line) -> None:
    line.load(5)
    line.stat["RES_XOR"] ^= 4
    line.show(ACKED)
    line.show(VALID | Status.PASS)


def pass_bit_with_another_code(line: Line) -> None:
    line.load(5, 2, Reason.CLASS)
    line.show(ACKED)
    line.show(VALID | Status.PASS)


def pass_with_a_reason(line: Line) -> None:
    line.publish(5, 1, Reason.CLASS)


def flags_before_the_record(line: Line) -> None:
    line.load(5)
    line.show(VALID | Status.PASS)


def result_of_nothing(line: Line) -> None:
    line.publish(99)


def result_before_the_acknowledge(line: Line) -> None:
    line.checker.triggers[-1].acked = False
    line.stat["TRIGGER_ID_ACK"] = 3
    line.publish(5)


def second_verdict(line: Line) -> None:
    line.publish(5, 2, Reason.CLASS)
    line.show(ACKED)
    line.publish(5, 1)


def pass_for_a_bad_part(line: Line) -> None:
    line.checker.triggers[-1].good = False
    line.publish(5)


def pass_for_a_test_part(line: Line) -> None:
    line.checker.triggers[-1].test_part = True
    line.publish(5)


def fail_for_a_test_part(line: Line) -> None:
    line.publish(5, 2, Reason.CLASS, RESULT_FLAGS=1)


def pass_without_ready_before(line: Line) -> None:
    line.checker.triggers[-1].ready = False
    line.publish(5)


def heartbeat_backwards(line: Line) -> None:
    line.stat["HEARTBEAT"] -= 10
    line.show(ACKED)


def record_changes_while_valid(line: Line) -> None:
    line.publish(5)
    line.load(5)
    line.show(VALID | Status.PASS)


def sequence_backwards(line: Line) -> None:
    line.seq = 40
    line.publish(5)
    line.show(ACKED)
    line.seq = 20
    line.load(5, 4, Reason.LINK_LOST)
    line.show(ACKED)


def rejected_part_taken_as_good(line: Line) -> None:
    line.publish(5, 2, Reason.CLASS)
    line.release()
    line.decide(5, 1)


def part_taken_as_good_twice(line: Line) -> None:
    line.publish(5)
    line.release()
    line.decide(5, 1)
    line.decide(5, 2)
    line.decide(5, 1)


def never_answered(line: Line) -> None:
    line.checker.settled()


BROKEN: dict[Callable[[Line], None], str] = {
    pass_and_fail: "PASS and FAIL are antivalent while VALID",
    neither_pass_nor_fail: "PASS and FAIL are antivalent while VALID",
    pass_without_valid: "PASS and FAIL are 0 unless VALID",
    wrong_station: "STAT_SIGNATURE",
    error_without_code: "ERROR has a code",
    ready_with_a_result: "READY only when free and online",
    ready_while_offline: "READY only when free and online",
    ready_while_trigger_stands: "READY needs ENABLE, no TRIGGER, no RESULTS_ACK",
    not_online_and_no_reason: "OFFLINE_REASON says why",
    acknowledge_of_0: "id 0 is refused",
    acknowledge_of_nothing: "ACK only for a trigger that came",
    torn_record: "RES_SEQ = RES_SEQ_TAIL",
    wrong_check_word: "RES_XOR",
    pass_bit_with_another_code: "PASS bit = RESULT_CODE 1",
    pass_with_a_reason: "REASON fits RESULT_CODE",
    flags_before_the_record: "P6: record before flags",
    result_of_nothing: "a result only for a trigger that came",
    result_before_the_acknowledge: "VALID only after ACK",
    second_verdict: "P9: one verdict per accepted id",
    pass_for_a_bad_part: "no wrong accept",
    pass_for_a_test_part: "P11: a test part is never product",
    fail_for_a_test_part: "P11: a test part is never product",
    pass_without_ready_before: "P7: PASS only for a trigger under READY",
    heartbeat_backwards: "HEARTBEAT counts up",
    record_changes_while_valid: "a valid record stands still",
    sequence_backwards: "RES_SEQ counts up",
    rejected_part_taken_as_good: "no wrong accept",
    part_taken_as_good_twice: "no wrong accept",
    never_answered: "P9: one verdict per accepted id",
}


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda breaking: breaking.__name__)
def test_each_rule_goes_red_on_a_violation_made_for_it(breaking):
    line = Line()
    line.trigger(5)
    line.acknowledge(5)
    assert line.checker.violations == []
    breaking(line)
    assert BROKEN[breaking] in [violation.rule for violation in line.checker.violations]


def test_a_part_of_stat_or_a_foreign_block_that_is_written_breaks_a_rule():
    checker = Checker()
    checker.write(STAT.base, [0] * 2, STAT.base, 100)
    checker.write(CTRL.base, [0] * CTRL.size, STAT.base, 100)
    assert [v.rule for v in checker.violations] == ["P4, P5: whole STAT or DIAG only"] * 2


def test_what_a_cut_or_trigger_enable_0_leaves_unanswered_is_excused():
    line = Line()
    line.trigger(5)
    line.acknowledge(5)
    line.control["CONTROL"] = Control(0)
    line.ctrl()
    line.checker.settled()
    assert line.checker.violations == []


# -- an ended connection whose bytes arrive after the first of its successor -------------------------------------------


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
