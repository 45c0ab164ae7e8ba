"""P2 bit by bit: one flipped bit anywhere in STAT makes a good part a reject, unless it says nothing of the part.

Asked of both programs that the tests know: the twin of FB_Inspect, and the simulated PLC's decision.
"""

from __future__ import annotations

import pytest

from plc.images import Image
from plc.registers import RECORD, STAT, Status
from plc.sim import good
from tests.support.ablations import ALL_RULES
from tests.support.rule_bench import RuleBench

DECIDES = Status.RESULTS_VALID | Status.PASS | Status.FAIL | Status.ERROR | Status.ONLINE
CHECKED = {*RECORD, *(STAT[name].offset for name in ("RES_XOR", "RES_SEQ_TAIL", "STAT_SIGNATURE"))}


@pytest.fixture(scope="module")
def passed() -> tuple[RuleBench, list[int]]:
    """A line, and STAT as it stands when a good part passed."""
    line = RuleBench(ALL_RULES)
    line.start()
    line.turn(True)
    part = line.take()
    return line, line.publish(part, line.look(part))


def test_the_pass_itself_is_good(passed):
    line, stat = passed
    assert line.fb.good(stat) and good(Image(STAT, stat), line.fb.id, line.fb.image, 1)


@pytest.mark.parametrize("register", range(STAT.size))
def test_a_flipped_bit_is_a_reject_wherever_it_says_anything_of_the_part(passed, register):
    line, stat = passed
    for bit in range(16):
        flipped = list(stat)
        flipped[register] ^= 1 << bit
        decides = register in CHECKED or (register == 0 and bool(DECIDES & 1 << bit))
        assert line.fb.good(flipped) is not decides
        assert good(Image(STAT, flipped), line.fb.id, line.fb.image, 1) is not decides


def test_all_zero_and_all_one_are_rejects(passed):
    """P1: what a watchdog zeroes, and what a broken wire shows."""
    line, _ = passed
    for word in (0, 0xFFFF):
        assert not line.fb.good([word] * STAT.size)
        assert not good(Image(STAT, [word] * STAT.size), line.fb.id, line.fb.image, 1)
