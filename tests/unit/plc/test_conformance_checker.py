"""The conformance suite's checker: a right cycle breaks no rule, and each rule goes red on a violation made for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plc.conformance.checker import Checker
from plc.registers import CTRL, SIGNATURE, STAT, Control, OfflineReason, Reason, Status
from tests.support.checked_line import ACKED, READY, VALID, Line, heartbeat_backwards


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
