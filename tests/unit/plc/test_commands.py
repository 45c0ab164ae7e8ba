"""Commands of the PLC and change-over between recipes, on a clock that the test holds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plc.commands import CommandRequest
from plc.handshake import HandshakeConfig, Record
from plc.registers import Command, CommandResult, Control, OfflineReason, Reason, Status, Verdict, VisionState
from tests.unit.plc.test_handshake import PASS, Bench

ANSWERED = Status.COMMAND_COMPLETED | Status.COMMAND_FAILED
SHOWN = ANSWERED | Status.COMMAND_EXECUTING
PASS_OF_2 = Record(int(Verdict.PASS), Reason.NONE, recipe_used=2)


class Line(Bench):
    """A bench whose PLC gives commands."""

    _ids = itertools.count(1)

    def command(self, command: int, arg: int = 0, id_: int | None = None) -> int:
        """Raise EXECUTE_COMMAND; returns COMMAND_ID."""
        id_ = next(self._ids) if id_ is None else id_
        self.ctrl["COMMAND"], self.ctrl["COMMAND_ARG"], self.ctrl["COMMAND_ID"] = command, arg, id_
        self.set(Control.EXECUTE_COMMAND, True)
        self.sample()
        return id_

    def release(self) -> None:
        self.set(Control.EXECUTE_COMMAND, False)
        self.sample()

    def enable(self, on: bool) -> None:
        self.set(Control.TRIGGER_ENABLE, on)
        self.sample()

    def wait(self, seconds: float) -> None:
        """Time passes while both programs run."""
        for _ in range(round(seconds / 0.04)):
            self.sample(0.04)
            self.hs.tick(self.now)

    def prepare(self, recipe: int) -> CommandRequest:
        """Steps 1 to 3 of section 6 of the contract."""
        self.enable(False)
        self.command(Command.PREPARE_RECIPE, recipe)
        return self.hs.requests.popleft()

    @property
    def shown(self) -> tuple[Status, int, int]:
        """Flags of the command, COMMAND_RESULT and ACTIVE_RECIPE."""
        return self.status & SHOWN, self.hs.stat["COMMAND_RESULT"], self.hs.stat["ACTIVE_RECIPE"]


@pytest.fixture
def line():
    line = Line()
    line.connect()
    assert line.status & Status.TRIGGER_READY
    return line


def test_a_change_over_shows_each_step_and_ends_ready_with_the_new_recipe(line):
    line.enable(False)
    id_ = line.command(Command.PREPARE_RECIPE, 2)
    stat = line.hs.stat
    assert line.shown == (Status.COMMAND_EXECUTING, CommandResult.IDLE, 0)
    assert (stat["COMMAND_ID_ACK"], stat["STATE"]) == (id_, VisionState.INITIALIZED)
    assert stat["OFFLINE_REASON"] == OfflineReason.CHANGE_OVER
    request = line.hs.requests.popleft()
    assert (request.command, request.arg, request.id) == (Command.PREPARE_RECIPE, 2, id_)
    assert line.hs.answer(request, CommandResult.OK, line.now, active_recipe=2, settings_checksum=77)
    assert line.shown == (Status.COMMAND_COMPLETED, CommandResult.OK, 2)
    assert (stat["SETTINGS_CHECKSUM"], stat["STATE"]) == (77, VisionState.READY)
    line.release()
    assert not line.status & SHOWN
    line.ctrl["RECIPE_EXPECTED"] = 2
    line.enable(True)
    assert line.status & Status.TRIGGER_READY
    line.trigger(17)
    assert line.publish(line.parts[-1], PASS_OF_2) == PASS_OF_2


@pytest.mark.parametrize(
    "result", [CommandResult.UNKNOWN_RECIPE, CommandResult.LOAD_FAILED, CommandResult.HASH_MISMATCH]
)
def test_after_a_change_over_that_failed_no_recipe_is_active_and_no_part_is_inspected(line, result):
    request = line.prepare(2)
    assert line.hs.answer(request, result, line.now)
    assert line.shown == (Status.COMMAND_FAILED, result, 0)
    line.release()
    line.enable(True)
    assert not line.status & Status.TRIGGER_READY and line.hs.stat["OFFLINE_REASON"] == OfflineReason.NO_RECIPE
    line.trigger(17)
    assert line.parts[-1].refused is Reason.RECIPE_MISMATCH


def test_a_change_over_is_not_allowed_while_triggers_are_enabled(line):
    line.command(Command.PREPARE_RECIPE, 2)
    assert line.shown == (Status.COMMAND_FAILED, CommandResult.NOT_ALLOWED, 1) and not line.hs.requests


def test_a_change_over_with_a_part_in_flight_is_busy_until_system_busy_falls(line):
    line.trigger(17)
    line.set(Control.TRIGGER, False)
    line.enable(False)
    assert line.status & Status.SYSTEM_BUSY, "the line still has the part that was aborted"
    line.command(Command.PREPARE_RECIPE, 2)
    assert line.shown == (Status.COMMAND_FAILED, CommandResult.BUSY, 1) and not line.hs.requests
    line.release()
    line.hs.give_up(line.parts[-1], PASS, line.now)
    assert not line.status & Status.SYSTEM_BUSY
    line.prepare(2)


def test_a_second_command_during_a_change_over_is_busy_and_the_first_goes_on(line):
    request = line.prepare(2)
    line.release()
    line.command(Command.PREPARE_RECIPE, 3)
    assert line.shown == (Status.COMMAND_FAILED, CommandResult.BUSY, 0) and not line.hs.requests
    line.release()
    line.command(Command.PREPARE_RECIPE, 2, request.id)
    assert line.shown == (Status.COMMAND_EXECUTING, CommandResult.IDLE, 0), "asked again: it still runs"
    assert line.hs.answer(request, CommandResult.OK, line.now, active_recipe=2)
    assert line.shown == (Status.COMMAND_COMPLETED, CommandResult.OK, 2)


def test_a_repeated_command_id_has_the_same_answer_and_is_not_executed_twice(line):
    request = line.prepare(2)
    line.hs.answer(request, CommandResult.LOAD_FAILED, line.now)
    for _ in range(3):
        line.release()
        line.command(Command.PREPARE_RECIPE, 2, request.id)
        assert line.shown == (Status.COMMAND_FAILED, CommandResult.LOAD_FAILED, 0) and not line.hs.requests
    line.release()
    line.command(Command.PREPARE_RECIPE, 2, request.id + 1000)
    assert len(line.hs.requests) == 1


def test_the_id_of_a_plc_that_started_anew_is_no_repetition(line):
    request = line.prepare(2)
    line.hs.answer(request, CommandResult.OK, line.now, active_recipe=2)
    line.release()
    line.ctrl["PLC_SESSION"] += 1
    line.sample()
    line.command(Command.PREPARE_RECIPE, 1, request.id)
    assert [r.arg for r in line.hs.requests] == [1]


def test_a_command_that_takes_too_long_is_told_and_its_late_answer_leaves_no_recipe_active(line):
    request = line.prepare(2)
    line.wait(HandshakeConfig().command_timeout_s + 0.1)
    assert line.shown == (Status.COMMAND_FAILED, CommandResult.TIMEOUT, 0)
    assert line.hs.stat["OFFLINE_REASON"] == OfflineReason.CHANGE_OVER, "the appliance is still at it"
    line.release()
    line.command(Command.PREPARE_RECIPE, 1)
    assert line.shown[1] == CommandResult.BUSY
    line.release()
    assert not line.hs.answer(request, CommandResult.OK, line.now, active_recipe=2, settings_checksum=5)
    assert line.shown == (Status(0), CommandResult.BUSY, 0) and line.hs.stat["SETTINGS_CHECKSUM"] == 0
    line.enable(True)
    assert line.hs.stat["OFFLINE_REASON"] == OfflineReason.NO_RECIPE


def test_execute_that_is_held_for_ten_seconds_after_the_answer_is_cleared(line):
    line.hs.answer(line.prepare(2), CommandResult.OK, line.now, active_recipe=2)
    line.wait(9.9)
    assert line.status & ANSWERED
    line.wait(0.2)
    assert not line.status & SHOWN and line.hs.stat["ACTIVE_RECIPE"] == 2


@pytest.mark.parametrize("lost", ["link", "plc"])
def test_link_loss_or_a_plc_restart_during_a_change_over_loses_nothing(line, lost):
    request = line.prepare(2)
    if lost == "link":
        line.hs.link_down(line.now)
    else:
        line.ctrl["PLC_SESSION"] += 1
        line.sample()
    assert line.hs.answer(request, CommandResult.OK, line.now, active_recipe=2)
    assert line.hs.stat["ACTIVE_RECIPE"] == 2
    if lost == "link":
        line.connect()
        assert line.shown == (Status.COMMAND_COMPLETED, CommandResult.OK, 2), "EXECUTE_COMMAND still asks"
    line.release()
    line.sample()
    line.enable(True)
    assert line.status & Status.TRIGGER_READY


def test_no_pass_crosses_a_change_over_not_even_back_to_the_same_recipe(line):
    """However it came about that the recipe changed between accept and publish (P8)."""
    line.trigger(17)
    line.hs._activate(2, 0)
    line.hs._activate(1, 0)
    told = line.publish(line.parts[-1])
    assert told is not None and (told.code, told.reason) == (Verdict.NOT_INSPECTED, Reason.RECIPE_MISMATCH)


def test_unprepare_leaves_no_recipe(line):
    line.enable(False)
    line.command(Command.UNPREPARE_RECIPE, 1)
    assert line.hs.answer(line.hs.requests.popleft(), CommandResult.OK, line.now, active_recipe=0)
    assert line.shown == (Status.COMMAND_COMPLETED, CommandResult.OK, 0)
    line.release()
    line.enable(True)
    assert line.hs.stat["OFFLINE_REASON"] == OfflineReason.NO_RECIPE


def test_halt_stops_the_line_until_reset(line):
    line.command(Command.HALT)
    stat = line.hs.stat
    assert stat["STATE"] == VisionState.HALTED and not line.status & (Status.TRIGGER_READY | Status.ONLINE)
    line.release()
    assert stat["OFFLINE_REASON"] == OfflineReason.SET_OFFLINE
    line.command(Command.RESET)
    assert line.status & Status.TRIGGER_READY and line.status & Status.COMMAND_COMPLETED


def test_abort_ends_the_part_in_flight_without_a_result(line):
    line.trigger(17)
    line.command(Command.ABORT)
    assert line.publish(line.parts[-1]) is None
    assert line.hs.give_up(line.parts[-1], PASS, line.now).reason is Reason.OFFLINE


def test_counters_start_anew_on_command(line):
    line.trigger(17)
    line.publish(line.parts[-1])
    line.command(Command.RESET_COUNTERS)
    assert line.shown[1] == CommandResult.BUSY and line.hs.counts["TRIGGERS"] == 1
    line.release()
    line.acknowledge()
    line.command(Command.RESET_COUNTERS)
    assert set(line.hs.counts.values()) == {0}
    assert line.hs.answer(line.hs.requests.popleft(), CommandResult.OK, line.now)
    assert line.shown == (Status.COMMAND_COMPLETED, CommandResult.OK, 1)
    line.trigger(18)
    line.publish(line.parts[-1])
    assert (line.hs.counts["TRIGGERS"], line.hs.counts["PASS"]) == (1, 1)


def test_a_command_that_stands_while_the_plc_pauses_is_not_executed_twice(line):
    line.command(Command.RESET_COUNTERS)
    line.hs.answer(line.hs.requests.popleft(), CommandResult.OK, line.now)
    line.now += 5
    line.sample(beat=False)
    line.sample()
    assert not line.hs.requests and line.hs.stat["COMMAND_RESULT"] == CommandResult.OK


def test_a_self_test_takes_ready_and_keeps_the_recipe(line):
    line.enable(False)
    line.command(Command.SELF_TEST)
    line.enable(True)
    assert line.hs.stat["OFFLINE_REASON"] == OfflineReason.CHECK_DUE and line.hs.stat["ACTIVE_RECIPE"] == 1
    line.hs.answer(line.hs.requests.popleft(), CommandResult.OK, line.now)
    assert line.status & Status.TRIGGER_READY


@pytest.mark.parametrize(
    ("command", "id_"), [(Command.DEQUEUE_RESULT, 5), (4, 5), (0, 5), (Command.ACKNOWLEDGE_ERROR, 0)]
)
def test_a_command_that_there_is_not_and_id_0_are_not_allowed(line, command, id_):
    line.command(command, id_=id_)
    assert line.shown[:2] == (Status.COMMAND_FAILED, CommandResult.NOT_ALLOWED)


def test_a_part_that_the_plc_took_as_good_unasked_latches_until_acknowledged_and_names_the_part(line):
    line.ctrl["PART_ID"] = 4711
    line.trigger(17)
    line.publish(line.parts[-1], Record(int(Verdict.FAIL), Reason.CLASS, recipe_used=1))
    line.acknowledge()
    line.ctrl["PLC_VERDICT_ID"], line.ctrl["PLC_VERDICT"] = 17, 1
    line.sample()
    line.sample()  # one image alone may be torn
    assert list(line.hs.wrong_parts) == [(17, 4711)] and line.hs.stat["OFFLINE_REASON"] == OfflineReason.LATCHED_ERROR
    line.hs.link_down(line.now)
    line.connect()
    assert not line.status & Status.TRIGGER_READY and line.status & Status.ERROR
    line.command(Command.ACKNOWLEDGE_ERROR)
    assert line.status & Status.TRIGGER_READY and not line.hs.wrong_parts


def _one_test_part(line: Line, id_: int) -> None:
    line.trigger(id_)
    line.publish(line.parts[-1])
    line.acknowledge()


def test_test_part_that_is_stuck_passes_nothing_and_expires_after_so_many_parts(line):
    line.set(Control.TEST_PART, True)
    for id_ in range(1, 51):
        assert line.status & Status.TRIGGER_READY
        _one_test_part(line, id_)
        assert not line.status & Status.PASS
        line.hs.tick(line.now)
    assert line.status & Status.ERROR and not line.status & Status.TRIGGER_READY
    assert line.hs.counts["TEST"] == 50 and line.hs.counts["PASS"] == 0
    line.trigger(99)
    assert line.parts[-1].refused is not None


def test_test_part_expires_after_so_long_also_across_a_lost_link_and_needs_both_0_and_acknowledge(line):
    line.set(Control.TEST_PART, True)
    line.sample()
    line.hs.link_down(line.now)
    line.now += 601
    line.connect()
    line.hs.tick(line.now)
    assert line.hs.test_part_expired and not line.status & Status.TRIGGER_READY
    line.command(Command.ACKNOWLEDGE_ERROR)
    line.release()
    assert line.hs.test_part_expired, "it still stands"
    line.set(Control.TEST_PART, False)
    line.sample()
    assert line.hs.test_part_expired, "nobody took note"
    line.command(Command.ACKNOWLEDGE_ERROR)
    assert line.status & Status.TRIGGER_READY and not line.status & Status.ERROR


class AnyCommands(RuleBasedStateMachine):
    """Whatever a PLC commands: one answer for each id, no PASS across a change, and no recipe but an answered one."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.line.connect()
        self.active, self.taken, self.waiting = 1, [], None
        self.acked = 0  # COMMAND_ID_ACK before the step: once another id was looked at, an older one is new again

    def _take(self) -> None:
        while self.line.hs.requests:
            request = self.line.hs.requests.popleft()
            assert self.waiting is None, "two at once"
            assert request.id != self.acked or request.id not in self.taken[-1:], "executed twice"
            self.taken.append(request.id)
            self.waiting = request
            if request.command in (Command.PREPARE_RECIPE, Command.UNPREPARE_RECIPE):
                self.active = 0
        self.acked = self.line.hs.stat["COMMAND_ID_ACK"]

    @rule(command=st.sampled_from([*Command, 5]), arg=st.integers(0, 3), id_=st.integers(0, 3))
    def command(self, command: int, arg: int, id_: int) -> None:
        self.line.command(command, arg, id_)
        self._take()

    @rule(bit=st.sampled_from(list(Control)), on=st.booleans())
    def flip(self, bit: Control, on: bool) -> None:
        self.line.set(bit, on)
        self.line.sample()
        self._take()

    @rule(wait_s=st.sampled_from([0.002, 5.0, 30.0]), beat=st.booleans())
    def wait(self, wait_s: float, beat: bool) -> None:
        self.line.now += wait_s
        self.line.sample(beat=beat)
        self.line.hs.tick(self.line.now)
        self._take()

    @rule(result=st.sampled_from([r for r in CommandResult if r not in (CommandResult.IDLE, CommandResult.TIMEOUT)]))
    def answer(self, result: CommandResult) -> None:
        if self.waiting is None:
            return
        request, self.waiting = self.waiting, None
        changes = request.command is Command.PREPARE_RECIPE
        recipe = request.arg if changes else None
        taken = self.line.hs.answer(request, result, self.line.now, active_recipe=recipe)
        if taken and changes and result is CommandResult.OK:
            self.active = request.arg

    @rule()
    def reconnect(self) -> None:
        self.line.hs.link_down(self.line.now)
        self.line.connect()
        self._take()

    @rule(id_=st.integers(1, 6))
    def part(self, id_: int) -> None:
        self.line.parts.clear()
        before = self.line.hs.stat["ACTIVE_RECIPE"]
        self.line.trigger(id_)
        self._take()
        for part in self.line.parts:
            record = Record(int(Verdict.PASS), Reason.NONE, recipe_used=before)
            told = self.line.publish(part, record)
            if told is None:
                self.line.hs.give_up(part, record, self.line.now)
            assert told is None or told.code != Verdict.PASS or (before and before == self.active)

    @invariant()
    def only_an_answered_recipe_is_active(self) -> None:
        line = self.line
        assert line.hs.stat["ACTIVE_RECIPE"] == self.active
        assert (line.status & ANSWERED) != ANSWERED
        if line.status & Status.TRIGGER_READY:
            assert (self.active and not line.status & Status.COMMAND_EXECUTING) or self.waiting is not None
            assert line.hs.stat["OFFLINE_REASON"] == OfflineReason.NONE


TestAnyCommands = AnyCommands.TestCase
TestAnyCommands.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
