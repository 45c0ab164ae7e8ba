"""FB_ChangeOver of the shipped text: section 6 of the contract step by step, and with our handshake."""

from __future__ import annotations

from typing import Any

import pytest

from plc.registers import STAT, Status
from plc.st.generate import texts
from tests.support.st.compile import load, run
from tests.support.st.line import Line
from tests.support.st.types import Instance

BLOCKS = load(texts())


class ChangeOver:
    """FB_ChangeOver against STAT as the contract's section 6 writes it."""

    def __init__(self) -> None:
        self.block = Instance(BLOCKS["FB_ChangeOver"])
        self.stat, self.ctrl = Instance(BLOCKS["ST_STAT"]), Instance(BLOCKS["ST_CTRL"])
        self.stat.command_id_ack = 65535  # of a former life
        self.scan(firstScan=True, recipe=1)

    def scan(self, scans: int = 1, **inputs: Any) -> Instance:
        for _ in range(scans):
            given = {"firstScan": False, "recipe": 2, "start": False} | inputs
            run(self.block, dtMs=10, stat=self.stat, ctrl=self.ctrl, **given)
        return self.block

    def answer(self, result: int, recipe: int) -> None:
        self.stat.command_id_ack = self.ctrl.command_id
        self.stat.command_completed, self.stat.command_failed = result == 1, result != 1
        self.stat.command_result, self.stat.active_recipe = result, recipe


def test_a_change_over_goes_step_by_step():
    plc = ChangeOver()
    assert plc.block.allow and plc.block.expected == 1
    plc.stat.trigger_ready = plc.stat.system_busy = True
    plc.scan(start=True)
    assert plc.block.busy and not plc.block.allow  # 1: TRIGGER_ENABLE falls
    plc.scan(5)
    assert plc.ctrl.command == 0 and not plc.ctrl.execute_command, "not while a part is in flight"
    plc.stat.trigger_ready = plc.stat.system_busy = False
    plc.scan()
    assert (plc.ctrl.command, plc.ctrl.command_arg, plc.ctrl.command_id) == (2, 2, 1)
    assert not plc.ctrl.execute_command  # 2: the command stands first, then EXECUTE
    plc.scan()
    assert plc.ctrl.execute_command
    plc.stat.command_executing = True
    plc.scan(20)
    plc.answer(1, 2)
    plc.scan()
    plc.scan()
    assert not plc.ctrl.execute_command and plc.block.busy  # 5
    plc.stat.command_completed = False
    plc.scan()
    assert plc.block.done and plc.block.allow and plc.block.expected == 2  # 6


@pytest.mark.parametrize(("result", "recipe"), [(2, 0), (5, 0), (1, 1)])
def test_a_change_over_that_failed_leaves_the_station_closed(result, recipe):
    """Also one that says "ok" with another recipe active: an old answer to a repeated COMMAND_ID."""
    plc = ChangeOver()
    plc.scan(start=True)
    plc.scan(3)
    plc.answer(result, recipe)
    plc.scan(2)
    plc.stat.command_completed = plc.stat.command_failed = False
    plc.scan(3)
    assert plc.block.failed and not plc.block.allow and not plc.block.busy and plc.block.result == result
    plc.scan(start=True)
    assert plc.block.busy and not plc.block.failed, "and may be tried again"


def test_a_change_over_that_nobody_answers_fails_in_time():
    plc = ChangeOver()
    plc.scan(start=True, commandMs=1000)
    plc.scan(110, commandMs=1000)
    assert plc.block.failed and plc.block.result == 7 and not plc.block.allow and not plc.ctrl.execute_command


def test_a_change_over_after_one_that_took_too_long_starts_afresh():
    plc = ChangeOver()
    plc.scan(start=True, commandMs=1000)
    plc.scan(110, commandMs=1000)
    assert plc.block.failed and not plc.block.busy
    plc.scan(start=True, commandMs=1000)
    plc.scan(60, commandMs=1000)
    assert plc.block.busy and not plc.block.failed and plc.block.result == 0 and plc.ctrl.execute_command
    plc.answer(1, 2)
    plc.scan(2, commandMs=1000)
    plc.stat.command_completed = False
    plc.scan(commandMs=1000)
    assert plc.block.done
    assert not plc.scan(start=True).done


def test_a_request_that_stands_when_the_program_starts_is_no_change_over():
    plc = ChangeOver()
    plc.scan(firstScan=True, start=True)
    plc.scan(5, start=True)
    assert not plc.block.busy and plc.block.allow


def test_a_change_over_cut_off_by_a_restart_leaves_the_station_closed():
    plc = ChangeOver()
    plc.scan(start=True)
    plc.scan(3)
    plc.scan(firstScan=True)
    assert plc.block.failed and not plc.block.allow and not plc.ctrl.execute_command and not plc.block.busy
    plc.answer(1, 2)  # of the run before
    plc.scan(3)
    plc.stat.command_completed = False
    plc.scan(3)
    assert not plc.block.allow and not plc.ctrl.execute_command


def test_a_change_over_that_found_a_part_in_flight_is_tried_again_with_a_new_id():
    plc = ChangeOver()
    plc.scan(start=True)
    plc.scan(3)
    plc.answer(3, 1)
    plc.scan(2)
    plc.stat.command_failed = False
    plc.scan(4)
    assert plc.block.busy and not plc.block.failed and plc.ctrl.execute_command and plc.ctrl.command_id == 2
    plc.answer(1, 2)
    plc.scan(2)
    plc.stat.command_completed = False
    plc.scan()
    assert plc.block.done and plc.block.expected == 2


@pytest.mark.parametrize("at_ms", [5, 12, 20, 35, 70])
def test_the_station_changes_over_with_our_handshake_whenever_it_is_asked(at_ms):
    """Also in the middle of a part, which stays a reject; the parts after it are judged by the new recipe."""
    line = Line(good_share=1.0, inputs={"recipe": 1})
    line.settle(400)
    line.bring(2)

    def ask(line: Line) -> None:
        line.inputs.update(changeRecipe=line.now_ms > line.pieces[-1].came_ms + at_ms, recipe=2)

    line.steps.append(ask)
    line.bring(1)
    line.steps.clear()
    line.settle(500)
    assert not line.plc.recipebusy and not line.plc.recipefailed and line.hs.active_recipe == 2
    before = line.check()
    line.bring(3)
    assert line.check() == before + 3 and line.regs[7] == 2


def test_a_recipe_that_does_not_exist_closes_the_station():
    line = Line(good_share=1.0, inputs={"recipe": 1})
    line.settle(400)
    line.inputs |= {"changeRecipe": True, "recipe": 9}
    line.settle(600)
    assert line.plc.recipefailed and not line.regs[0] & 1
    assert not line.regs[STAT.base] & Status.TRIGGER_READY and line.hs.active_recipe == 0
    line.bring(2)
    assert line.check() == 0
