"""PLC_PART_COUNT followed over everything that makes a counter jump."""

from __future__ import annotations

import pytest

from plc.part_count import LEAP, PartCount


def grown(*images: int, recalled: int | None = None) -> int:
    count = PartCount()
    if recalled is not None:
        count.recall(recalled)
    for raw in images:
        count.see(raw)
    return count.grown


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        ((500, 500, 501, 503), 3),
        ((2**32 - 2, 2**32 - 1, 0, 1), 3),  # the register is full
        ((500, 501, 0, 0, 1), 2),  # the PLC began anew
        ((500, 501, 4, 4), 5),  # and had four parts before we saw it
        ((65_535, 131_071, 65_536), 1),  # torn between its two registers
        ((65_535, 0, 65_536), 1),
        ((500, 5000, 5000), 4500),  # we were away for a while
        ((500, 5000, 5001, 5001), 4501),
        ((500, 500 + LEAP, 500 + LEAP), 0),  # set by hand
        ((0, 0, 0), 0),
    ],
)
def test_what_grows_is_parts(images, parts):
    assert grown(*images) == parts


def test_parts_that_came_by_between_two_lives_of_ours_have_grown_too():
    assert grown(502, 503, recalled=500) == 3
    assert grown(3, 3, recalled=500) == 3, "the PLC began anew meanwhile"
    assert grown(502, 503) == 1, "without a memory the first number is where counting begins"
