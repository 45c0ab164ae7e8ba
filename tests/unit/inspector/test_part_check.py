"""When a difference between the PLC's count and ours is one, and when it only looks like it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from inspector.part_check import DIFFERS_S, PartCheck
from tests.support.clock import SimClock


class Line:
    """A handshake and a record that say what the test wants."""

    def __init__(self) -> None:
        self.clock, self.quiet, self.at_work, self.parts = SimClock(), True, False, 0
        self.down = False
        counting = SimpleNamespace(difference=lambda: self.parts)
        results: Any = SimpleNamespace(busy=lambda: self.at_work, counting=counting)
        self.check = PartCheck(results, self, self.clock, lambda: self.down)  # type: ignore[arg-type]

    def look_for(self, seconds: float, *differences: int) -> int:
        """Ten times a second, the differences in turns. Returns the largest that was ever told."""
        told = [0]
        for n in range(round(10 * seconds)):
            self.parts = differences[n % len(differences)]
            self.check.look()
            told.append(self.check.parts)
            self.clock.now_s += 0.1
        return max(told, key=abs)


@pytest.mark.parametrize(
    ("differences", "found"), [((1,), 1), ((-2,), -2), ((0,), 0), ((1, 0), 0), ((1, 2), 2)],
    ids=["missed", "extra", "none", "the PLC counts before it triggers", "one missed and one on its way"],
)  # fmt: skip
def test_a_difference_counts_that_no_moment_was_without(differences, found):
    line = Line()
    assert line.look_for(DIFFERS_S - 1, *differences) == 0
    assert line.look_for(2, *differences) == line.check.alarm == found


@pytest.mark.parametrize("what", ["quiet", "at_work"])
def test_a_part_that_is_under_way_is_no_difference(what):
    line = Line()
    setattr(line, what, not getattr(line, what))
    assert line.look_for(3 * DIFFERS_S, 1) == 0


def test_it_is_over_once_the_counts_agree():
    line = Line()
    assert line.look_for(DIFFERS_S + 1, 3) == 3
    assert line.look_for(0.1, 0) == 0


def test_parts_that_go_by_a_camera_that_was_pulled_are_counted_at_once_and_an_alarm_once_it_is_back():
    line = Line()
    line.down = True
    assert line.look_for(60, 40) == 40 and line.check.alarm == 0, "of one cause one alarm"
    line.down = False
    assert line.look_for(0.1, 42) == line.check.alarm == 42, "of all of them"
    line.look_for(0.1, 0)
    assert line.check.alarm == 0


def test_an_alarm_that_stands_already_stays_and_grows_while_the_camera_is_pulled():
    line = Line()
    line.look_for(DIFFERS_S + 1, 1)
    assert line.check.alarm == 1
    line.down = True
    for parts in (1, 9):
        line.look_for(60, parts)
        assert line.check.alarm == parts
    other = Line()
    other.down = True
    other.look_for(DIFFERS_S + 1, -1)
    assert other.check.alarm == -1, "triggers without a part follow from no camera"
