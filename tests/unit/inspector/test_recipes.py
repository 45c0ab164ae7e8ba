"""A recipe moves limits inside the signed range only, and a revision means the same for good."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.checksum import checksum_of
from inspector.core.errors import RecipeError
from inspector.core.manifest import LimitSpec, ZoneLimits
from inspector.recipes import (
    ChosenLimits,
    RecipeContent,
    Revision,
    content_of,
    recipe_of,
    settings_of,
)
from inspector.sections import RecipeConfig
from tests.support.recipes import contents
from tests.support.tiny_bundle import tiny_manifest

ZONE = ZoneLimits("lamp", (0, 0, 20, 20), (10.0, 200.0), (1.0, 120.0), (1.0, 1000.0))


@pytest.fixture(scope="module")
def manifest():
    return tiny_manifest()


PLAIN = RecipeContent("disc")


def revision(content=PLAIN, number=7, count=3):
    return Revision(number, count, content, 0, "config", "first")


def moved(**limits):
    return revision(RecipeContent("disc", limits=ChosenLimits(**limits)))


def test_what_a_recipe_leaves_open_is_the_bundles(manifest):
    recipe = recipe_of(revision(), manifest)
    assert (recipe.number, recipe.revision, recipe.product) == (7, 3, "tiny")
    assert recipe.roi == manifest.view.roi and recipe.zones == manifest.zones
    assert recipe.limits.min_confidence == 0.8 and recipe.limits.novelty_range == (-1.0, 5.0)
    assert recipe.limits.good_labels == {"good"}


@pytest.mark.parametrize("value", [0.6, 0.7, 0.99])
def test_a_limit_moves_inside_its_signed_range_ends_included(manifest, value):
    assert recipe_of(moved(min_confidence=value), manifest).limits.min_confidence == value


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("min_confidence", 0.59, (0.6, 0.99)),
        ("min_confidence", 1.0, (0.6, 0.99)),
        ("min_confidence", 0.0, (0.6, 0.99)),
        ("novelty_low", -1.5, (-1.0, 0.0)),
        ("novelty_high", 7.5, (3.0, 7.0)),
        ("novelty_high", float("nan"), (3.0, 7.0)),
    ],
)
def test_a_limit_outside_its_signed_range_is_refused_and_the_text_names_value_and_range(manifest, name, value, allowed):
    with pytest.raises(RecipeError) as caught:
        recipe_of(moved(**{name: value}), manifest)
    assert f"limits.{name} = {value} is outside {allowed[0]} to {allowed[1]}" in str(caught.value)


def test_limits_that_cross_are_refused(manifest):
    wide = replace(manifest.limits, novelty_low=LimitSpec(-1.0, (-1.0, 6.0)))
    with pytest.raises(RecipeError, match="cross"):
        recipe_of(moved(novelty_low=5.5), replace(manifest, limits=wide))


def test_an_anomaly_limit_needs_a_bundle_that_gives_the_score(manifest):
    with pytest.raises(RecipeError, match="no anomaly score"):
        recipe_of(moved(max_anomaly_score=2.0), manifest)
    scored = replace(manifest, limits=replace(manifest.limits, max_anomaly_score=LimitSpec(2.0, (1.0, 3.0))))
    assert recipe_of(moved(max_anomaly_score=1.5), scored).limits.max_anomaly_score == 1.5
    assert recipe_of(moved(), scored).limits.max_anomaly_score == 2.0
    with pytest.raises(RecipeError, match=r"3\.5 is outside 1\.0 to 3\.0"):
        recipe_of(moved(max_anomaly_score=3.5), scored)


def test_the_region_may_move_in_the_picture_and_the_view_moves_with_it(manifest):
    _, _, width, height = manifest.view.roi
    image = np.random.default_rng(1).integers(0, 256, (manifest.view.camera_height, manifest.view.camera_width, 3))
    image = image.astype(np.uint8)
    recipe = recipe_of(revision(RecipeContent("disc", roi=(3, 5, width, height))), manifest)
    view = recipe.view(image)
    np.testing.assert_array_equal(view, image[5 : 5 + height, 3 : 3 + width])
    view[:] = 0
    assert image.any(), "the camera's picture is not written to"


def test_a_region_of_another_size_or_beyond_the_picture_is_refused(manifest):
    _, _, width, height = manifest.view.roi
    with pytest.raises(RecipeError, match=f"was qualified on {width} x {height}"):
        recipe_of(revision(RecipeContent("disc", roi=(0, 0, width - 1, height))), manifest)
    beyond = manifest.view.camera_width - width + 1
    with pytest.raises(RecipeError, match="not within the camera's picture"):
        recipe_of(revision(RecipeContent("disc", roi=(beyond, 0, width, height))), manifest)


def test_zones_of_the_recipe_come_beside_the_signed_ones_and_lie_in_the_view(manifest):
    assert recipe_of(revision(RecipeContent("disc", zones=())), manifest).zones == manifest.zones
    assert recipe_of(revision(RecipeContent("disc", zones=(ZONE,))), manifest).zones == (*manifest.zones, ZONE)
    outside = replace(ZONE, box=(0, 0, manifest.view.roi[2] + 1, 20))
    with pytest.raises(RecipeError, match="zone lamp"):
        recipe_of(revision(RecipeContent("disc", zones=(outside,))), manifest)


def test_a_signed_zone_is_only_narrowed(manifest):
    (signed,) = manifest.zones
    narrow = replace(signed, brightness=(20.0, 190.0))
    assert recipe_of(revision(RecipeContent("disc", zones=(narrow,))), manifest).zones == (narrow,)
    for wrong in (
        replace(signed, brightness=(0.0, 200.0)), replace(signed, contrast=(1.0, 121.0)),
        replace(signed, sharpness=(0.0, math.inf)), replace(signed, box=(0, 0, 1, 1)),
    ):  # fmt: skip
        with pytest.raises(RecipeError, match="signed"):
            recipe_of(revision(RecipeContent("disc", zones=(wrong,))), manifest)


def test_without_a_bundle_nothing_judges_and_the_whole_picture_is_kept():
    recipe = recipe_of(moved(min_confidence=0.1), None)
    image = np.ones((4, 6, 3), np.uint8)
    assert recipe.limits is None and recipe.view(image).shape == (4, 6, 3)


def test_a_configured_recipe_keeps_the_cameras_own_settings_where_it_has_none():
    section = RecipeConfig(name="bolt", camera={"gain": 2}, limits={"min_confidence": 0.9})
    content = content_of(section, {"gain": 1.0, "exposure": 500.0})
    assert content.camera == {"gain": 2.0, "exposure": 500.0}
    assert content.limits == ChosenLimits(min_confidence=0.9)


@given(contents())
def test_a_recipe_is_the_same_after_it_was_written_and_read(content):
    again = RecipeContent.from_json(content.to_json())
    assert again == content and again.to_json() == content.to_json()


@pytest.mark.parametrize(
    "text", ["", "{}", '{"name": "a", "new_key": 1}', '{"name": 5}', '{"name": "a", "roi": [1, 2]}']
)
def test_a_text_that_is_no_recipe_is_refused(text):
    with pytest.raises(RecipeError):
        RecipeContent.from_json(text)


@given(contents(), contents(), st.integers(1, 9), st.integers(1, 9))
def test_the_checksum_follows_what_decides_and_nothing_else(one, other, first, second):
    a, b = (recipe_of(revision(c, count=n), None) for c, n in ((one, first), (other, second)))
    sums = [checksum_of(settings_of(r, "ab" * 32)) for r in (a, b)]
    same = replace(a, revision=0) == replace(b, revision=0)
    assert (sums[0] == sums[1]) is same
    assert all(0 < s <= 0xFFFFFFFF for s in sums)


def test_every_setting_counts_in_the_checksum(manifest):
    width, height = manifest.view.roi[2:]
    chosen = [
        RecipeContent("disc"),
        RecipeContent("bolt"),
        RecipeContent("disc", roi=(1, 1, width, height)),
        RecipeContent("disc", limits=ChosenLimits(min_confidence=0.81)),
        RecipeContent("disc", limits=ChosenLimits(novelty_high=5.1)),
        RecipeContent("disc", zones=(ZONE,)),
        RecipeContent("disc", camera={"gain": 1.0}),
    ]
    texts = [settings_of(recipe_of(revision(c), manifest), "ab" * 32) for c in chosen]
    texts.append(settings_of(recipe_of(revision(), manifest), "cd" * 32))
    texts.append(settings_of(recipe_of(revision(number=8), manifest), "ab" * 32))
    assert len({checksum_of(t) for t in texts}) == len(texts)


def test_the_checksum_of_one_recipe_is_known():
    recipe = recipe_of(revision(RecipeContent("disc", camera={"gain": 1.5})), None)
    text = settings_of(recipe, "")
    assert text == (
        '{"camera":{"gain":1.5},"limits":null,"model":"","name":"disc","number":7,"product":"","roi":null,"zones":[]}'
    )
    assert checksum_of(text) == 0x390D25E8  # the first four bytes of `sha256sum`
