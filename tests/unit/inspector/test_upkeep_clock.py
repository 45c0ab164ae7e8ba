"""The box's clock as a figure: jumps, offset, and a time service that left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from inspector.upkeep import gauges
from inspector.upkeep.measures import Measure
from inspector.upkeep.section import UpkeepConfig

HOUR = 3600.0


def read(gauge: gauges.ClockGauge) -> dict[str, Measure]:
    return {m.kind: m for m in gauge.read()}


@dataclass
class Times:
    utc: float = 1_790_000_000.0
    mono: float = 50.0

    def passes(self, seconds: float) -> None:
        self.utc += seconds
        self.mono += seconds


def clock_gauge(times: Times, unsynced: Callable[[], bool], offset: float | None = None) -> gauges.ClockGauge:
    return gauges.ClockGauge(UpkeepConfig(), lambda: times.utc, lambda: times.mono, unsynced, lambda: offset)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 10 * 365 * 86_400.0])
def test_a_clock_that_is_set_is_an_alarm_for_an_hour(jump_s: float) -> None:
    times = Times()
    gauge = clock_gauge(times, lambda: False)
    assert read(gauge)["clock_step"].state == "ok"
    times.passes(10)
    times.utc += jump_s
    assert read(gauge)["clock_step"].state == "alarm"
    times.passes(HOUR - 1)
    assert read(gauge)["clock_step"].value == abs(jump_s) * 1000
    times.passes(2)
    assert read(gauge)["clock_step"].state == "ok"


def test_a_clock_that_was_kept_and_is_not_any_more_is_an_alarm_and_one_that_never_was_is_a_choice() -> None:
    times, kept = Times(), [True]
    gauge = clock_gauge(times, lambda: not kept[0])
    assert read(gauge)["clock_free"].state == "ok"
    kept[0] = False
    times.passes(24 * HOUR + 60)
    assert read(gauge)["clock_free"].state == "alarm"
    assert read(clock_gauge(times, lambda: True))["clock_free"].state == "off"


def test_an_offset_counts_to_both_sides_and_one_that_nobody_tells_is_unknown() -> None:
    assert read(clock_gauge(Times(), lambda: False, -1500.0))["clock_offset"].state == "alarm"
    assert read(clock_gauge(Times(), lambda: False, 999.0))["clock_offset"].state == "ok"
    assert read(clock_gauge(Times(), lambda: False))["clock_offset"].state == "unknown"
