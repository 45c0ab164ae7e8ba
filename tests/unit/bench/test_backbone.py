"""Frozen layers against everything taught: what is counted, what is checked, and what the page says; no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_deploy.pictures import Picture
from tests.bench import backbone
from tests.bench.backbone import FROZEN, FULL, compared, judged, measure_patches, refuse_other_layers, section
from tests.bench.compare import Truth
from tests.bench.detectors import PATCH_INT8, Found, keep


def truth_of(tiles: int) -> Truth:
    """A good and a strange picture of each tile; the masks do not count here."""
    strange = np.tile([False, True], tiles)
    masks = tuple(np.zeros((2, 2), bool) for _ in strange)
    return Truth(strange, masks, tuple(str(i // 2) for i in range(2 * tiles)))


def seen(truth: Truth, strength: float) -> Found:
    rng = np.random.default_rng(1)
    return Found(rng.normal(size=len(truth.strange)) + strength * truth.strange, np.zeros((len(truth.strange), 1, 1)))


def results(full: float, frozen: float, lost: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """full, frozen: how well the tiles are told apart; lost: test pictures of class 1 that only frozen knows."""
    ids = np.repeat([0, 1], [30, 30]).astype(np.int64)
    worse = ids.copy()
    worse[30 : 30 + lost] = 0
    steel = judged({FROZEN: ids, FULL: worse}, ids, 2) | {"train_seconds": {FROZEN: 60.0, FULL: 200.0}}
    truth = truth_of(40)
    tiles = compared(truth, seen(truth, frozen), seen(truth, full))
    return json.loads(json.dumps(steel)), json.loads(json.dumps(tiles))


def test_the_page_compares_classifier_and_patches_and_says_what_was_harmed() -> None:
    steel, tiles = results(full=0.5, frozen=3.0, lost=12)
    assert tiles["difference"]["value"] == pytest.approx(100 * (tiles["auroc"][FULL] - tiles["auroc"][FROZEN]))
    assert steel["gain"]["value"] == pytest.approx(-0.2)
    text = section(steel, tiles)
    assert f"| {FROZEN} | 100.00 % | 100.00 % | 100.00 % | 60 |" in text
    assert f"| {FULL} | 80.00 % | 80.00 % |" in text
    assert "teaching everything harmed the detector on tiles, and harmed the classifier" in text
    assert "over 40 tiles" in text and "0 pictures that only it knows and 12 that only frozen knows" in text


def test_a_difference_whose_interval_holds_nothing_is_called_none() -> None:
    text = section(*results(full=1.0, frozen=1.0, lost=0))
    assert text.count("made no difference that can be told to") == 2
    assert "helped the detector" in section(*results(full=3.0, frozen=0.5, lost=0))


def test_a_layer_that_did_not_stay_frozen_is_refused() -> None:
    came = {"layer3.0.bn1.running_mean": torch.zeros(2), "layer4.0.bn1.running_mean": torch.zeros(2)}
    refuse_other_layers({**came, "layer4.0.bn1.running_mean": torch.ones(2)}, came)
    with pytest.raises(ValueError, match=r"layer3\.0\.bn1\.running_mean is not as it came"):
        refuse_other_layers({**came, "layer3.0.bn1.running_mean": torch.ones(2)}, came)


def setting(folder: Path, *names: str) -> Any:
    """As much of one as is looked at before anything is measured."""
    test = tuple(Picture(folder / name, "good", "1") for name in names)
    return type("Setting", (), {"directory": folder, "pictures": type("Pictures", (), {"test": test})()})()


def test_scores_that_are_missing_or_of_other_pictures_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "read_weights", lambda _: {})
    monkeypatch.setattr(backbone, "patch_detector", lambda *_: pytest.fail("was measured all the same"))
    full, came, other = (setting(tmp_path, *names) for names in (("a", "b"), ("a", "b"), ("a", "c")))
    with pytest.raises(ValueError, match="compare the detectors first"):
        measure_patches(full, came, tmp_path, tmp_path, tmp_path)
    keep({PATCH_INT8: Found(np.zeros(2), None)}, tmp_path)
    with pytest.raises(ValueError, match="compare the detectors first"):
        measure_patches(full, other, tmp_path, tmp_path, tmp_path)
