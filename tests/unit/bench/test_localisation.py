"""The figures by which detectors are compared, on maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.localisation import au_pro, enlarged, paired_bootstrap, pixel_auroc

SIZE = (32, 32)


def spot(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    for y, x, height, width in boxes:
        mask[y : y + height, x : x + width] = True
    return mask


def test_a_map_that_is_the_mask_finds_everything() -> None:
    masks = [spot((4, 4, 6, 6)), spot((1, 1, 2, 2), (20, 20, 8, 8)), spot()]
    maps = [mask.astype(float) for mask in masks]
    assert pixel_auroc(maps, masks) == 1.0
    assert au_pro(maps, masks) == pytest.approx(1.0, abs=0.01)


def test_a_map_of_noise_is_worth_what_chance_is() -> None:
    rng = np.random.default_rng(0)
    masks = [spot((4, 4, 10, 10)) for _ in range(40)]
    maps = [rng.random(SIZE) for _ in masks]
    assert pixel_auroc(maps, masks) == pytest.approx(0.5, abs=0.02)
    assert au_pro(maps, masks) == pytest.approx(0.15, abs=0.02)  # the diagonal up to 0.3, as a share of 0.3


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    masks = [spot((0, 0, 20, 20), (28, 28, 2, 2))]
    large_alone = spot((0, 0, 20, 20)).astype(float)
    assert pixel_auroc([large_alone], masks) > 0.99
    assert au_pro([large_alone], masks) == pytest.approx(0.5, abs=0.01)


def test_a_map_that_is_strange_everywhere_tells_nothing() -> None:
    masks = [spot((4, 4, 6, 6))]
    assert au_pro([np.ones(SIZE)], masks) == 0.0


def test_no_defect_at_all_is_an_error_and_no_figure() -> None:
    with pytest.raises(ValueError, match="pixels on defects"):
        au_pro([np.zeros(SIZE)], [spot()])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_both_figures_look_at_the_order_of_scores_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [spot((3, 3, 5, 9), (20, 2, 4, 4)), spot()]
    maps = [rng.normal(size=SIZE) + mask for mask in masks]
    bent = [np.exp(heat) * 7 + 1 for heat in maps]
    assert pixel_auroc(bent, masks) == pytest.approx(pixel_auroc(maps, masks))
    assert au_pro(bent, masks) == pytest.approx(au_pro(maps, masks))


def test_a_heat_map_is_enlarged_to_its_picture() -> None:
    heat = np.zeros((4, 4))
    heat[1, 2] = 1
    large = enlarged(heat, (40, 80))
    assert large.shape == (40, 80)
    assert np.unravel_index(large.argmax(), large.shape)[0] in range(10, 20)


def test_the_same_detector_twice_differs_by_nothing() -> None:
    rng = np.random.default_rng(1)
    strange = np.arange(60) % 2 == 0
    scores = rng.normal(size=60) + strange
    found = paired_bootstrap(scores, scores, strange, [str(i // 3) for i in range(60)], rounds=100)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_better_detector_is_better_with_its_interval_above_nothing() -> None:
    rng = np.random.default_rng(2)
    strange = np.arange(200) % 2 == 0
    weak, good = rng.normal(size=200) + 0.5 * strange, rng.normal(size=200) + 3 * strange
    found = paired_bootstrap(weak, good, strange, [str(i) for i in range(200)], rounds=300)
    assert 0 < found.low < found.value < found.high


def test_pictures_of_one_tile_are_drawn_together() -> None:
    """Ten copies of each picture add nothing: the interval by tile stays as wide, the one by picture shrinks."""
    rng = np.random.default_rng(3)
    strange = np.arange(30) % 2 == 0
    one, two = rng.normal(size=30) + strange, rng.normal(size=30) + strange
    copies = [np.repeat(values, 10) for values in (one, two, strange)]
    tiles = [str(i // 10) for i in range(300)]
    by_tile = paired_bootstrap(copies[0], copies[1], copies[2], tiles, rounds=400)
    by_picture = paired_bootstrap(copies[0], copies[1], copies[2], [str(i) for i in range(300)], rounds=400)
    assert by_tile.high - by_tile.low > 2 * (by_picture.high - by_picture.low)
