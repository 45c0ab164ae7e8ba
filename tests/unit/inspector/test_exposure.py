"""Light and focus in figures: what a person sees rise and fall while a lens or a lamp is turned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inspector.demo.parts import Kind, render
from inspector.exposure import BINS, exposure_of
from inspector.frames import zone_figures

WHOLE = (0, 0, 320, 256)


def flat(value: int | tuple[int, int, int]) -> np.ndarray:
    return np.full((256, 320, 3), value, np.uint8)


def test_the_figures_are_those_that_zones_are_limited_by() -> None:
    image = render(1, Kind.GOOD).image
    found = exposure_of(image, WHOLE)
    assert (found.brightness, found.contrast, found.sharpness) == pytest.approx(zone_figures(image, WHOLE))
    assert sum(found.histogram) == pytest.approx(1) and len(found.histogram) == BINS


def test_a_picture_out_of_focus_is_less_sharp_the_further_it_is() -> None:
    image = render(1, Kind.GOOD).image
    figures = [exposure_of(cv2.GaussianBlur(image, (0, 0), s), WHOLE).sharpness for s in (0.3, 1, 2, 4)]
    assert figures == sorted(figures, reverse=True) and figures[0] > 10 * figures[-1]


def test_what_is_black_and_what_is_burnt_out_is_counted_by_pixels() -> None:
    assert (exposure_of(flat(0), WHOLE).dark, exposure_of(flat(0), WHOLE).bright) == (1, 0)
    assert (exposure_of(flat(255), WHOLE).dark, exposure_of(flat(255), WHOLE).bright) == (0, 1)
    one_channel = exposure_of(flat((255, 0, 0)), WHOLE)
    assert (one_channel.dark, one_channel.bright) == (0, 1), "light is lost where one channel is full"
    half = flat(120)
    half[:, :80] = 255
    assert exposure_of(half, WHOLE).bright == pytest.approx(0.25)


def test_only_the_region_is_looked_at() -> None:
    image = flat(0)
    image[10:20, 30:50] = 200
    found = exposure_of(image, (30, 10, 20, 10))
    assert (found.brightness, found.dark) == (200, 0)
    assert found.histogram[200 // 4] == 1
