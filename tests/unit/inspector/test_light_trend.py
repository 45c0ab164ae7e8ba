"""A drift is told before pictures are refused; scatter from part to part is none."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.light_trend import NEAR_LIMIT, TREND_PICTURES, LightTrend


def trend_of(places: list[float]) -> LightTrend:
    trend = LightTrend()
    for place in places:
        trend.saw({"zone view: brightness": place, "zone view: contrast": 0.5})
    return trend


def test_pictures_that_scatter_within_what_was_qualified_are_no_drift():
    places = np.random.default_rng(0).uniform(NEAR_LIMIT, 1 - NEAR_LIMIT, 500)
    assert all(trend_of(list(places[:n])).text() is None for n in range(0, 500, 7))


@pytest.mark.parametrize(("place", "limit"), [(NEAR_LIMIT - 0.02, "lower"), (1 - NEAR_LIMIT + 0.02, "upper")])
def test_a_figure_that_lies_near_one_limit_on_average_is_named(place, limit):
    text = trend_of([place + d for d in (0.05, -0.05)] * TREND_PICTURES).text()
    assert text is not None and "view: brightness" in text and limit in text


def test_a_drift_ends_when_the_lens_is_clean_again():
    dirty = [0.1] * 3 * TREND_PICTURES
    assert trend_of(dirty).text() is not None
    assert trend_of([*dirty, *[0.5] * 3 * TREND_PICTURES]).text() is None


def test_the_first_pictures_after_a_start_are_too_few_to_tell():
    assert trend_of([0.01] * (TREND_PICTURES - 1)).text() is None
