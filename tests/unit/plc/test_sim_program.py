"""The simulated PLC's program against a scripted STAT: the function block, dwell, challenge parts, change-over."""

from __future__ import annotations

import pytest

from plc.images import Image, seal_record
from plc.registers import SIGNATURE, STAT, Control, Status, Verdict
from plc.sim import Inputs, NewPart, PlcProgram, SimConfig, good
from plc.sim.parts import GOOD, NOT_INSPECTED, REJECT, SimResult

UP = Status.ONLINE | Status.TRIGGER_READY


class Bench:
    """A program, and the STAT that a test writes for it; every scan is 5 ms, and the heartbeat moves."""

    def __init__(self, **config: object) -> None:
        self.program = PlcProgram(SimConfig(**config))  # type: ignore[arg-type]
        self.stat = Image(STAT)
        self.stat["STATUS"], self.stat["STAT_SIGNATURE"] = UP, SIGNATURE + 1
        self.stat["ACTIVE_RECIPE"] = 1
        self.now = 100.0
        self.results: list[SimResult] = []
        self.beats = True
        for _ in range(3):
            self.scan()

    def scan(self, part: NewPart | None = None, times: int = 1) -> None:
        for _ in range(times):
            self.now += 0.005
            self.stat["HEARTBEAT"] += self.beats
            self.program.scan(self.stat, Inputs(part), self.now)
            self.results += self.program.results
            self.program.results = []

    @property
    def control(self) -> Control:
        return Control(self.program.ctrl["CONTROL"])

    def answer(self, id_: int, status: Status, code: int = 1, **registers: int) -> None:
        """ACK, then a whole record with its flags; then, once acknowledged, READY again."""
        self.stat["TRIGGER_ID_ACK"], self.stat["STATUS"] = id_, Status.ONLINE | Status.TRIGGER_ACK
        self.scan(self.part)
        self.stat["RES_TRIGGER_ID"], self.stat["RESULT_CODE"], self.stat["RECIPE_USED"] = id_, code, 1
        for name, value in registers.items():
            self.stat[name] = value
        seal_record(self.stat, self.stat["RES_SEQ"] + 1)
        self.stat["STATUS"] = Status.ONLINE | Status.RESULTS_VALID | status
        self.scan(self.part)

    part: NewPart | None = None

    def bring(self, part_id: int, status: Status = Status.PASS, code: int = 1, **registers: int) -> SimResult:
        """One part, to the end."""
        self.part = NewPart(part_id)
        self.scan(self.part)
        assert self.control & Control.TRIGGER
        self.answer(self.program.ctrl["TRIGGER_ID"], status, code, **registers)
        self.leave()
        return self.results[-1]

    def leave(self) -> None:
        self.stat["STATUS"] = UP
        self.scan(self.part, 2)
        self.part = None
        self.scan()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_whole_good_result_is_good_and_is_acknowledged(bench: Bench) -> None:
    bench.part = NewPart(7)
    bench.scan(bench.part)
    bench.answer(1, Status.PASS)
    assert bench.control & Control.RESULTS_ACK and not bench.control & Control.TRIGGER
    bench.leave()
    assert not bench.control & Control.RESULTS_ACK
    assert [(r.part_id, r.verdict, r.plc_verdict) for r in bench.results] == [(7, "good", GOOD)]
    assert (bench.program.ctrl["PLC_VERDICT_ID"], bench.program.ctrl["PLC_VERDICT"]) == (1, GOOD)


@pytest.mark.parametrize(
    ("status", "code", "registers"),
    [
        (Status.FAIL, 2, {}),
        (Status.PASS | Status.FAIL, 1, {}),
        (Status.PASS, 2, {}),
        (Status.PASS | Status.ERROR, 1, {}),
        (Status.PASS, 1, {"RESULT_FLAGS": 1}),
        (Status.PASS, 1, {"RESULT_FLAGS": 2}),
        (Status.PASS, 1, {"STAT_SIGNATURE": SIGNATURE + 2}),
        (Status.PASS, 1, {"RECIPE_USED": 2}),
    ],
)
def test_less_than_everything_is_a_reject(status: Status, code: int, registers: dict[str, int]) -> None:
    bench = Bench(recipe=1)
    assert bench.bring(7, status, code, **registers).plc_verdict == REJECT


def test_what_the_appliance_could_not_inspect_is_told_as_not_inspected() -> None:
    """As FB_Track does: PLC_VERDICT 3 for RESULT_CODE 4."""
    assert Bench(recipe=1).bring(7, Status.FAIL, Verdict.NOT_INSPECTED).plc_verdict == NOT_INSPECTED


@pytest.mark.parametrize("name", ["RES_XOR", "RES_SEQ_TAIL"])
def test_a_torn_record_is_ignored(bench: Bench, name: str) -> None:
    bench.part = NewPart(7)
    bench.scan(bench.part)
    bench.answer(1, Status.PASS, 2)
    bench.leave()
    bench.part = NewPart(8)
    bench.scan(bench.part)
    bench.stat["TRIGGER_ID_ACK"], bench.stat["STATUS"] = 2, Status.ONLINE | Status.TRIGGER_ACK
    bench.scan(bench.part)
    bench.stat["RES_TRIGGER_ID"], bench.stat["RESULT_CODE"], bench.stat["RECIPE_USED"] = 2, 1, 1
    seal_record(bench.stat, 9)
    bench.stat[name] ^= 1
    bench.stat["STATUS"] = Status.ONLINE | Status.RESULTS_VALID | Status.PASS
    bench.scan(bench.part, 200)
    bench.leave()
    assert bench.results[-1].verdict == "reject"


def test_a_result_for_another_id_is_discarded_and_the_right_one_still_counts(bench: Bench) -> None:
    bench.part = NewPart(7)
    bench.scan(bench.part)
    bench.answer(99, Status.PASS)
    assert bench.control & Control.RESULTS_ACK and not bench.results
    bench.stat["STATUS"] = Status.ONLINE
    bench.scan(bench.part)
    assert not bench.control & Control.RESULTS_ACK
    bench.answer(1, Status.PASS)
    bench.leave()
    assert bench.results[-1].verdict == "good"


def test_a_foreign_result_after_the_right_acknowledge_is_discarded_too(bench: Bench) -> None:
    bench.part = NewPart(7)
    bench.scan(bench.part)
    bench.stat["TRIGGER_ID_ACK"], bench.stat["STATUS"] = 1, Status.ONLINE | Status.TRIGGER_ACK
    bench.scan(bench.part)
    bench.answer(99, Status.PASS)
    assert bench.control & Control.RESULTS_ACK and not bench.results and bench.program.busy
    bench.stat["STATUS"] = Status.ONLINE
    bench.scan(bench.part)
    bench.answer(1, Status.PASS)
    bench.leave()
    assert [(r.code, r.verdict) for r in bench.results] == [(1, "good")]


def test_a_whole_record_of_another_id_is_not_good(bench: Bench) -> None:
    bench.stat["RES_TRIGGER_ID"], bench.stat["RESULT_CODE"] = 17, 1
    bench.stat["STATUS"] = Status.ONLINE | Status.RESULTS_VALID | Status.PASS
    seal_record(bench.stat, 3)
    assert good(bench.stat, 17, bench.program.ctrl, 1)
    assert not good(bench.stat, 18, bench.program.ctrl, 1)


def test_a_late_acknowledge_rejects_and_so_does_a_result_without_one(bench: Bench) -> None:
    bench.part = NewPart(7)
    bench.scan(bench.part, 25)  # 120 ms
    bench.answer(1, Status.PASS)
    bench.leave()
    assert bench.results[-1].code == 1 and bench.results[-1].verdict == "reject"


def test_a_heartbeat_that_stands_still_ends_the_wait_and_no_further_part_is_triggered() -> None:
    bench = Bench(result_timeout_s=0.7)
    bench.part = NewPart(7)
    bench.scan(bench.part)
    bench.beats = False
    bench.scan(bench.part, 101)
    assert not bench.control & Control.TRIGGER
    bench.part = None
    bench.scan(None, 150)
    bench.scan(NewPart(8), 3)
    assert [(r.part_id, r.edge_s > 0, r.plc_verdict) for r in bench.results] == [
        (7, True, NOT_INSPECTED), (8, False, NOT_INSPECTED)
    ]  # fmt: skip


def test_a_part_that_dwells_has_one_id_and_one_verdict(bench: Bench) -> None:
    bench.part = NewPart(7)
    bench.scan(bench.part)
    bench.answer(1, Status.PASS)
    bench.stat["STATUS"] = UP
    bench.scan(bench.part, 400)
    bench.leave()
    assert len(bench.results) == 1 and bench.program.ctrl["PLC_PART_COUNT"] == 1


def test_a_second_part_while_the_first_is_judged_makes_both_rejects(bench: Bench) -> None:
    bench.part = NewPart(7)
    bench.scan(bench.part)
    bench.scan(None)
    bench.scan(NewPart(8))
    bench.answer(1, Status.PASS)
    bench.leave()
    assert sorted((r.part_id, r.verdict) for r in bench.results) == [(7, "reject"), (8, "reject")]


def test_a_challenge_part_is_never_good_even_if_the_appliance_says_so(bench: Bench) -> None:
    bench.part = NewPart(7, test_part=True)
    bench.scan(bench.part)
    assert bench.control & Control.TEST_PART
    bench.answer(1, Status.PASS)
    bench.leave()
    assert bench.results[-1].plc_verdict == REJECT
    assert not bench.control & Control.TEST_PART
    assert bench.bring(8).plc_verdict == GOOD


def test_lot_and_serial_are_there_before_the_trigger_and_carry_its_id() -> None:
    bench = Bench(lot="LOT-7")
    bench.scan(NewPart(12))
    ident, ctrl = bench.program.ident, bench.program.ctrl
    assert ident["IDENT_ID"] == ident["IDENT_ID_TAIL"] == ctrl["TRIGGER_ID"] == 1
    assert (ident.text("LOT"), ident.text("SERIAL")) == ("LOT-7", "LOT-7-000012")


def test_a_part_that_was_not_triggered_says_why(bench: Bench) -> None:
    said = []
    for status, reason, control in (
        (Status.ONLINE, 4, Control.TRIGGER_ENABLE), (UP | Status.RESULTS_VALID, 0, Control.TRIGGER_ENABLE),
        (UP, 0, Control(0)),
    ):  # fmt: skip
        bench.stat["STATUS"], bench.stat["OFFLINE_REASON"] = status, reason
        bench.program.ctrl["CONTROL"] = control
        bench.scan(NewPart(7))
        bench.scan()
        said.append(bench.results[-1].why)
    assert said == ["not READY: camera", "an older result still stands", "TRIGGER_ENABLE is 0"]


@pytest.mark.parametrize("acked", [False, True])
@pytest.mark.parametrize(
    "why", ["no heartbeat of an appliance for 0.5 s", "no result within 2 s", "the next part came"]
)
def test_a_part_that_is_given_up_says_why_and_whether_it_was_acknowledged(why: str, acked: bool) -> None:
    bench = Bench(heartbeat_timeout_s=0.5, result_timeout_s=2.0)
    bench.scan(NewPart(7))
    if acked:
        bench.stat["STATUS"], bench.stat["TRIGGER_ID_ACK"] = UP | Status.TRIGGER_ACK, 1
    bench.scan(times=20)
    assert bench.program.busy and not bench.results
    bench.beats = not why.startswith("no heartbeat")
    bench.scan(NewPart(8) if why.startswith("the next") else None)
    bench.scan(times=420)
    bench.stat["STATUS"] = UP
    bench.scan()
    told = next(result.why for result in bench.results if result.part_id == 7)
    assert told.startswith(why) and told.endswith("; acknowledged" if acked else "; never acknowledged")


def test_ids_wrap_from_65535_to_1(bench: Bench) -> None:
    bench.program.next_id = 0xFFFF
    assert [bench.bring(n).trigger_id for n in (1, 2)] == [0xFFFF, 1]


def test_the_program_names_a_session_of_its_own_unless_told_otherwise() -> None:
    assert PlcProgram(SimConfig()).ctrl["PLC_SESSION"] != 0
    assert PlcProgram(SimConfig(sessions=False)).ctrl["PLC_SESSION"] == 0


# -- change-over, section 6 --------------------------------------------------------------------------------------------


def begin(bench: Bench, recipe: int = 2) -> None:
    bench.program.change_over(recipe, bench.stat, bench.now)
    bench.scan()


def to_the_command(bench: Bench) -> int:
    """Up to EXECUTE_COMMAND; returns COMMAND_ID."""
    begin(bench)
    bench.stat["STATUS"] = Status.ONLINE
    bench.scan()
    assert not bench.control & Control.EXECUTE_COMMAND, "the words first, then the bit"
    bench.scan()
    assert bench.control & Control.EXECUTE_COMMAND
    id_ = bench.program.ctrl["COMMAND_ID"]
    assert (bench.program.ctrl["COMMAND"], bench.program.ctrl["COMMAND_ARG"]) == (2, 2)
    return id_


def test_a_change_over_waits_until_ready_and_busy_are_gone(bench: Bench) -> None:
    begin(bench)
    assert not bench.control & Control.TRIGGER_ENABLE
    for busy in (UP, Status.ONLINE | Status.SYSTEM_BUSY):
        bench.stat["STATUS"] = busy
        bench.scan(times=20)
        assert bench.program.ctrl["COMMAND"] == 0


def test_a_nominal_change_over_follows_the_sequence(bench: Bench) -> None:
    id_ = to_the_command(bench)
    bench.stat["STATUS"] |= Status.COMMAND_EXECUTING
    bench.stat["COMMAND_ID_ACK"], bench.stat["ACTIVE_RECIPE"] = id_, 0
    bench.scan(times=20)
    assert bench.control & Control.EXECUTE_COMMAND
    bench.stat["STATUS"] = Status.ONLINE | Status.COMMAND_COMPLETED
    bench.stat["COMMAND_RESULT"], bench.stat["ACTIVE_RECIPE"] = 1, 2
    bench.scan()
    assert not bench.control & Control.EXECUTE_COMMAND
    bench.scan()
    assert not bench.control & Control.TRIGGER_ENABLE, "COMPLETED still stands"
    bench.stat["STATUS"] = Status.ONLINE
    bench.scan()
    assert bench.control & Control.TRIGGER_ENABLE and bench.program.ctrl["RECIPE_EXPECTED"] == 2
    assert not bench.program.changed_over, "not before READY"
    bench.stat["STATUS"] = UP
    bench.scan()
    assert [(c.ok, c.recipe) for c in bench.program.changed_over] == [(True, 2)]


@pytest.mark.parametrize(
    ("flags", "result", "active", "text"),
    [
        (Status.COMMAND_FAILED, 2, 0, "unknown recipe"),
        (Status.COMMAND_FAILED, 4, 1, "not allowed"),
        (Status.COMMAND_FAILED, 6, 0, "hash mismatch"),
        (Status.COMMAND_COMPLETED | Status.COMMAND_FAILED, 1, 2, ""),
        (Status.COMMAND_COMPLETED, 1, 3, ""),  # another recipe is active
        (Status.COMMAND_COMPLETED, 5, 2, "load failed"),
    ],
)
def test_a_failed_or_doubtful_change_over_lets_nothing_pass_any_more(
    bench: Bench, flags: Status, result: int, active: int, text: str
) -> None:
    bench.stat["COMMAND_ID_ACK"] = to_the_command(bench)
    bench.stat["STATUS"], bench.stat["COMMAND_RESULT"] = Status.ONLINE | flags, result
    bench.stat["ACTIVE_RECIPE"] = active
    bench.scan()
    bench.stat["STATUS"] = UP
    bench.scan(times=2)
    (outcome,) = bench.program.changed_over
    assert not outcome.ok and text in outcome.text
    assert not bench.control & Control.TRIGGER_ENABLE and bench.program.ctrl["RECIPE_EXPECTED"] == 2
    bench.scan(NewPart(7), 3)
    assert bench.results[-1].plc_verdict == NOT_INSPECTED


def test_an_answer_to_an_older_command_is_no_answer(bench: Bench) -> None:
    id_ = to_the_command(bench)
    bench.stat["STATUS"], bench.stat["COMMAND_RESULT"] = Status.ONLINE | Status.COMMAND_COMPLETED, 1
    bench.stat["ACTIVE_RECIPE"], bench.stat["COMMAND_ID_ACK"] = 2, id_ - 1
    bench.scan(times=50)
    assert bench.control & Control.EXECUTE_COMMAND and not bench.program.changed_over


def test_a_change_over_that_is_never_answered_ends(bench: Bench) -> None:
    to_the_command(bench)
    bench.now += 31
    bench.scan()
    assert "no answer to the command within 30 s" in bench.program.changed_over[0].text
    assert not bench.control & (Control.EXECUTE_COMMAND | Control.TRIGGER_ENABLE)


def test_a_command_id_differs_from_the_one_that_the_appliance_answered_last(bench: Bench) -> None:
    bench.stat["COMMAND_ID_ACK"] = 41
    assert to_the_command(bench) == 42
