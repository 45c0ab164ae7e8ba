"""The patch One-Class SVM in float64, and what may become a landmark of normality; on made-up features, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.svm import OneClassSVM

from edge_deploy.coreset import k_centre, neighbour_distances
from edge_deploy.patches import PatchConfig, PatchFit, PatchSampler, smooth_cells
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.suspects import box_of, isolated_of
from edge_deploy.usual import usual_heat

SIZES = {"layer2": 12, "layer3": 20}
CONFIG = PatchConfig(directions=12, patches=6000, landmarks=120)
MIXING = np.random.default_rng(5).normal(size=(5, 32))
DEFECT = np.random.default_rng(6).normal(size=32)


def part(seed: int, defect: float = 0.0) -> dict[str, np.ndarray]:
    """Raw taps of one picture, 8 x 10 and 4 x 5 cells; a defect covers 3 x 3, of one kind and about one place."""
    rng = np.random.default_rng([seed, 2])
    place = np.stack([np.outer(np.sin(np.arange(8) * f), np.cos(np.arange(10) * f)) for f in (0.2, 0.5, 0.7)])
    hidden = np.concatenate([place, rng.normal(size=(2, 1, 1)) * 0.4 * np.ones((1, 8, 10))])
    features = np.tensordot(MIXING.T, hidden, 1) + 0.25 * rng.normal(size=(32, 8, 10)) + 3.0
    if defect:
        y, x = rng.integers(2, 4), rng.integers(3, 5)
        features[:, y : y + 3, x : x + 3] += defect * DEFECT[:, None, None]
    two, three = features[:12], features[12:].reshape(20, 4, 2, 5, 2).mean((2, 4))
    return {"layer2": two.astype(np.float32), "layer3": three.astype(np.float32)}


def fitted(pictures: Sequence[dict[str, np.ndarray]], cfg: PatchConfig = CONFIG) -> PatchFit:
    sampler = PatchSampler(len(pictures), cfg)
    for number, maps in enumerate(pictures):
        sampler.take(maps, f"part {number}")
    fit = sampler.fit(SIZES)
    heats = np.stack([fit.head.anomaly_map(maps) for maps in pictures])
    return replace(fit, head=replace(fit.head, usual=usual_heat(heats, cfg.usual_share)))


@pytest.fixture(scope="module")
def clean() -> PatchFit:
    return fitted([part(seed) for seed in range(100)])


def score(fit: PatchFit, maps: dict[str, np.ndarray]) -> float:
    return fit.head.anomaly_score(fit.head.anomaly_map(maps))


def recall(fit: PatchFit) -> float:
    """Share of defects above the limit that 1 % of fresh good parts exceed."""
    limit = np.quantile([score(fit, part(seed)) for seed in range(1000, 1200)], 0.99)
    return float(np.mean([score(fit, part(seed, 1.2)) > limit for seed in range(2000, 2060)]))


def test_one_strange_spot_stands_out_of_a_good_part_and_the_map_shows_where(clean: PatchFit) -> None:
    assert recall(clean) > 0.95
    maps = part(3000)
    before = clean.head.anomaly_map(maps)
    maps["layer2"][:, 2:5, 6:9] += 2.0 * DEFECT[:12, None, None].astype(np.float32)
    row, column = np.unravel_index(np.argmax(clean.head.anomaly_map(maps) - before), (8, 10))
    assert 2 <= row <= 4 and 6 <= column <= 8


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_defects_hidden_among_good_pictures_cost_at_most_5_points_of_recall(clean: PatchFit, share: float) -> None:
    hidden = [part(5000 + seed, 1.2) for seed in range(round(100 * share))]
    mixed = fitted([*(part(seed) for seed in range(100 - len(hidden))), *hidden])
    assert recall(mixed) >= recall(clean) - 0.05


def test_without_the_rules_a_hidden_defect_becomes_a_landmark(clean: PatchFit) -> None:
    trusting = replace(CONFIG, outlier=1e9)
    hidden = [part(5000 + seed, 1.2) for seed in range(3)]
    mixed = fitted([*(part(seed) for seed in range(97)), *hidden], trusting)
    assert recall(mixed) < recall(clean) - 0.05


def test_the_score_ranks_as_the_svm_does_and_does_not_tie_where_that_underflows(clean: PatchFit) -> None:
    alone = replace(clean.head, usual=None)  # cell by cell
    head = replace(alone, over_landmarks="sum")
    svm = OneClassSVM(kernel="rbf", gamma=head.gamma, nu=CONFIG.nu).fit(head.support)
    near = [part(seed, 0.1 * (seed % 5)) for seed in range(40)]
    z = np.concatenate([head.project(maps).reshape(-1, len(head.offset)) for maps in near])
    decision, ours = svm.decision_function(z), np.concatenate([head.anomaly_map(maps).ravel() for maps in near])
    told = decision > decision.min() + 1e-9
    ranks = [np.argsort(np.argsort(values[told])) for values in (-decision, ours)]
    assert np.corrcoef(ranks)[0, 1] > 0.999
    largest = np.concatenate([alone.anomaly_map(maps).ravel() for maps in near])
    assert np.corrcoef(np.argsort(np.argsort(largest)), np.argsort(np.argsort(ours)))[0, 1] > 0.95
    unbounded = replace(head, z_step=None)
    gross = [unbounded.anomaly_map(part(1, defect)).max() for defect in (20.0, 40.0, 80.0)]
    assert gross[0] < gross[1] < gross[2] < np.inf


def test_a_cell_is_judged_by_what_most_good_parts_show_there() -> None:
    heats = np.random.default_rng(0).gamma(20, 0.05, (400, 3, 4))
    heats[:, 1, 2] *= 2
    scale = usual_heat(heats, 0.95)
    assert scale.mean() == pytest.approx(1.0)
    assert scale[1, 2] == pytest.approx(2 * np.delete(scale.ravel(), 6).mean(), rel=0.1)
    hidden = heats.copy()
    hidden[:12, 0, 0] = 50.0  # 3 % hidden defects, always in one place
    np.testing.assert_allclose(usual_heat(hidden, 0.95), scale, rtol=0.1)
    few = usual_heat(heats[:4], 0.95)
    assert few.std() < 0.4 * np.quantile(heats[:4], 0.95, axis=0).std(), "four pictures cannot tell cells apart"


def test_the_most_isolated_landmarks_come_first_with_picture_and_place(clean: PatchFit) -> None:
    strangeness = [spot.strangeness for spot in clean.isolated]
    assert strangeness == sorted(strangeness, reverse=True)
    assert box_of(clean.isolated[0].cell, (8, 10), (0, 0, 100, 80))[2:] == (10, 10)


def test_the_report_shows_the_most_isolated_landmarks_with_a_frame_around_each(clean: PatchFit, tmp_path: Path) -> None:
    good = tuple(Picture(tmp_path / f"{number}.png", "good") for number in range(100))
    for picture in good:
        cv2.imwrite(str(picture.file), np.full((80, 100, 3), 90, np.uint8))
    shown = isolated_of(clean, good, Pictures(good, (), (), (), (80, 100), (0, 0, 100, 80), None))
    assert len(shown) == 50
    first = clean.isolated[0]
    assert shown[0].caption.startswith(f"{first.picture}.png at {10 * first.cell[1]}, {10 * first.cell[0]}: ")
    assert (shown[0].picture != 90).any() and (shown[0].picture == 90).mean() > 0.8


def test_the_same_pictures_and_seed_give_the_same_head(clean: PatchFit) -> None:
    again = fitted([part(seed) for seed in range(100)])
    np.testing.assert_array_equal(again.head.support, clean.head.support)
    np.testing.assert_array_equal(again.head.log_alpha, clean.head.log_alpha)
    assert again.isolated == clean.isolated


def test_pictures_of_one_part_do_not_support_each_other() -> None:
    odd = part(5000, 3.0)
    sampler = PatchSampler(110, CONFIG)
    for seed in range(100):
        sampler.take(part(seed), f"part {seed}")
    for _ in range(10):
        sampler.take(odd, "part 100")
    fit = sampler.fit(SIZES)
    assert score(fit, odd) > 1.3 * max(score(fit, part(seed)) for seed in range(50))


@pytest.mark.parametrize("count", [1, 3])
def test_a_handful_of_good_parts_is_refused_with_the_number_that_is_needed(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} good pictures of {count} parts .* needs 3 other parts"):
        fitted([part(seed) for seed in range(count)])


@pytest.mark.parametrize("level", [0.0, 1.0, None], ids=["nothing", "one value", "a part"])
def test_copies_of_one_picture_are_refused(level: float | None) -> None:
    one = part(1) if level is None else {tap: np.full_like(value, level) for tap, value in part(1).items()}
    with pytest.raises(ValueError, match="copies"):
        fitted([one] * 20)


def test_a_feature_that_is_not_finite_is_refused() -> None:
    pictures = [part(seed) for seed in range(20)]
    pictures[7]["layer3"][3, 2, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fitted(pictures, replace(CONFIG, patches=100_000))


@pytest.mark.parametrize(
    "wrong",
    [{"taps": ("layer4",)}, {"directions": 0}, {"top_share": 2.0}, {"nu": 0.0}, {"outlier": 0.0}, {"usual_share": 1.5}],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(CONFIG, **wrong)


def test_kappa_follows_the_number_of_landmarks_unless_it_is_given() -> None:
    assert [CONFIG.sharpness(m) for m in (500, 501)] == [8.0, 32.0]
    assert replace(CONFIG, kappa=4.0).sharpness(1000) == 4.0


@pytest.mark.parametrize("size", [(8, 10), (7, 13), (4, 5)])
def test_cells_are_brought_to_size_and_averaged_as_torch_does(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(3, 4, 5))
    larger = F.interpolate(torch.from_numpy(maps)[None], size=size, mode="bilinear", align_corners=False)
    expected = F.avg_pool2d(larger, 3, 1, 1)[0].numpy()
    np.testing.assert_allclose(smooth_cells(maps, size), expected, atol=1e-12)


def test_the_distance_to_other_parts_is_the_nearest_patch_of_the_nth_nearest_part() -> None:
    rng = np.random.default_rng(1)
    patches, parts = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 6, 60)
    found = neighbour_distances(patches, parts, 2)
    away = np.linalg.norm(patches[:, None] - patches[None], axis=2)
    for i in range(60):
        nearest = sorted(away[i, parts == other].min() for other in set(parts.tolist()) - {int(parts[i])})
        assert found[i] == pytest.approx(nearest[1], abs=1e-3)
    assert np.isinf(neighbour_distances(patches, parts, 6)).all()


def test_landmarks_cover_the_patches_better_than_chance_and_copies_count_once() -> None:
    patches = np.random.default_rng(2).normal(size=(400, 5)).astype(np.float32)

    def reach(chosen: np.ndarray) -> float:
        return float(np.linalg.norm(patches[:, None] - patches[None, chosen], axis=2).min(1).max())

    chosen = k_centre(patches, 40)
    assert len(set(chosen.tolist())) == 40
    assert reach(chosen) < reach(np.arange(40)) / 1.2
    assert len(k_centre(np.repeat(patches[:3], 50, 0), 40)) == 3
