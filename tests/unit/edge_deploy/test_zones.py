from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge_deploy.zones import boxes_of, qualify_zones
from inspector.core.manifest import ZoneLimits
from inspector.core.types import Image
from inspector.demo.parts import ROI, Kind, Stream, render
from inspector.demo.scene import Light
from inspector.frames import zone_figures


def view(seed: int, kind: Kind = Kind.GOOD, light: Light | None = None) -> Image:
    x, y, w, h = ROI
    return render(seed, kind, Stream.CALIBRATION, light or Light()).image[y : y + h, x : x + w]


@pytest.fixture(scope="module")
def zones() -> tuple[ZoneLimits, ...]:
    return qualify_zones(view(seed) for seed in range(80))


def outside(zones: tuple[ZoneLimits, ...], image: Image) -> set[str]:
    def names() -> Iterator[str]:
        for zone in zones:
            limits = (zone.brightness, zone.contrast, zone.sharpness)
            for figure, (low, high) in zip(zone_figures(image, zone.box), limits, strict=True):
                if not low <= figure <= high:
                    yield zone.name

    return set(names())


def test_fresh_good_parts_and_taught_defects_have_qualified_light(zones: tuple[ZoneLimits, ...]) -> None:
    for kind in (Kind.GOOD, Kind.SCRATCH, Kind.DENT):
        assert not any(outside(zones, view(seed, kind)) for seed in range(1000, 1060))


def test_a_dead_lamp_is_outside_in_its_own_quadrant(zones: tuple[ZoneLimits, ...]) -> None:
    for seed in range(2000, 2010):
        assert "top_left" in outside(zones, view(seed, light=Light(lamps=(0.0, 1.0, 1.0, 1.0))))


def test_twice_the_exposure_is_outside(zones: tuple[ZoneLimits, ...]) -> None:
    assert "view" in outside(zones, view(2000, light=Light(exposure=1.8)))


def test_the_quadrants_cover_a_view_of_odd_size_once() -> None:
    covered = np.zeros((7, 9), int)
    for name, (x, y, w, h) in boxes_of(7, 9).items():
        covered[y : y + h, x : x + w] += name != "view"
    assert (covered == 1).all()


def test_no_pictures_give_no_limits() -> None:
    with pytest.raises(ValueError, match="no pictures"):
        qualify_zones([])
