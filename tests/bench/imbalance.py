"""What each method against rare classes is worth on the steel strip: one start, one seed, one set of features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from edge_deploy.steps import Steps
from inspector.core.stats import class_scores, confusion
from tests.bench.cached import Taught, cache, teach
from tests.bench.markdown import listed, percent, table
from training.choices import Freeze, Imbalance
from training.config import FitConfig
from training.data import Dataset, scan
from training.runs import write_json

SIZE = (96, 96)
EPOCHS = 12
DRAWS = 10_000
METHODS = (Imbalance.NONE, *(method for method in Imbalance if method is not Imbalance.NONE))
TOGETHER = 0.95  # confidence of all comparisons with NONE at once
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gain:
    """Macro recall minus that of the reference, a share, with its interval; pictures that only one of the two knows.

    p: of these pictures under chance, by the exact sign test (McNemar): where a class has two pictures and both change,
    a bootstrap knows no other outcome, and its interval is a point.
    """

    value: float
    low: float
    high: float
    only_ours: int
    only_reference: int
    p: float


def config(data: Path, weights: str, threads: int) -> FitConfig:
    """The recipe of the product's defaults, shorter and smaller; only the method differs."""
    return FitConfig(
        data=data,
        out=data,  # nothing is written there
        weights=weights,
        freeze=Freeze.LAYER4,
        network_size=SIZE,
        epochs=EPOCHS,
        threads=threads,
        device="cpu",
    )


def compare_methods(cfg: FitConfig, folder: Path, steps: Steps) -> dict[str, Any]:
    """Every method once. Each that is done stands in `folder`, so that an interrupted stage goes on."""
    torch.set_num_threads(cfg.threads or torch.get_num_threads())
    folder.mkdir(parents=True, exist_ok=True)
    data = scan(cfg.data)
    missing = [method for method in METHODS if not _file(folder, method).exists()]
    cached = cache(cfg, data, steps) if missing else {}
    for method in missing:
        steps.say(f"{method}: {cfg.epochs} epochs on cached features")
        write_json(_file(folder, method), _noted(teach(replace(cfg, imbalance=method), data, cached, steps)))
    return figures(data, {method: json.loads(_file(folder, method).read_text()) for method in METHODS})


def figures(data: Dataset, noted: Mapping[Imbalance, Mapping[str, Any]]) -> dict[str, Any]:
    """What the page shows. noted: by method, what `compare_methods` kept of it."""
    labels = [entry.name for entry in data.classes]
    truth = np.array([labels.index(row.label) for row in data.of("test")], np.int64)
    trained = np.bincount([labels.index(row.label) for row in data.of("train")], minlength=len(labels))
    predicted = {method: np.array(one["predicted"], np.int64) for method, one in noted.items()}
    confidence = 1 - (1 - TOGETHER) / (len(noted) - 1)  # Bonferroni
    methods = {}
    for method, one in noted.items():
        scores = class_scores(confusion(truth, predicted[method], len(labels)))
        recall, _, f1 = scores.macro()
        worst = int(np.nanargmin(scores.recall))
        row = {name: one[name] for name in ("shown", "epochs", "best")}
        row |= {"accuracy": float((predicted[method] == truth).mean()), "macro_recall": recall, "macro_f1": f1}
        row |= {"worst": labels[worst], "worst_recall": float(scores.recall[worst])}
        if method is not Imbalance.NONE:
            row |= asdict(gain(predicted[method], predicted[Imbalance.NONE], truth, confidence))
        methods[str(method)] = row
    rarest, largest = int(trained.argmin()), int(trained.argmax())
    return {
        "methods": methods,
        "confidence": confidence,
        "test": len(truth),
        "most": {"class": labels[largest], "train": int(trained[largest])},
        "least": {"class": labels[rarest], "train": int(trained[rarest]), "test": int((truth == rarest).sum())},
    }


def gain(ours: Ids, reference: Ids, truth: Ids, confidence: float, *, draws: int = DRAWS, seed: int = 0) -> Gain:
    """Paired bootstrap within each class, for macro recall counts each class the same; (N,) class ids each."""
    right = (ours == truth).astype(np.int64) - (reference == truth)
    rng = np.random.default_rng(seed)
    of_class = [right[truth == number] for number in np.unique(truth)]
    drawn = [of[rng.integers(0, len(of), (draws, len(of)))].mean(1) for of in of_class]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.mean(drawn, axis=0), [tail, 1 - tail])
    value = float(np.mean([of.mean() for of in of_class]))
    better, worse = int((right > 0).sum()), int((right < 0).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return Gain(value, float(low), float(high), better, worse, p)


def sign(one: Mapping[str, Any], confidence: float) -> int:
    """1 or -1 where interval and sign test both tell a Gain from chance, else 0."""
    if one["p"] >= 1 - confidence:
        return 0
    return int(one["low"] > 0) - int(one["high"] < 0)


def section(found: Mapping[str, Any]) -> str:
    """The subsection of docs/results.md."""
    most, least = found["most"], found["least"]
    return "\n\n".join(
        [
            "### What is done about rare classes (X-SDD)",
            f"Each method once, {SIZE[0]} px, at most {EPOCHS} epochs, one seed; stem to layer3 frozen and their "
            "features computed once without augmentation, layer4 and the head learn. Classes have from "
            f"{least['train']} ({least['class']}) to {most['train']} ({most['class']}) training pictures. Of the best "
            f"epoch by macro recall on val, on {found['test']} test pictures; the last columns compare with `none`: "
            f"macro recall in points with a {100 * found['confidence']:.1f} % interval (all of them hold together with "
            f"{100 * TOGETHER:.0f} %; paired bootstrap within classes), and pictures that only one of the two knows. "
            "Above or below is said where the exact sign test of these pictures agrees.",
            _rows(found["methods"]),
            _conclusion(found),
        ]
    )


def _rows(methods: Mapping[str, Mapping[str, Any]]) -> str:
    heads = ("method", "pictures an epoch", "epochs, best", "accuracy", "macro recall", "macro-F1", "worst class")
    rows = []
    for name, one in methods.items():
        row = [name, one["shown"], f"{one['epochs']}, {one['best']}"]
        row += [percent(one[figure]) for figure in ("accuracy", "macro_recall", "macro_f1")]
        row.append(f"{percent(one['worst_recall'])} ({one['worst']})")
        compared = "value" in one
        row.append(
            f"{100 * one['value']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})" if compared else ""
        )
        row.append(f"+{one['only_ours']} -{one['only_reference']}" if compared else "")
        rows.append(row)
    return table((*heads, "macro recall against none", "pictures"), rows)


def _conclusion(found: Mapping[str, Any]) -> str:
    """What the intervals say, and what they do not."""
    compared = {name: one for name, one in found["methods"].items() if "value" in one}
    signs = {name: sign(one, found["confidence"]) for name, one in compared.items()}
    words = {"above that of `none`": 1, "below it": -1, "not told apart from it": 0}
    kinds = {kind: [name for name, of in signs.items() if of == wanted] for kind, wanted in words.items()}
    least, told = found["least"], [f"{kind}: {listed(names)}" for kind, names in kinds.items() if names]
    return (
        f"What may be concluded of macro recall, for this start, recipe and test split: {'; '.join(told)}. What may "
        "not: which method is best. The intervals cover the choice of test pictures, not the luck of one seed; "
        f"{least['class']} has {least['test']} test pictures, so that one of them is {100 / least['test']:.1f} points "
        "of its recall; all methods have the same epochs, not the same steps (pictures an epoch)."
    )


def _noted(taught: Taught) -> dict[str, Any]:
    return {
        "shown": taught.shown,
        "epochs": len(taught.losses),
        "best": taught.best,
        "losses": list(taught.losses),
        "recalls": list(taught.recalls),
        "predicted": taught.predicted.tolist(),
    }


def _file(folder: Path, method: Imbalance) -> Path:
    return folder / f"{method}.json"
