"""The comparison of detectors: references, truth at the original size, bars, and what the page says; no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_deploy.patches import PatchConfig, PatchHead, PatchSampler
from edge_deploy.pictures import Picture
from tests.bench import levers, real
from tests.bench.compare import (
    DETECTORS,
    NOT_MEASURED,
    PAIRS,
    Pair,
    Truth,
    compare,
    measure_patchcore,
)
from tests.bench.compare_page import comparison
from tests.bench.detectors import (
    NEIGHBOUR,
    PATCH_INT8,
    PATCHCORE,
    POOLED,
    Bank,
    Found,
    keep,
    kept,
    nearest,
    training_folder,
)
from tests.unit.edge_deploy.test_patches import SIZES, part

TILES = 12


def picture(folder: Path, kind: str, number: int) -> Picture:
    return Picture(folder / f"{kind}_{number}.png", kind, str(number))


def pictures_and_source(tmp_path: Path) -> tuple[list[Picture], Path]:
    """Good and cracked tiles, two originals of other sizes each; a crack covers rows 2 to 5."""
    source = tmp_path / "magnetic_tile"
    for folder in ("test/good", "ground_truth/crack"):
        (source / folder).mkdir(parents=True)
    found = []
    for number in range(TILES):
        size = (20, 30 + number % 2)
        cv2.imwrite(str(source / "test" / "good" / f"good_{number}.jpg"), np.full(size, 90, np.uint8))
        mask = np.zeros(size, np.uint8)
        mask[2:6, 4:20] = 255
        cv2.imwrite(str(source / "ground_truth" / "crack" / f"crack_{number}_mask.png"), mask)
        found += [picture(tmp_path, "good", number), picture(tmp_path, "crack", number)]
    return found, source


def seen(truth: Truth, strength: float, *, maps: bool = True) -> Found:
    """A detector that finds this much of a crack, and points at it."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=len(truth.strange)) + strength * truth.strange
    heat = rng.random((len(truth.strange), 10, 15))
    heat[:, 1:3, 2:10] += strength * truth.strange[:, None, None]
    return Found(scores, heat.astype(np.float32) if maps else None)


def test_the_reference_is_the_distance_to_the_nearest_patch() -> None:
    rng = np.random.default_rng(0)
    z, patches = rng.normal(size=(5, 6, 8)), rng.normal(size=(40, 8)).astype(np.float32)
    expected = np.linalg.norm(z[:, :, None, :] - patches, axis=-1).min(-1)
    np.testing.assert_allclose(Bank(patches).distance_map(z), expected, rtol=1e-4)
    assert Bank(patches).distance_map(patches[None, :3].astype(float)).max() < 0.01


def test_the_reference_reads_the_features_and_pools_the_cells_of_the_detector() -> None:
    cfg = PatchConfig(directions=12, patches=3000, landmarks=60, top_share=0.05)
    sampler = PatchSampler(40, cfg)
    for seed in range(40):
        sampler.take(part(seed), f"part {seed}")
    head: PatchHead = sampler.fit(SIZES).head
    maps = part(900, 1.5)
    outputs = {f"{tap}_map": value[None] for tap, value in maps.items()}
    score, heat = nearest(head, Bank(head.support.astype(np.float32)))(outputs)
    assert heat is not None and heat.shape == (8, 10)
    assert score == pytest.approx(np.sort(heat, axis=None)[-4:].mean())
    # one landmark and the largest term are nearly the same question
    assert np.corrcoef(heat.ravel(), head.anomaly_map(maps).ravel())[0, 1] > 0.95


def test_pixels_are_judged_at_the_size_of_the_original_picture(tmp_path: Path) -> None:
    pictures, source = pictures_and_source(tmp_path)
    truth = Truth.of(pictures, source)
    assert [mask.shape for mask in truth.masks[:4]] == [(20, 30), (20, 30), (20, 31), (20, 31)]
    assert [bool(mask.any()) for mask in truth.masks[:2]] == [False, True]
    figures = truth.figures(seen(truth, 6.0))
    assert figures["image_auroc"] == 1.0
    assert figures["pixel_auroc"] is not None and figures["pixel_auroc"] > 0.95
    assert figures["au_pro"] is not None and figures["au_pro"] > 0.8


def test_a_detector_without_a_heat_map_has_no_pixel_figures(tmp_path: Path) -> None:
    pictures, source = pictures_and_source(tmp_path)
    truth = Truth.of(pictures, source)
    figures = truth.figures(seen(truth, 1.0, maps=False))
    assert figures["pixel_auroc"] is None and figures["au_pro"] is None


def test_a_missing_mask_or_tile_is_an_error_that_names_the_picture(tmp_path: Path) -> None:
    pictures, source = pictures_and_source(tmp_path)
    (source / "ground_truth" / "crack" / "crack_3_mask.png").unlink()
    with pytest.raises(OSError, match=r"crack_3_mask\.png is missing"):
        Truth.of(pictures, source)
    with pytest.raises(ValueError, match=r"groups\.csv"):
        Truth.of([Picture(pictures[0].file, "good")], source)


@pytest.mark.parametrize(("strength", "met"), [(2.0, True), (0.3, False)])
def test_a_bar_is_for_the_difference_in_points(tmp_path: Path, strength: float, met: bool) -> None:
    pictures, source = pictures_and_source(tmp_path)
    truth = Truth.of(pictures, source)
    found = truth.difference(Pair("a", "b", 5.0), seen(truth, strength), seen(truth, 0.3), with_bar=True)
    assert found["met"] is met
    assert found["low"] <= found["value"] <= found["high"]
    bare = truth.difference(Pair("a", "b", 5.0), seen(truth, strength), seen(truth, 0.3), with_bar=False)
    assert bare["bar"] is None and bare["met"] is None


def test_the_issues_bars_are_those_that_are_judged() -> None:
    assert {(pair.ours, pair.other): pair.bar_points for pair in PAIRS if pair.bar_points is not None} == {
        (PATCH_INT8, NEIGHBOUR): -0.5,
        (PATCH_INT8, POOLED): 5.0,
        (PATCH_INT8, "patch, FP32"): -1.0,
    }


def test_what_was_found_is_there_after_an_interruption(tmp_path: Path) -> None:
    whole = {name: Found(np.arange(3.0) + i, np.full((3, 2, 2), i, np.float32)) for i, name in enumerate(DETECTORS)}
    whole[POOLED] = Found(np.arange(3.0), None)
    keep(whole, tmp_path)
    assert len(list(tmp_path.iterdir())) == len(DETECTORS)
    again = kept(PATCH_INT8, tmp_path)
    assert again is not None and again.maps is not None
    np.testing.assert_array_equal(again.maps, whole[PATCH_INT8].maps)
    without = kept(POOLED, tmp_path)
    assert without is not None and without.maps is None
    assert kept(PATCHCORE, tmp_path / "elsewhere") is None


def test_another_tool_is_given_the_training_pictures_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pictures = [picture(tmp_path / "data", "good", number) for number in range(4)]
    for one in pictures:
        one.file.write_bytes(b"png")
    folder = tmp_path / "peer"
    folder.mkdir()
    (folder / "of_before.png").write_bytes(b"old")
    training_folder(pictures[:3], folder)
    assert sorted(file.name for file in folder.iterdir()) == [f"good_{n}.png" for n in range(3)]


class FakeSetting:
    """As much of a Setting as a comparison of what was kept needs."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = type("Pictures", (), {"test": tuple(pictures)})()


def state(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What the stages note, with PatchCore's environment missing."""
    pictures, source = pictures_and_source(tmp_path)
    truth = Truth.of(pictures, source)
    setting: Any = FakeSetting(pictures)
    folder = tmp_path / "kept"
    found = {name: seen(truth, 1.0 + i, maps=name != POOLED) for i, name in enumerate(DETECTORS) if name != PATCHCORE}
    keep(found, folder)
    figures = {name: truth.figures(one) for name, one in found.items()}
    fp32 = {"detectors": {"patch, FP32": figures.pop("patch, FP32")}}
    return {
        "compare_int8": {"landmarks": 1000, "sample": 40_000, "trained_on": 388, "detectors": figures},
        "compare_fp32": fp32,
        "compare_patchcore": measure_patchcore(setting, source, folder, tmp_path / "no" / "python", 1000),
        "compare_all": compare(setting, source, folder, with_bars=True),
    }


def test_without_the_peers_environment_its_row_says_so_and_is_asked_for_again(tmp_path: Path) -> None:
    found = state(tmp_path)
    assert found["compare_patchcore"]["again"] and found["compare_all"]["again"]
    assert {one["other"] for one in found["compare_all"]["differences"]} == {p.other for p in PAIRS} - {PATCHCORE}
    text = comparison(found)
    assert f"| {PATCHCORE} | {NOT_MEASURED} |  |  |" in text
    assert "| pooled, INT8 | " in text and "40,000 random patches" in text
    assert f"over {TILES} tiles" in text
    assert "| at least -0.5 | yes |" in text or "| at least -0.5 | **NO** |" in text


def test_a_stage_that_asks_for_it_is_made_again_and_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def whole(_: object) -> dict[str, Any]:
        made.append("whole")
        return {}

    def waits(_: object) -> dict[str, Any]:
        made.append("waits")
        return {"again": True}

    monkeypatch.setattr(real, "STAGES", (whole, waits))
    monkeypatch.setattr(real, "read_run", lambda _: None)
    monkeypatch.setattr(real, "write_section", lambda *_: None)
    bench = real.Bench(tmp_path, "none", tmp_path, 1, tmp_path / "page.md")
    real.play(bench)
    real.play(bench)
    assert made == ["whole", "waits", "waits"]


def test_a_cheaper_head_stands_beside_its_cost_and_what_it_loses(tmp_path: Path) -> None:
    pictures, source = pictures_and_source(tmp_path)
    truth = Truth.of(pictures, source)
    found = levers.judged(truth, seen(truth, 6.0), {"64 directions": seen(truth, 0.0, maps=False)})
    costs = tmp_path / "latest.json"
    costs.write_text(json.dumps([{"name": "fused INT8 / bare INT8, p50", "value": 1.098}]))
    page = levers.section(found, costs)
    assert f"| {levers.DEFAULT} | 100.0 |  | 1.10x |" in page
    row = next(line for line in page.splitlines() if line.startswith("| 64 directions |"))
    assert row.endswith("| - |") and float(row.split("|")[3].split()[0]) < -20
