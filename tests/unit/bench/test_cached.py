"""Teaching on cached features is the product's own training, and every method against rare classes runs on it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_deploy.steps import SilentSteps
from tests.bench import imbalance
from tests.bench.cached import Taught, cache, teach
from tests.bench.imbalance import METHODS, compare_methods, figures, gain, section, sign
from training.choices import Augment, Freeze, Imbalance
from training.config import FitConfig
from training.data import Dataset, scan
from training.runs import HISTORY
from training.train import fit

COUNTS = {"train": {"good": 8, "stain": 4}, "val": {"good": 3, "stain": 3}, "test": {"good": 4, "stain": 2}}


@pytest.fixture
def cfg(tmp_path: Path) -> FitConfig:
    """Bright and dark pictures of 32 px, a random network of which layer4 and the head learn."""
    rng = np.random.default_rng(0)
    for split, kinds in COUNTS.items():
        for kind, count in kinds.items():
            folder = tmp_path / "data" / split / kind
            folder.mkdir(parents=True)
            for i in range(count):
                low = 130 if kind == "good" else 60
                cv2.imwrite(str(folder / f"{i}.png"), rng.integers(low, low + 60, (32, 32, 3), dtype=np.uint8))
    return FitConfig(
        data=tmp_path / "data", out=tmp_path / "run", weights="none", freeze=Freeze.LAYER4, network_size=(32, 32),
        epochs=2, batch=6, lr=3e-4, device="cpu", threads=1, quiet=True,
    )  # fmt: skip


def test_cached_features_teach_what_the_products_own_training_teaches(cfg: FitConfig) -> None:
    cfg = replace(cfg, imbalance=Imbalance.OVER_SAMPLING)
    run = fit(cfg)
    expected = json.loads((cfg.out / HISTORY).read_text())
    data = scan(cfg.data)
    taught = teach(cfg, data, cache(cfg, data, SilentSteps()), SilentSteps())
    np.testing.assert_allclose(taught.losses, [line["train_loss"] for line in expected], rtol=1e-4)
    assert taught.recalls == tuple(line["val_macro_recall"] for line in expected)
    assert taught.best == run.metrics["best_epoch"]
    truth = np.array([row.label == "stain" for row in data.of("test")])
    assert float((taught.predicted == truth).mean()) == run.metrics["test_accuracy"]
    assert taught.shown == 16  # as many of each as the larger class has


def test_cached_features_refuse_what_changes_the_pictures_or_the_layers_below(cfg: FitConfig) -> None:
    data = scan(cfg.data)
    cached = cache(cfg, data, SilentSteps())
    assert cached["train"].features.shape == (12, 1024, 2, 2)
    for changed in (replace(cfg, augment=(Augment.LIGHT,)), replace(cfg, freeze=Freeze.NONE)):
        with pytest.raises(ValueError, match="frozen layers"):
            teach(changed, data, cached, SilentSteps())


def test_an_interrupted_comparison_teaches_only_the_methods_that_are_missing(
    cfg: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Imbalance] = []
    right = np.array([int(row.label == "stain") for row in scan(cfg.data).of("test")], np.int64)

    def broken_third(cfg: FitConfig, *_: object) -> Taught:
        taught.append(cfg.imbalance)
        if len(taught) == 3:
            raise KeyboardInterrupt
        return Taught((0.5,), (1.0,), 1, 12, right)

    monkeypatch.setattr(imbalance, "teach", broken_third)
    monkeypatch.setattr(imbalance, "cache", lambda *_: {})
    with pytest.raises(KeyboardInterrupt):
        compare_methods(cfg, tmp_path / "kept", SilentSteps())
    found = compare_methods(cfg, tmp_path / "kept", SilentSteps())
    assert taught == [*METHODS[:3], *METHODS[2:]]
    assert set(found["methods"]) == {str(method) for method in Imbalance}
    assert next(iter(found["methods"])) == "none"  # with which the others are compared
    assert compare_methods(cfg, tmp_path / "kept", SilentSteps()) == found
    assert len(taught) == len(METHODS) + 1


def test_a_gain_in_macro_recall_counts_each_class_the_same() -> None:
    truth = np.repeat([0, 1], [90, 10])
    reference, ours = truth.copy(), truth.copy()
    reference[90:95] = 0  # half of the rare class is missed
    ours[:9] = 1  # a tenth of the other
    found = gain(ours, reference, truth, 0.95)
    assert found.value == pytest.approx((0.5 - 0.1) / 2)
    assert (found.only_ours, found.only_reference) == (5, 9)
    assert found.low < found.value < found.high
    # binomial: half of 10, and 9 of 90
    spread = 0.5 * np.sqrt(0.25 / 10 + 0.09 / 90)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    wider = gain(ours, reference, truth, 0.99)
    assert wider.low < found.low and wider.high > found.high
    assert gain(ours, ours, truth, 0.95) == imbalance.Gain(0.0, 0.0, 0.0, 0, 0, 1.0)


def test_two_pictures_that_both_change_are_no_evidence() -> None:
    truth = np.repeat([0, 1], [50, 2])
    reference, ours = truth.copy(), truth.copy()
    reference[50:] = 0
    found = gain(ours, reference, truth, 0.95)
    assert (found.low, found.high, found.p) == (0.5, 0.5, 0.5)
    assert sign(asdict(found), 0.95) == 0
    reference[:10] = 1  # twelve are
    assert sign(asdict(gain(ours, reference, truth, 0.95)), 0.95) == 1
    assert sign(asdict(gain(reference, ours, truth, 0.95)), 0.95) == -1


def noted(data: Dataset, wrong: int) -> dict[str, Any]:
    """A method that takes the first `wrong` stains of the test for good."""
    predicted = [int(row.label == "stain") for row in data.of("test")]
    for i in [i for i, label in enumerate(predicted) if label][:wrong]:
        predicted[i] = 0
    return {"shown": 12, "epochs": 2, "best": 1, "predicted": predicted}


def test_the_page_names_the_worst_class_and_says_what_may_be_concluded_and_what_not(cfg: FitConfig) -> None:
    data = scan(cfg.data)
    of = {method: noted(data, 2 if method is Imbalance.NONE else 0) for method in METHODS}
    of[Imbalance.FOCAL_LOSS] = noted(data, 2)
    found = figures(data, of)
    assert found["methods"]["none"]["worst"] == "stain" and found["methods"]["none"]["worst_recall"] == 0.0
    assert found["least"] == {"class": "stain", "train": 4, "test": 2}
    text = section(json.loads(json.dumps(found)))
    assert "| none | 12 | 2, 1 | 66.67 % | 50.00 % | 40.00 % | 0.00 % (stain) |  |  |" in text
    assert "| over-sampling | 12 | 2, 1 | 100.00 % | 100.00 % | 100.00 % | 100.00 % (good) | +50.0 (+50.0 to" in text
    assert "not told apart from it: weighted-loss, " in text and "above that" not in text, "two pictures tell nothing"
    sure = {**found["methods"]["focal-loss"], "low": 0.1, "high": 0.3, "p": 0.001}
    found["methods"]["focal-loss"] = sure
    assert "above that of `none`: focal-loss; not told apart" in section(found)
    assert "may not: which method is best" in text and "one of them is 50.0 points" in text
