"""`inspector-train evaluate`: from a run directory to metrics.json and a page. Reads top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inspector.core.stats import class_scores
from training.errors import TrainingError
from training.evaluation.advice import Evidence, advise
from training.evaluation.curves import class_curves, reliability, trade
from training.evaluation.gradcam import grad_cam
from training.evaluation.measure import (
    Measured,
    Speed,
    Taught,
    camera_view,
    measure,
    network_of,
    open_run,
    scale,
    speed,
    views_of,
)  # fmt: skip
from training.evaluation.page import write
from training.evaluation.parts import Evaluation, Worst
from training.runs import METRICS, Split, write_json

PAGE = "evaluation.html"
Bar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]  # what, pictures -> called once a picture


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    run: Path
    out: Path
    data: Path | None = None  # None: looked for by the run's own name for it
    split: Split = "test"
    device: str = "auto"
    batch: int = 32
    workers: int = 0
    worst: int = 24  # pictures in the sheet


def evaluate_run(cfg: EvaluateConfig, bar: Bar) -> Evaluation:
    """Measure, and write `cfg.out`/metrics.json and evaluation.html. Raises TrainingError: what to do."""
    taught = open_run(cfg.run, cfg.data, cfg.split)
    device = _device(cfg.device)
    net = network_of(taught, device)

    def measured(split: Split) -> Measured:
        with bar(split, len(taught.of(split))) as tick:
            return measure(taught, split, net, device, cfg.batch, cfg.workers, tick)

    found = measured(cfg.split)
    held_out = found if cfg.split == "val" else measured("val") if taught.of("val") else None
    with bar("times", 1) as tick:
        took = speed(taught, cfg.split, net, device, cfg.batch, time.perf_counter)
        tick()
    with bar("where the network looks", 1) as tick:
        worst = worst_pictures(taught, found, net, device, cfg.worst)
        tick()
    done = judge(taught, cfg.split, found, scale(held_out), took, worst)
    cfg.out.mkdir(parents=True, exist_ok=True)
    write_json(cfg.out / METRICS, metrics(done))
    write(done, cfg.out / PAGE)
    return done


def judge(
    taught: Taught, split: Split, found: Measured, t: float | None, took: Speed, worst: tuple[Worst, ...]
) -> Evaluation:
    """Figures, curves and advice from the logits."""
    run, p = taught.run, found.probabilities()
    report, scores = found.report(run), class_scores(found.report(run).confusion)
    before = reliability(p, found.truth)
    recall = dict(zip(run.labels, report.recall, strict=True))
    evidence = Evidence(taught.history, taught.train_counts, recall, (report.overkill.of, report.escape.of),
                        before.ece, t or 1.0, run.config.get("imbalance", ""))  # fmt: skip
    return Evaluation(
        taught=taught,
        split=split,
        report=report,
        precision=tuple(float(v) for v in scores.precision),
        f1=tuple(float(v) for v in scores.f1),
        classes=tuple(class_curves(p, found.truth)),
        trade=trade(p, found.truth, [entry.acceptable for entry in run.classes]),
        temperature=t,
        before=before,
        after=None if t is None else reliability(found.probabilities(t), found.truth),
        speed=took,
        worst=worst,
        advice=advise(evidence),
    )


def worst_pictures(
    taught: Taught, found: Measured, net: nn.Module, device: torch.device, most: int
) -> tuple[Worst, ...]:
    """Escapes, then overkill, then other mistakes, then the least sure of what is right; the surest mistake first."""
    p, run = found.probabilities(), taught.run
    said, may_pass = p.argmax(1), [entry.acceptable for entry in run.classes]
    kinds = [_kind(int(t), int(s), may_pass) for t, s in zip(found.truth, said, strict=True)]
    order = {"escape": 0, "overkill": 1, "other": 2, "unsure": 3}
    ranked = sorted(
        range(len(kinds)), key=lambda i: (order[kinds[i]], -p[i].max() if kinds[i] != "unsure" else p[i].max())
    )
    chosen = ranked[:most]
    views, worst = views_of(taught, [found.rows[i] for i in chosen]), []
    for place, i in enumerate(chosen):
        image = views[place][0][None].to(device, memory_format=torch.channels_last)
        heat = grad_cam(net, net.layer4, image, torch.tensor([said[i]]))[0]  # type: ignore[arg-type]
        row = found.rows[i]
        worst.append(
            Worst(row.path, camera_view(taught, row), heat, row.label, run.labels[said[i]], float(p[i].max()), kinds[i])
        )
    return tuple(worst)


def metrics(e: Evaluation) -> dict[str, Any]:
    """For metrics.json; what does not exist is null."""
    r = e.report
    per_class = {
        label: {
            "recall": r.recall[k],
            "precision": e.precision[k],
            "f1": e.f1[k],
            "pictures": int(r.confusion[k].sum()),
            "auroc": curves.auroc if curves else None,
            "average_precision": curves.average_precision if curves else None,
        }
        for k, (label, curves) in enumerate(zip(r.labels, e.classes, strict=True))
    }
    shares = {
        name: {"failures": s.failures, "of": s.of, "rate": s.rate, "upper_95": s.upper,
               "interval_95": [s.interval.low, s.interval.high]}
        for name, s in (("escape", r.escape), ("overkill", r.overkill))
    }  # fmt: skip
    macro = {"recall": r.macro_recall, "precision": r.macro_precision, "f1": r.macro_f1}
    found = {
        "split": e.split,
        "pictures": int(r.confusion.sum()),
        "dataset_sha256": e.taught.run.dataset.sha256,
        "accuracy": r.accuracy,
        "loss": r.loss,
        "macro": macro,
        "classes": per_class,
        "labels": list(r.labels),
        "confusion": r.confusion.tolist(),
        **shares,
        "calibration": {"temperature": e.temperature, "ece": e.before.ece,
                        "ece_scaled": e.after.ece if e.after else None},
        "speed": asdict(e.speed),
        "advice": [asdict(advice) for advice in e.advice],
        "worst": [{"path": w.path, "truth": w.truth, "said": w.said, "confidence": w.confidence} for w in e.worst],
    }  # fmt: skip
    plain: dict[str, Any] = _without_nan(found)
    return plain


def _kind(truth: int, said: int, may_pass: list[bool]) -> str:
    if truth == said:
        return "unsure"
    if may_pass[truth] == may_pass[said]:
        return "other"
    return "overkill" if may_pass[truth] else "escape"


def _device(text: str) -> torch.device:
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=text).device
    except (RuntimeError, AssertionError) as exc:  # torch has both, for a wrong word and for a missing GPU
        raise TrainingError(f"--device {text} cannot be used: {str(exc).splitlines()[0]}") from exc


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
