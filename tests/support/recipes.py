"""Recipes at random."""

from __future__ import annotations

from hypothesis import strategies as st

from inspector.core.manifest import ZoneLimits
from inspector.recipes import ChosenLimits, RecipeContent

_pixels = st.integers(0, 5000)
_boxes = st.tuples(_pixels, _pixels, st.integers(1, 5000), st.integers(1, 5000))
_numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)  # no -0.0
_ranges = st.tuples(_numbers, _numbers)
_words = st.text(st.characters(codec="utf-8"), max_size=12)
_zones = st.builds(ZoneLimits, _words, _boxes, _ranges, _ranges, _ranges)
_limits = st.builds(ChosenLimits, *(st.none() | _numbers for _ in range(4)))


def contents() -> st.SearchStrategy[RecipeContent]:
    """Any content, also such as fits no bundle."""
    return st.builds(
        RecipeContent,
        name=_words,
        product=_words,
        roi=st.none() | _boxes,
        limits=_limits,
        zones=st.none() | st.lists(_zones, max_size=3).map(tuple),
        camera=st.dictionaries(_words, _numbers, max_size=3),
    )
