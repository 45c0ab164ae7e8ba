"""FB_Inspect of the shipped text: what it shows in CTRL, what it says of itself, and what it forgets in time."""

from __future__ import annotations

import pytest

from plc.images import Image
from plc.registers import CTRL, STAT, Control, Status
from tests.support.st.line import Line
from tests.unit.plc.test_st_terms import without


def a_line(**settings) -> Line:
    line = Line(good_share=1.0, **settings)
    line.settle(400)
    return line


def ctrl(line: Line) -> Image:
    return Image(CTRL, line.regs[: CTRL.size])


def test_a_trigger_carries_everything_that_belongs_to_its_part():
    line = a_line(inputs={"session": 7, "recipe": 1})
    line.bring(2)
    shown, piece = ctrl(line), line.pieces[-1]
    assert shown["TRIGGER_ID"] == piece.id == 2 and shown["TRIGGER_ID_INV"] == 65535 - 2
    assert shown["PART_ID"] == 2 and 0 <= shown["ENCODER"] - piece.came_ms <= line.scan_ms
    assert shown["PLC_PART_COUNT"] == 2 and shown["PLC_SESSION"] == 7 and shown["RECIPE_EXPECTED"] == 1
    assert line.hs.stat["PART_ID_ECHO"] == 2 and line.hs.stat["ENCODER_ECHO"] == shown["ENCODER"]


def test_the_bits_that_the_machine_asks_for_are_shown():
    line = a_line()
    for name, bit in (("setOffline", Control.SET_OFFLINE), ("clearError", Control.CLEAR_ERROR)):
        line.inputs[name] = True
        line.settle(10)
        assert ctrl(line)["CONTROL"] & bit
        line.inputs[name] = False
        line.settle(10)
        assert not ctrl(line)["CONTROL"] & bit
    line.inputs["enable"] = False
    line.settle(10)
    assert not ctrl(line)["CONTROL"] & Control.TRIGGER_ENABLE and not line.plc.ready


def test_ids_go_from_65535_to_1_and_heartbeat_and_count_wrap_to_0():
    line = a_line()
    line.plc.inspect.id, line.plc.ctrl.plc_part_count, line.plc.ctrl.plc_heartbeat = 65534, 2**32 - 1, 65534
    line.settle(400)  # the appliance takes the jump for a new run of the program
    line.bring(3)
    assert [p.id for p in line.pieces] == [65535, 1, 2] and line.check() == 3
    assert ctrl(line)["PLC_PART_COUNT"] == 2 and ctrl(line)["PLC_HEARTBEAT"] < 100


def test_our_heartbeat_counts_at_least_ten_times_a_second():
    line = a_line()
    before = ctrl(line)["PLC_HEARTBEAT"]
    line.settle(1000)
    assert 10 <= ctrl(line)["PLC_HEARTBEAT"] - before <= 20


def test_why_says_what_kept_the_newest_part_from_being_good():
    line = a_line()
    said = []

    def one(**inputs: object) -> None:
        line.inputs.update(inputs)
        line.bring(1)
        said.append(line.plc.why)

    one()
    one(enable=False)  # not ready
    line.inputs["enable"] = True
    line.settle(50)
    line.good_share = 0.0
    one()  # not good
    line.good_share = 1.0
    line.ctrl_view = lambda before, now: [now[0] & ~Control.TRIGGER, *now[1:]]
    one()  # never answered
    line.ctrl_view = None
    line.settle(100)
    line.pieces[-1].came_ms = -9999
    line.steps.append(lambda line: setattr(line, "dead", line.plc.inspect.state == 1 or line.dead))
    one(heartbeatMs=150)  # dead while it is asked
    assert said == [0, 1, 7, 5, 6]


def test_while_a_part_waits_why_says_so_and_the_next_part_ends_it():
    line, said = a_line(judge_ms=80, pitch_ms=45), []
    line.steps.append(lambda line: said.append(line.plc.why))
    line.bring(2)
    assert 3 in said and 4 in said and said.index(3) < said.index(4)


def test_nothing_is_ready_while_a_part_is_asked():
    line, seen = a_line(), []
    line.steps.append(lambda line: seen.append((line.plc.inspect.state, line.plc.ready)))
    line.bring(3)
    assert (0, True) in seen and not {(1, True), (2, True)} & set(seen)


@pytest.mark.parametrize("ablated", [False, True])
def test_the_acknowledge_of_the_part_before_does_not_count_for_the_next(ablated):
    patched = without("            acked := FALSE;\n", instead="") if ablated else None
    line = a_line(patched=patched)
    line.bring(1)
    line.view = lambda before, now: [now[0] & ~Status.TRIGGER_ACK, *now[1:]]
    line.bring(1)
    assert line.check() == 1 + ablated


def test_one_late_acknowledge_does_not_reject_the_parts_after_it():
    line = a_line(inputs={"ackMs": 0})
    line.bring(1)
    line.inputs["ackMs"] = 100
    line.bring(2)
    assert [p.went_on for p in line.pieces] == [False, True, True]


@pytest.mark.parametrize("ablated", [False, True])
def test_a_record_that_stands_for_the_id_to_come_does_not_pass_that_part(ablated):
    """The next part comes while this one waits, and memory shows a whole PASS with just its id: nobody asked for it."""
    patched = without("        acked := FALSE; // that was the part before\n", instead="") if ablated else None
    line = a_line(judge_ms=80, pitch_ms=45, patched=patched)
    held: list[list[int]] = []

    def view(before: list[int], now: list[int]) -> list[int]:
        if now[0] & Status.PASS and not held:
            held.append(now)  # of id 1
        if held and line.plc.id in (3, 4):
            stat = Image(STAT, [now[0] | Status.RESULTS_VALID | Status.PASS, *now[1:9], *held[0][9:]])
            stat["RES_XOR"] ^= stat["RES_TRIGGER_ID"] ^ 4
            stat["RES_TRIGGER_ID"] = 4
            stat["STATUS"] &= ~Status.FAIL
            return stat.words
        return now

    line.pitch_ms = 300
    line.bring(2)
    line.pitch_ms = 45
    line.view, done = view, []
    held.append(list(line.hs.stat.words))
    line.steps.append(lambda line: done.append(line.plc.inspect.resultgood))
    line.bring(2)
    assert [p.id for p in line.pieces] == [1, 2, 3, 4]
    assert any(done) == ablated


@pytest.mark.parametrize("ablated", [False, True])
def test_after_a_silence_one_heartbeat_is_not_enough_again(ablated):
    old = "    hbChanges := 0; // silent for too long, or this program was: two more are needed\n"
    line = a_line(patched=without(old, instead="") if ablated else None)
    hb = line.regs[21]
    line.view = lambda before, now: [now[0], hb, *now[2:]]
    line.settle(700)
    assert not line.plc.hbok
    line.view = lambda before, now: [now[0], hb + 1, *now[2:]]
    line.settle(20)
    assert bool(line.plc.hbok) == ablated


def test_a_restart_in_the_middle_of_a_part_starts_from_nothing_whatever_memory_holds():
    line, after = a_line(judge_ms=100, inputs={"testPart": True}), []

    def restart(line: Line) -> None:
        if after == ["now"]:
            after.append((line.plc.inspect.state, bool(line.plc.hbok), ctrl(line)["CONTROL"]))
        elif not after and ctrl(line)["CONTROL"] & Control.TRIGGER and line.now_ms % line.scan_ms == 0:
            line.restart_plc(retained=True)
            after.append("now")

    line.steps.append(restart)
    line.bring(1)
    assert after[1] == (0, False, Control.TRIGGER_ENABLE)


def test_a_heartbeat_that_stood_in_memory_at_the_start_is_no_change():
    line = a_line()
    line.dead = True
    line.restart_plc(retained=False)
    line.settle(20)
    assert line.regs[21] and line.plc.inspect.hbchanges == 0


def test_trigger_falls_with_the_acknowledge_and_not_only_with_the_result():
    line, seen = a_line(judge_ms=80), []

    def look(line: Line) -> None:
        if line.plc.inspect.state == 1 and line.plc.inspect.acked:
            seen.append(ctrl(line)["CONTROL"] & Control.TRIGGER)

    line.steps.append(look)
    line.bring(2)
    assert len(seen) > 50 and not any(seen)
