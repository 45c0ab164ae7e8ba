"""How strange a spot looks: the limit decides, not the picture's own hottest spot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.heat import AT_LIMIT, HeatScale

SCALE = HeatScale.of(limit=3.0, median=2.0)


def test_nothing_shows_up_to_half_way_from_the_usual_part_to_the_limit_and_all_colour_at_twice_the_limit():
    assert (SCALE.quiet, SCALE.limit, SCALE.full) == (2.5, 3.0, 6.0)
    scores = np.array([[0.0, 2.0, 2.5], [3.0, 4.5, 6.0], [60.0, np.inf, np.nan]])
    shown = SCALE.strength(scores)
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, [[0, 0, 0], [AT_LIMIT, 0.75, 1], [1, 1, 0]])


def test_a_score_shows_alike_in_every_picture():
    calm, defect = np.full((4, 4), 2.4), np.full((4, 4), 2.4)
    defect[0, 0] = 9.0
    assert SCALE.strength(calm).max() == 0
    assert SCALE.strength(defect)[0, 0] == 1 and SCALE.strength(defect)[1:].max() == 0


def test_without_a_median_it_begins_at_half_of_the_limit():
    assert HeatScale.of(3.0, None).quiet == 1.5


@given(st.floats(-1e3, 1e3), st.none() | st.floats(-1e3, 1e3))
def test_any_limit_and_median_give_a_scale_that_goes_upwards(limit, median):
    scale = HeatScale.of(limit, median)
    assert scale.quiet < scale.limit < scale.full
    assert scale.strength(np.array([limit]))[0] == pytest.approx(AT_LIMIT)


def test_a_scale_that_does_not_go_upwards_is_refused():
    for scores in ((2.0, 1.0, 3.0), (1.0, 2.0, 2.0), (float("nan"), 1.0, 2.0)):
        with pytest.raises(ValueError, match="upwards"):
            HeatScale(*scores)
