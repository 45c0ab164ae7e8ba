"""A bundle's report with everything in it, made of rendered parts and drawn scores; no model is run."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_deploy.choose import Rule, Target
from edge_deploy.golden import Candidate, Selection
from edge_deploy.pictures import Picture
from edge_deploy.qualify import Qualification, qualify
from edge_deploy.report.gather import targets_of
from edge_deploy.report.parts import DataRow, HeatMap, ParityRow, Report, Shown, Timing
from edge_deploy.report.summary import limits_of
from inspector.core.manifest import ClassEntry, GoldenTolerance, LimitSpec, Manifest
from inspector.core.types import Image, Prediction
from inspector.demo.parts import ROI, Kind, Stream, render
from tests.support.tiny_bundle import tiny_manifest

CLASSES = (ClassEntry(0, "good", True), ClassEntry(1, "scratch", False), ClassEntry(2, "stain", False))
LABELS = tuple(entry.name for entry in CLASSES)
KINDS = {"good": Kind.GOOD, "scratch": Kind.SCRATCH, "stain": Kind.STAIN, "dent": Kind.DENT}


def view(kind: str, seed: int) -> Image:
    x, y, w, h = ROI
    return np.ascontiguousarray(render(seed, KINDS[kind], Stream.GOLDEN).image[y : y + h, x : x + w])


def spot(seed: int, height: float) -> NDArray[np.float32]:
    """(28, 28): noise around 1 with one bump of `height`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:28, :28]
    cy, cx = rng.uniform(8, 20, 2)
    bump = height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8)
    return (rng.normal(1, 0.15, (28, 28)) + bump).astype(np.float32)


def say(label: str, confidence: float = 0.99, novelty: float = 2.0, anomaly: float | None = 2.0) -> Prediction:
    rest = (1 - confidence) / (len(LABELS) - 1)
    probabilities = tuple(confidence if name == label else rest for name in LABELS)
    return Prediction(label, LABELS.index(label), confidence, probabilities, novelty, anomaly)


def sample_manifest(**overrides: Any) -> Manifest:
    """The tiny bundle's manifest with three classes and a limit on the anomaly score."""
    m = tiny_manifest(product="disc", version=3, classes=CLASSES)
    limits = replace(
        m.limits,
        max_anomaly_score=LimitSpec(3.0, (2.0, 3.5)),
        anomaly_median=1.6,
        chosen_by="overkill 0.50 % of the whole decision, 600 good pictures in 12 lots",
    )
    calibration = replace(m.calibration, images_good=600, images_bad=80, images_negative=60, groups=12)
    metrics = {"training_best_epoch": 9.0}
    training = replace(m.training, images=2980)
    return replace(
        m, **{"training": training, "limits": limits, "calibration": calibration, "metrics": metrics} | overrides
    )


def sample_qualification(m: Manifest, good: int = 620, failed: int = 1, escaped: int = 1) -> Qualification:
    """`failed` good parts that do not pass, `escaped` dents (a kind that is no class) that do."""
    rng = np.random.default_rng(4)
    truths, found = [], []
    for i in range(good):
        strained = i < failed
        truths.append("good")
        anomaly = 3.4 if strained else min(2.9, 1.6 + abs(rng.normal(0, 0.35)))
        found.append(say("good", 1 - 10 ** -rng.uniform(1.2, 4), rng.normal(2, 0.4), anomaly))
    for kind, count in (("scratch", 90), ("stain", 84), ("dent", 24)):
        for i in range(count):
            truths.append(kind)
            passed = kind == "dent" and i < escaped
            label = kind if kind in LABELS and i % 17 else "good" if kind == "dent" else "stain"
            found.append(say(label, 0.97, rng.normal(2.6, 0.5), 2.4 if passed else 3.3 + abs(rng.normal(0, 1.2))))
    stages = {"pytorch": found, "fp32": found, "int8": found}
    return qualify(truths, stages, [], LABELS, limits_of(m))


def sample_history(epochs: int = 14) -> tuple[dict[str, float], ...]:
    return tuple(
        {
            "epoch": e,
            "train_loss": 0.35 + 0.9 * math.exp(-e / 3),
            "val_loss": 0.4 + 0.8 * math.exp(-e / 2.5) + 0.002 * max(0, e - 9) ** 2,
            "val_macro_recall": 0.985 - 0.5 * math.exp(-e / 2),
            "val_escape": 0.3 * math.exp(-e / 2),
            "val_overkill": 0.02 + 0.2 * math.exp(-e / 2),
            "seconds": 12.0,
        }
        for e in range(1, epochs + 1)
    )


def sample_report(**overrides: Any) -> Report:
    """Everything there and nothing wrong, but one escape and one false alarm; overrides are fields of Report."""
    m = overrides.pop("manifest", None) or sample_manifest()
    q = overrides.pop("qualification", None) or sample_qualification(m)
    rng = np.random.default_rng(1)
    calibration = tuple(
        say("good", 0.995, rng.normal(2, 0.4), min(2.8, 1.6 + abs(rng.normal(0, 0.3)))) for _ in range(600)
    )
    negatives = {kind: [say("good", 0.9, 14 + rng.normal(0, 1)) for _ in range(20)] for kind in ("empty", "half_part")}
    roles = [Candidate(Picture(file=None, truth="good"), "good", calibration[0])]  # type: ignore[arg-type]
    report = Report(
        manifest=m,
        qualification=q,
        calibration=calibration,
        calibration_truths=("good",) * len(calibration),
        negatives=negatives,
        notes=(),
        selection=Selection(tuple(roles), GoldenTolerance(0.02, 0.1, None), np.array([[0.003, 0.02]]), ()),
        thumbnails=tuple(render(g, Kind.GOOD, Stream.GOLDEN).image for g in range(len(m.golden))),
        sizes=tuple(None if t == "good" else float(4 + i % 19) for i, t in enumerate(q.truths)),
        targets=targets_of(Target(Rule.OVERKILL, 0.005)),
        data=tuple(
            DataRow(kind, kind == "good", counts, {split: n // 2 for split, n in counts.items()})
            for kind, counts in {
                "good": {"train": 1800, "val": 600, "test": 620},
                "scratch": {"train": 260, "val": 40, "test": 90},
                "stain": {"train": 240, "val": 40, "test": 84},
                "dent": {"test": 24},
            }.items()
        ),
        history=sample_history(),
        heat_maps=(
            HeatMap(view("dent", 1), spot(1, 1.2), "miss", 2.4, "dent", "pass / none, good 0.970"),
            HeatMap(view("good", 2), spot(2, 2.2), "false alarm", 3.4, "good", "fail / anomaly, good 0.991"),
            *(
                HeatMap(
                    view("good", 40 + s), spot(40 + s, height), "pass", 1.4 + height, "good", "pass / none, good 0.990"
                )
                for s, height in enumerate((0.0, 0.3, 0.8, 1.2))
            ),
            *(
                HeatMap(view(kind, s), spot(s, 3.5), "hit", 4.6, kind, "fail / class and anomaly, stain 0.970")
                for s, kind in enumerate(("scratch", "stain", "dent", "scratch"))
            ),
        ),
        isolated=tuple(Shown(view("good", 30 + i)[40:104, 60:124], f"part {i}, 3 parts near it") for i in range(8)),
        highest=tuple(Shown(view("good", 10 + i), f"good_{i:03d}.png, {2.8 - 0.05 * i:.3g}") for i in range(8)),
        parity=(
            ParityRow(
                "bundle, low precision off: verdicts that flip, of 12 golden pictures outside the guard band "
                "(confidence 0.01, novelty 0.02, anomaly 0.02)",
                0,
                0,
                True,
            ),
            ParityRow("largest drift of the anomaly score", 0.041, 0.1, True),
            ParityRow("least cosine at tap layer2, low-precision on against off", 0.998, 0.99, True),
        ),
        timings=(Timing("OpenVINO FP32", 26.4, 29.0, 60), Timing("OpenVINO INT8 (the bundle)", 9.4, 11.2, 60)),
    )
    return replace(report, **overrides)
