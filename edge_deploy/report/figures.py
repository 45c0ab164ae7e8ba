"""The charts of a bundle's report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

from edge_deploy.report.parts import Report
from edge_deploy.report.summary import good_labels, limits_of
from inspector.core.decide import decide
from inspector.core.stats import clopper_pearson
from inspector.core.types import Limits, Outcome, Prediction
from plc.registers import Verdict
from training.pages.charts import Axis, Plot, Row, Style, histogram_rows, span

SIZE_BINS = 6


def score_charts(report: Report) -> list[Markup]:
    """Histograms of each score by kind, with the limits; colour where the limits put a part on the wrong side."""
    limits = limits_of(report.manifest)
    kinds = _by_kind(report, limits)
    low, high = limits.novelty_range
    far = [p.novelty_score for _, _, found in kinds for p, _ in found]
    axis = Axis("novelty score: how strange the whole picture is", *_window(far, low, high))
    rows = [
        Row(name, [p.novelty_score for p, _ in found], [_novelty_wrong(p, o, role, limits) for p, o in found],
            "warn" if role == "good" else "bad")
        for name, role, found in kinds
    ]  # fmt: skip
    charts = [histogram_rows("Is a whole, right part in the picture?", axis, rows, (low, high))]
    highest = limits.max_anomaly_score
    if highest is not None:
        charts.append(_anomaly(kinds, highest))
    return [*charts, _confidence(kinds, limits)]


def size_charts(report: Report) -> list[Markup]:
    """Share rejected against defect size, a chart a kind, with 95 % Clopper-Pearson intervals."""
    if report.sizes is None:
        return []
    q = report.qualification
    by_kind: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for size, truth, outcome in zip(report.sizes, q.truths, q.stages["int8"].outcomes, strict=True):
        if size is not None and size > 0:
            by_kind[truth].append((size, outcome.verdict is not Verdict.PASS))
    return [detection_by_size(kind, defects) for kind, defects in by_kind.items()]


def detection_by_size(kind: str, defects: Sequence[tuple[float, bool]], bins: int = SIZE_BINS) -> Markup:
    """defects: (size, rejected), put into bins of equal count."""
    ordered = sorted(defects)
    axis = Axis("defect size, square root of its area in camera pixels", *span((s for s, _ in ordered), margin=0.08))
    plot = Plot(f"{kind}, {len(ordered)} parts: share rejected", axis, Axis("", 0, 1.0, "share"), 220)
    for indices in np.array_split(np.arange(len(ordered)), min(bins, len(ordered))):
        part = [ordered[i] for i in indices]
        hit, of = sum(rejected for _, rejected in part), len(part)
        interval, middle = clopper_pearson(hit, of), sum(size for size, _ in part) / of
        style: Style = "main" if hit == of else "bad"
        plot.whisker(middle, interval.low, interval.high, "faint")
        sizes = f"{part[0][0]:.3g} to {part[-1][0]:.3g} px"
        plot.dot(middle, hit / of, style, tip=f"{hit} of {of} rejected, {sizes}")
    return plot.figure()


_Kinds = list[tuple[str, str, list[tuple[Prediction, Outcome]]]]


def _by_kind(report: Report, limits: Limits) -> _Kinds:
    """(name, role, predictions with outcomes): good of validation and test, bad kinds of test, negatives."""
    q, good = report.qualification, good_labels(report.manifest)
    table: dict[tuple[str, str], list[tuple[Prediction, Outcome]]] = defaultdict(list)

    def put(pairs: Iterable[tuple[str, Prediction]], source: str) -> None:
        for truth, p in pairs:
            role = "negative" if source == "negative" else "good" if truth in good else "bad"
            table[(f"{truth}, {source}", role)].append((p, decide(p, limits)))

    put(zip(report.calibration_truths, report.calibration, strict=True), "validation")
    put(zip(q.truths, q.stages["int8"].predictions, strict=True), report.shown)
    put(((kind, p) for kind, found in report.negatives.items() for p in found), "negative")
    order = {"good": 0, "bad": 1, "negative": 2}
    return sorted(((n, r, found) for (n, r), found in table.items()), key=lambda row: (order[row[1]], row[0]))


def _novelty_wrong(p: Prediction, o: Outcome, role: str, limits: Limits) -> bool:
    low, high = limits.novelty_range
    inside = low <= p.novelty_score <= high
    if role == "bad":
        return o.verdict is Verdict.PASS
    return inside if role == "negative" else not inside


def _anomaly(kinds: _Kinds, limit: float) -> Markup:
    rows, values = [], []
    for name, role, found in kinds:
        scored = [(p.anomaly_score, o) for p, o in found if p.anomaly_score is not None]
        if role == "negative" or not scored:
            continue
        wrong = [score > limit if role == "good" else o.verdict is Verdict.PASS for score, o in scored]
        rows.append(Row(name, [score for score, _ in scored], wrong, "warn" if role == "good" else "bad"))
        values += [score for score, _ in scored]
    axis = Axis("anomaly score: how strange the strangest spot is", *_window(values, min([*values, limit]), limit))
    return histogram_rows("Is any spot strange?", axis, rows, (limit,))


def _confidence(kinds: _Kinds, limits: Limits) -> Markup:
    """Of good parts: a part that is called good without enough confidence does not pass."""
    least = limits.min_confidence
    rows = [
        Row(name, [p.confidence for p, _ in found], [not p.confidence >= least for p, _ in found], "warn")
        for name, role, found in kinds
        if role == "good"
    ]
    lowest = min([least, *(s for row in rows for s in row.scores)])
    axis = Axis("confidence of good parts", max(0.0, lowest - 0.05), 1.0)
    return histogram_rows("Is the class sure enough?", axis, rows, (least,))


def _window(values: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """The limits and what lies around them; far outliers go to the last bin, or they would squeeze the rest."""
    width = max(high - low, 1e-6)
    finite = [v for v in values if np.isfinite(v)] or [low, high]
    return max(min(*finite, low), low - width) - 0.04 * width, min(
        max(*finite, high), high + 1.5 * width
    ) + 0.04 * width
