"""An evaluation with everything in it, of drawn logits; no network is run and no picture read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inspector.core.manifest import ClassEntry
from inspector.core.stats import temperature
from tests.support.sample_report import sample_history, view
from training.evaluation.measure import Measured, Speed, Taught
from training.evaluation.parts import Evaluation, Worst
from training.evaluation.run import judge
from training.runs import DatasetInfo, Run, SplitRow

LABELS = ("good", "scratch", "stain", "dent_of_the_edge")
COUNTS = {"train": (400, 120, 90, 20), "val": (120, 40, 30, 12), "test": (160, 50, 40, 16)}
NORMAL = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def sample_evaluation() -> Evaluation:
    classes = tuple(ClassEntry(i, name, name == "good") for i, name in enumerate(LABELS))
    rows = tuple(
        SplitRow(f"{split}/{name}/{i}.png", name, split, f"{name}{i}", "0" * 64)  # type: ignore[arg-type]
        for split, counts in COUNTS.items()
        for name, count in zip(LABELS, counts, strict=True)
        for i in range(count)
    )
    run = Run(1, "disc", classes, (224, 224), *NORMAL, None, "linear", "none (random)", "", 0, {"epochs": "14"},
              DatasetInfo("0" * 64, len(rows), "splits.csv"), {"best_epoch": 9.0}, ())  # fmt: skip
    taught = Taught(Path("runs/disc"), run, Path("pictures"), rows, sample_history())
    val, test = (_drawn(taught, split) for split in ("val", "test"))
    y, x = np.mgrid[:7, :7]
    heat = np.exp(-((x - 4) ** 2 + (y - 2) ** 2) / 4).astype(np.float32)
    kinds = (("dent", "escape", "good"), ("good", "overkill", "stain"), ("scratch", "other", "stain"))
    worst = tuple(
        Worst(f"test/{truth}/1.png", view(truth, i), heat, truth, said, 0.9 - 0.1 * i, kind)
        for i, (truth, kind, said) in enumerate(kinds)
    )
    speed = Speed("CPU, 2 threads", 31.4, 40.2, 5.1, 41.0, 32)
    return judge(taught, "test", test, temperature(val.logits, val.truth), speed, worst)


def _drawn(taught: Taught, split: str) -> Measured:
    rows = taught.of(split)  # type: ignore[arg-type]
    truth = np.array([LABELS.index(row.label) for row in rows], np.int64)
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.3, (len(rows), len(LABELS)))
    logits[np.arange(len(rows)), truth] += rng.normal(3.6, 1.2, len(rows))
    return Measured(rows, (2 * logits).astype(np.float32), truth)
