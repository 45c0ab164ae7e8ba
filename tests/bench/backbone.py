"""stem to layer3 frozen, or everything taught: what that does to the classifier, and to the patches of another product.

The steel classifier is trained once each way, by the same recipe; then the patch detector of the magnetic tiles is
fitted on what came of it. Patches are read from layer2 and layer3, which the frozen run left as they were: its detector
is the one that was measured on the weights as they came. That is checked, and not measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from edge_deploy.convert import resnet50_of
from edge_deploy.patches import PatchConfig
from inspector.core.stats import class_scores, confusion
from tests.bench.compare import Pair, Truth
from tests.bench.detectors import PATCH_INT8, Found, Setting, keep, kept, patch_detector
from tests.bench.imbalance import Ids, gain, sign
from tests.bench.markdown import percent, table
from training.choices import Freeze
from training.config import FitConfig
from training.evaluate import predict
from training.model import FROZEN_STEM
from training.runs import RUN, Run, read_run, read_splits, read_weights
from training.train import fit
from training.views import Views, view_transform

SIZE = (96, 96)
EPOCHS = 6
RATE = 1e-3
FROZEN, FULL = "stem to layer3 frozen", "everything taught"
POLICIES = {FROZEN: Freeze.LAYER4, FULL: Freeze.NONE}
CONFIDENCE = 0.95


def train_both(cfg: FitConfig) -> dict[str, Any]:
    """Two runs below `cfg.out`, one each way, and what they make of the test pictures."""
    torch.set_num_threads(cfg.threads or torch.get_num_threads())
    runs: dict[str, Run] = {}
    predicted: dict[str, Ids] = {}
    for name, policy in POLICIES.items():
        out = run_of(name, cfg.out)
        runs[name] = read_run(out) if (out / RUN).exists() else fit(replace(cfg, out=out, freeze=policy))
        predicted[name], truth = _on_test(runs[name], out, cfg.data)
    return judged(predicted, truth, len(runs[FULL].classes)) | {
        "train_seconds": {name: run.metrics["train_seconds"] for name, run in runs.items()},
    }


def run_of(name: str, folder: Path) -> Path:
    return folder / str(POLICIES[name])


def judged(predicted: Mapping[str, Ids], truth: Ids, classes: int) -> dict[str, Any]:
    """Figures of both classifiers, and of FULL minus FROZEN with its interval. (N,) class ids each."""
    figures = {}
    for name, ids in predicted.items():
        recall, _, f1 = class_scores(confusion(truth, ids, classes)).macro()
        figures[name] = {"accuracy": float((ids == truth).mean()), "macro_recall": recall, "macro_f1": f1}
    found = gain(predicted[FULL], predicted[FROZEN], truth, CONFIDENCE)
    return {"classifiers": figures, "test": len(truth), "gain": asdict(found)}


def measure_patches(full: Setting, as_they_came: Setting, frozen: Path, source: Path, folder: Path) -> dict[str, Any]:
    """Image AUROC of the INT8 patch detector on both backbones.

    full, as_they_came: tiles on the features of everything taught, and on the weights as they came; frozen: the run
    with frozen layers; folder: where the comparison of detectors kept its scores. Raises ValueError: frozen layers are
    not those that it was made on, or the pictures are others.
    """
    refuse_other_layers(read_weights(frozen), read_weights(as_they_came.directory))
    before = kept(PATCH_INT8, folder)
    if before is None or full.pictures.test != as_they_came.pictures.test:
        raise ValueError(f"{folder} holds no scores of {PATCH_INT8} of these pictures: compare the detectors first")
    after = patch_detector(full, PatchConfig())
    keep({PATCH_INT8: after}, full.directory)
    return compared(Truth.of(full.pictures.test, source), before, after)


def refuse_other_layers(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    """Raises ValueError: a tensor of stem to layer3 is not the same in both."""
    for key, value in first.items():
        if key.split(".")[0] in FROZEN_STEM and not torch.equal(value, second[key]):
            raise ValueError(f"{key} is not as it came: the layers up to layer3 did not stay frozen")


def compared(truth: Truth, frozen: Found, full: Found) -> dict[str, Any]:
    pair = Pair(FULL, FROZEN, None)
    return {
        "auroc": {name: truth.figures(replace(one, maps=None))["image_auroc"] for name, one in
                  ((FROZEN, frozen), (FULL, full))},
        "difference": truth.difference(pair, full, frozen, with_bar=False),
        "tiles": len(set(truth.groups)),
    }  # fmt: skip


def section(steel: Mapping[str, Any], tiles: Mapping[str, Any]) -> str:
    """The subsection of docs/results.md."""
    rows = []
    for name in POLICIES:
        one = steel["classifiers"][name]
        row = [percent(one[figure]) for figure in ("accuracy", "macro_recall", "macro_f1")]
        rows.append((name, *row, f"{steel['train_seconds'][name]:.0f}", f"{100 * tiles['auroc'][name]:.1f}"))
    heads = ("backbone", "steel: accuracy", "macro recall", "macro-F1", "training s", "tiles: image AUROC %")
    return "\n\n".join(
        [
            "### The backbone: stem to layer3 frozen, or everything taught",
            f"The steel classifier, {SIZE[0]} px, {EPOCHS} epochs by one recipe (learning rate {RATE:g}), tuned "
            f"for neither, one seed, {steel['test']} test pictures; then the INT8 patch detector of the magnetic tiles "
            "(224 px) on what was taught. Frozen layers are those of the start, bit by bit, so the detector on them is "
            "`patch, INT8` of the comparison below.",
            table(heads, rows),
            _conclusion(steel["gain"], tiles),
        ]
    )


def _conclusion(gain_of_full: Mapping[str, Any], tiles: Mapping[str, Any]) -> str:
    of_tiles = tiles["difference"]
    of_steel = {name: 100 * gain_of_full[name] for name in ("value", "low", "high")}
    return (
        f"Everything taught minus frozen: macro recall on steel {_points(of_steel)}, {gain_of_full['only_ours']} "
        f"pictures that only it knows and {gain_of_full['only_reference']} that only frozen knows; image AUROC on "
        f"tiles {_points(of_tiles)}, by a bootstrap over {tiles['tiles']} tiles. The hypothesis was that patch "
        "features survive a retrained classifier where stem to layer3 stay: that holds by construction. Whether it is "
        f"needed: teaching everything {_effect(_clear(of_tiles))} the detector on tiles, and "
        f"{_effect(sign(gain_of_full, CONFIDENCE))} the classifier. One seed and one pair of products; the intervals "
        "cover the choice of test pictures only."
    )


def _points(one: Mapping[str, float]) -> str:
    return f"{one['value']:+.1f} points (95 % interval {one['low']:+.1f} to {one['high']:+.1f})"


def _clear(one: Mapping[str, float]) -> int:
    return int(one["low"] > 0) - int(one["high"] < 0)


def _effect(told: int) -> str:
    return {1: "helped", -1: "harmed", 0: "made no difference that can be told to"}[told]


def _on_test(run: Run, directory: Path, data: Path) -> tuple[Ids, Ids]:
    """What the run says of its test pictures, and the truth: (N,) class ids each."""
    rows = [row for row in read_splits(directory) if row.split == "test"]
    views = Views(data, rows, run.labels, run.roi, view_transform(run.network_size, run.mean, run.std))
    batches = DataLoader(views, batch_size=32)
    probabilities, truth = predict(resnet50_of(read_weights(directory)), batches, torch.device("cpu"))
    return np.asarray(probabilities.argmax(1), np.int64), truth
