"""Each term of P2 in the shipped text is needed: with it the part stays, without it the same doubt lets it go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plc.images import Image, clear_record, record_xor
from plc.registers import STAT, Status
from plc.st.generate import texts
from tests.support.st.line import Line

pytestmark = pytest.mark.slow

Doubt = Callable[[Image], None]


def sealed(name: str, value: int) -> Doubt:
    """Another word in the record, with its check word made right again: nothing else tells."""

    def change(stat: Image) -> None:
        stat[name] = value
        stat["RES_XOR"] = record_xor(stat)

    return change


def status(bit: Status, on: bool) -> Doubt:
    def change(stat: Image) -> None:
        stat["STATUS"] = stat["STATUS"] | bit if on else stat["STATUS"] & ~bit

    return change


def plus_one(name: str) -> Doubt:
    def change(stat: Image) -> None:
        stat[name] += 1

    return change


AND = "\n        AND "
TERMS: dict[str, tuple[str, Doubt]] = {
    "RESULTS_VALID": ("stat.RESULTS_VALID", status(Status.RESULTS_VALID, False)),
    "RES_TRIGGER_ID": ("(stat.RES_TRIGGER_ID = id)", sealed("RES_TRIGGER_ID", 999)),
    "RES_SEQ_TAIL": ("(stat.RES_SEQ = stat.RES_SEQ_TAIL)", plus_one("RES_SEQ_TAIL")),
    "RES_XOR": ("stat.RES_XOR_OK", plus_one("CONFIDENCE")),
    "PASS": ("stat.PASS", status(Status.PASS, False)),
    "FAIL": ("NOT stat.FAIL", status(Status.FAIL, True)),
    "RESULT_CODE": ("(stat.RESULT_CODE = PASSED)", sealed("RESULT_CODE", 2)),
    "RECIPE_USED": ("((recipeExpected = 0) OR (stat.RECIPE_USED = recipeExpected))", sealed("RECIPE_USED", 2)),
    "test part": ("((stat.RESULT_FLAGS AND WORD#16#3) = WORD#16#0)", sealed("RESULT_FLAGS", 1)),
    "simulated": ("((stat.RESULT_FLAGS AND WORD#16#3) = WORD#16#0)", sealed("RESULT_FLAGS", 2)),
    "ONLINE": ("stat.ONLINE", status(Status.ONLINE, False)),
    "ERROR": ("NOT stat.ERROR", status(Status.ERROR, True)),
    "STAT_SIGNATURE": ("(stat.STAT_SIGNATURE = UINT#16#A100 + stationNo)", plus_one("STAT_SIGNATURE")),
}


def without(term: str, *, instead: str | None = None, block: str = "FB_Inspect") -> dict[str, str]:
    """The text of `block` with one term of a condition taken out, or replaced; it must stand there exactly once."""
    text, wanted = texts()[block], AND + term if instead is None else term
    assert text.count(wanted) == 1, f"{wanted!r} stands {text.count(wanted)} times in {block}"
    return {block: text.replace(wanted, instead or "")}


def parts_that_go_on(patched: dict[str, str] | None, doubt: Doubt, **settings) -> int:
    line = Line(good_share=1.0, patched=patched, inputs={"recipe": 1}, **settings)
    line.settle(400)

    def view(before: list[int], now: list[int]) -> list[int]:
        stat = Image(STAT, now)
        if stat["STATUS"] & Status.RESULTS_VALID:
            doubt(stat)
        else:
            clear_record(stat)  # record and flags come at once, else a program without VALID reads the record too early
        return stat.words

    line.view = view
    line.bring(1)
    return sum(bool(p.went_on) for p in line.pieces)


@pytest.mark.parametrize("name", TERMS)
def test_a_part_goes_on_only_with_every_term_of_p2(name):
    term, doubt = TERMS[name]
    assert parts_that_go_on(None, lambda stat: None) == 1
    assert parts_that_go_on(None, doubt) == 0
    assert parts_that_go_on(without(term), doubt) == 1, "the test does not see this term"


def test_a_result_counts_only_after_its_trigger_was_acknowledged():
    def run(patched: dict[str, str] | None) -> int:
        line = Line(good_share=1.0, patched=patched)
        line.settle(400)
        line.view = lambda before, now: [now[0] & ~Status.TRIGGER_ACK, *now[1:]]
        line.bring(1)
        return line.check()

    assert run(None) == 0
    assert run(without("mine := acked\n        AND ", instead="mine := ")) == 1


def test_a_trigger_that_was_acknowledged_late_is_a_reject():
    def run(patched: dict[str, str] | None) -> int:
        line = Line(good_share=1.0, patched=patched, inputs={"ackMs": 0})
        line.settle(400)
        line.bring(1)
        return line.check()

    assert run(None) == 0
    assert run(without("NOT lateAck")) == 1


def test_a_result_that_comes_with_the_timeout_is_too_late():
    def run(patched: dict[str, str] | None) -> int:
        line = Line(good_share=1.0, patched=patched, scan_ms=20, judge_ms=25, inputs={"resultMs": 30})
        line.settle(400)
        line.bring(4)
        return line.check()

    assert run(None) == 0
    assert run(without("(t <= resultMs)")) > 0


def test_a_result_that_comes_as_the_heartbeat_ends_is_a_reject():
    def run(patched: dict[str, str] | None) -> int:
        inputs = {"resultMs": 3000, "heartbeatMs": 300}
        line = Line(good_share=1.0, patched=patched, inputs=inputs)
        line.gate = 1000
        line.settle(500)
        frozen: list[int] = []

        def view(before: list[int], now: list[int]) -> list[int]:
            stat = Image(STAT, now)
            if stat["STATUS"] & Status.TRIGGER_ACK or frozen:
                frozen.append(stat["HEARTBEAT"])
                stat["HEARTBEAT"] = frozen[0]
                if line.plc.inspect.hbtimer + line.scan_ms < 300:
                    stat["STATUS"] &= ~(Status.RESULTS_VALID | Status.PASS)
            return stat.words

        line.view = view
        line.bring(1)
        return line.check()

    assert run(None) == 0
    assert run(without("hbOk")) == 1


def test_one_change_of_the_heartbeat_is_not_enough():
    """What stands in memory at the start may be old; only an appliance that goes on counting is alive."""

    def ids_asked(patched: dict[str, str] | None) -> int:
        line = Line(good_share=1.0, patched=patched)
        line.settle(400)
        line.restart_plc(retained=False)
        line.settle(1)
        while not line.plc.inspect.hbchanges:
            line.tick()
        line.view = lambda before, now: [now[0], line.plc.inspect.hbseen, *now[2:]]
        line.bring(1)
        return len(line.told)

    assert ids_asked(None) == 0
    assert ids_asked(without("(hbChanges >= 2)", instead="(hbChanges >= 1)")) == 1


def test_a_new_part_is_an_edge():
    def ids(patched: dict[str, str] | None) -> int:
        line = Line(good_share=1.0, patched=patched)
        line.settle(400)
        line.bring(2, dwell_ms=300)
        return int(line.plc.id)

    assert ids(None) == 2
    assert ids(without("partSensor AND NOT sensorBefore", instead="partSensor")) > 50


@pytest.mark.parametrize(("term", "instead"), [
    (" AND (place[i].id = newId)", ""),  # good is written to every place
    ("passGate := goodHere AND NOT badHere;", "passGate := TRUE;"),  # the gate stands open
])  # fmt: skip
def test_good_is_written_only_to_its_own_place(term, instead):
    def run(patched: dict[str, str] | None) -> None:
        line = Line(good_share=0.6, patched=patched)
        line.settle(400)
        line.bring(40)
        line.check()

    run(None)
    with pytest.raises(AssertionError, match="a bad part went on"):
        run(without(term, instead=instead, block="FB_Track"))


def test_every_part_is_a_reject_at_once_whoever_had_its_place_before():
    def run(patched: dict[str, str] | None) -> None:
        line = Line(good_share=1.0, patched=patched)
        line.settle(400)
        line.bring(4)
        line.dead = True
        line.bring(4)
        line.check()

    run(None)
    with pytest.raises(AssertionError, match="with a picture of another"):
        run(without("        place[chosen].verdict := NOT_INSPECTED;\n", instead="", block="FB_Track"))


def test_a_late_result_is_not_written_to_a_part_that_has_reached_the_gate():
    """It was ejected already: PLC_VERDICT said so, and must not change its mind."""

    def opened(patched: dict[str, str] | None) -> bool:
        line, seen = Line(good_share=1.0, patched=patched, judge_ms=100), []
        line.gate = 115
        line.steps.append(lambda line: seen.append(bool(line.plc.passgate)))
        line.settle(400)
        line.bring(1)
        assert line.verdicts[0] == (1, 3) and line.told == [(1, 1)]
        return any(seen)

    assert not opened(None)
    late = "(place[i].state = 1) AND (place[i].id = newId)"
    assert opened(without(late, instead=late.replace("= 1", ">= 1"), block="FB_Track"))


def late_result(patched: dict[str, str] | None) -> int:
    """A part that came too early ended the one before, whose result comes late: how many of the next four go on?"""
    line = Line(good_share=1.0, judge_ms=60, patched=patched)
    line.settle(400)
    line.pitch_ms = 45
    line.bring(2)
    line.pitch_ms = 200
    line.bring(4)
    return sum(bool(p.went_on) for p in line.pieces[-4:])


def test_a_late_result_is_discarded_while_idle_else_both_sides_wait_for_ever():
    line = "    ctrl.RESULTS_ACK := stat.RESULTS_VALID;\n    IF newPart THEN\n        IF NOT ready"
    assert late_result(None) == 4
    assert late_result(without(line, instead=line.split("\n", 1)[1])) == 0


def test_a_result_of_another_part_is_discarded_while_waiting_else_the_line_stands():
    """An older record, VALID again after a write that came late: the program acknowledges it away and goes on."""

    def acknowledged(patched: dict[str, str] | None) -> bool:
        line, seen = Line(good_share=1.0, patched=patched, judge_ms=80), []
        line.settle(400)
        line.bring(1)

        def view(before: list[int], now: list[int]) -> list[int]:
            stat = Image(STAT, now)
            if stat["STATUS"] & Status.TRIGGER_ACK:
                stat["STATUS"] |= Status.RESULTS_VALID | Status.PASS  # the record is still that of id 1
                stat["STATUS"] &= ~Status.FAIL
            return stat.words

        line.view = view
        line.steps.append(lambda line: seen.append(line.plc.inspect.state == 1 and bool(line.regs[0] & 8)))
        line.bring(1)
        line.check()
        return any(seen)

    assert acknowledged(None)
    term = "        ctrl.RESULTS_ACK := TRUE; // of another part, or late: discarded\n"
    assert not acknowledged(without(term, instead=""))


@pytest.mark.parametrize(("term", "cut"), [("hbOk AND ", "heartbeat"), ("stat.TRIGGER_READY AND ", "ready")])
def test_ready_is_what_lets_a_trigger_out(term, cut):
    """While the heartbeat stands still, or READY is 0, no trigger goes out."""

    def asked(patched: dict[str, str] | None) -> bool:
        line = Line(good_share=1.0, patched=patched, inputs={"heartbeatMs": 250})  # shorter than the appliance's
        line.settle(400)
        frozen = line.regs[21]

        def view(before: list[int], now: list[int]) -> list[int]:
            return [now[0], frozen, *now[2:]] if cut == "heartbeat" else [now[0] & ~Status.TRIGGER_READY, *now[1:]]

        line.view = view
        line.settle(300)
        line.bring(1)
        return bool(line.regs[1])

    assert not asked(None)
    assert asked(without(term, instead=""))
