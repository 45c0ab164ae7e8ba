"""PLC_VERDICT held against what the PLC was told, over ids that were never answered and over a restart."""

from __future__ import annotations

import pytest

from plc.images import Image
from plc.registers import CTRL, Verdict
from plc.verdicts import PlcVerdicts

GOOD, REJECT = 1, 2


def says(verdicts: PlcVerdicts, id_: int, verdict: int) -> tuple[int, int] | None:
    """Two images: one alone may be torn."""
    ctrl = Image(CTRL)
    ctrl["PLC_VERDICT_ID"], ctrl["PLC_VERDICT"] = id_, verdict
    return verdicts.wrong(ctrl) or verdicts.wrong(ctrl)


@pytest.fixture
def verdicts():
    one = PlcVerdicts()
    one.wrong(Image(CTRL))
    return one


def test_a_part_that_was_passed_may_go_on_as_good(verdicts):
    verdicts.told(7, 70, Verdict.PASS)
    assert says(verdicts, 7, GOOD) is None


@pytest.mark.parametrize("code", [Verdict.FAIL, Verdict.UNCERTAIN, Verdict.NOT_INSPECTED, 5, 6])
def test_a_part_that_was_not_passed_is_named_once(verdicts, code):
    verdicts.told(7, 70, code)
    assert says(verdicts, 7, GOOD) == (7, 70)
    assert says(verdicts, 7, GOOD) is None


def test_an_id_that_was_never_answered_was_not_passed_either(verdicts):
    assert says(verdicts, 777, GOOD) == (777, 0)
    assert says(verdicts, 778, REJECT) is None


def test_the_first_image_is_a_reference_and_id_0_is_no_part():
    verdicts = PlcVerdicts()
    assert says(verdicts, 5, GOOD) is None, "of a former life perhaps"
    assert says(verdicts, 0, GOOD) is None


def test_what_a_former_life_passed_is_no_alarm_when_it_comes_to_the_gate_late(verdicts):
    for id_ in range(1, 300):
        verdicts.told(id_, 10 * id_, Verdict.PASS if id_ % 2 else Verdict.FAIL)
    assert says(verdicts, 1, GOOD) is None
    assert says(verdicts, 2, GOOD) == (2, 20)
