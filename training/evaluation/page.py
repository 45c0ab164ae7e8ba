"""The page of an evaluation: one HTML file, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from inspector.core.heat import HeatScale
from inspector.core.stats import clopper_pearson
from training.evaluate import Share
from training.evaluation.curves import ClassCurves, Reliability, Trade
from training.evaluation.parts import Evaluation
from training.pages.charts import Axis, Plot
from training.pages.confusion import matrix_rows
from training.pages.heat import overlay
from training.pages.history import history_charts
from training.pages.page import count, percent, picture, write_page

TEMPLATES = Path(__file__).parent / "templates"
WIDTH = 260  # pixels of a picture in the sheet
SEEN = HeatScale(0.5, 1.0, 2.0)  # Grad-CAM gives shares of its strongest place
KINDS = {
    "escape": "a bad part called one that may pass",
    "overkill": "a good part called bad",
    "other": "another wrong class, of no consequence for the verdict",
    "unsure": "right, with little confidence",
}


def write(e: Evaluation, path: Path) -> None:
    """Write the page of `e`."""
    run, r = e.taught.run, e.report
    write_page(
        path,
        "evaluation.html",
        TEMPLATES,
        e=e,
        run=run,
        directory=e.taught.directory.name,
        pictures=int(r.confusion.sum()),
        tiles=_tiles(e),
        classes=_classes(e),
        labels=list(r.labels),
        matrix_rows=matrix_rows(r.confusion, r.labels, [entry.acceptable for entry in run.classes]),
        curves=_curves(e),
        trade=None if e.trade is None else _trade(e.trade, r.overkill, r.escape),
        reliability=_reliability(e),
        training=history_charts(e.taught.history, run.metrics.get("best_epoch")),
        sheets=_sheets(e),
        data=_data(e),
        config=[(key.replace("_", " "), text) for key, text in run.config.items() if text],
    )


def _tiles(e: Evaluation) -> list[dict[str, str]]:
    """The figures that are read first."""
    r, pictures = e.report, int(e.report.confusion.sum())
    right = round(r.accuracy * pictures)
    interval = clopper_pearson(right, pictures)
    told = (
        ("Accuracy", percent(r.accuracy), "",
         f"{count(right)} of {count(pictures)}; 95 %: {percent(interval.low)} to {percent(interval.high)}"),
        ("Macro F1", percent(r.macro_f1), "",
         f"recall {percent(r.macro_recall)}, precision {percent(r.macro_precision)}"),
        ("Escape (missed defect)", percent(r.escape.upper), "at most", _seen(r.escape)),
        ("Overkill (false reject)", percent(r.overkill.upper), "at most", _seen(r.overkill)),
        ("One picture", f"{e.speed.one_p50_ms:.1f} ms", "",
         f"{e.speed.many_per_s:.0f} images/s in batches of {e.speed.batch}; {e.speed.machine}"),
    )  # fmt: skip
    return [dict(zip(("name", "value", "small", "text"), one, strict=True)) for one in told]


def _seen(share: Share) -> str:
    if not share.of:
        return "not measured: no such part in this split"
    return f"{count(share.failures)} of {count(share.of)} ({percent(share.rate)}); one-sided 95 % bound"


def _classes(e: Evaluation) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for k, (entry, curves) in enumerate(zip(e.taught.run.classes, e.classes, strict=True)):
        area = (f"{curves.auroc:.4f}", f"{curves.average_precision:.4f}") if curves else ("–", "–")
        figures = (_or_dash(e.report.recall[k]), _or_dash(e.precision[k]), _or_dash(e.f1[k]))
        role = "may pass" if entry.acceptable else "reject"
        rows.append((entry.name, role, count(int(e.report.confusion[k].sum())), *figures, *area))
    mean = (e.report.macro_recall, e.report.macro_precision, e.report.macro_f1)
    rows.append(("mean of the classes", "", "", *map(percent, mean), "", ""))
    return rows


def _or_dash(share: float) -> str:
    return "–" if math.isnan(share) else percent(share)


def _curves(e: Evaluation) -> list[Markup]:
    """ROC and precision-recall, all classes in one chart each; the class with the smallest area is drawn strong."""
    known = [(name, c) for name, c in zip(e.report.labels, e.classes, strict=True) if c is not None]
    if not known:
        return []
    roc = Plot("ROC, each class against the others", Axis("others called this class", 0, 1, "share"),
               Axis("", 0, 1, "share"), note="Up: share of the class that is found.")  # fmt: skip
    pr = Plot("Precision and recall, each class", Axis("recall: share of the class found", 0, 1, "share"),
              Axis("", 0, 1, "share"), note="Up: precision, the share of those called so that are.")  # fmt: skip
    _lines(roc, known, min(known, key=lambda kc: kc[1].auroc)[0], "roc")
    _lines(pr, known, min(known, key=lambda kc: kc[1].average_precision)[0], "pr")
    return [roc.figure(), pr.figure()]


def _lines(plot: Plot, known: Sequence[tuple[str, ClassCurves]], weakest: str, which: str) -> None:
    for name, c in sorted(known, key=lambda kc: kc[0] == weakest):  # the weakest last: on top
        pairs = zip(c.false_share, c.true_share, strict=True) if which == "roc" else zip(
            c.recall, c.precision, strict=True)  # fmt: skip
        area = f"AUROC {c.auroc:.4f}" if which == "roc" else f"average precision {c.average_precision:.4f}"
        named = f"weakest: {name}" if name == weakest else "other classes"
        plot.line(pairs, "main" if name == weakest else "faint", named, tip=f"{name}, {area}")


def _trade(t: Trade, overkill: Share, escape: Share) -> Markup:
    plot = Plot("Escape against overkill", Axis("overkill: good parts rejected", 0, 1, "share"),
                Axis("", 0, 1, "share"), note="Up: escape, bad parts passed; a point a threshold.")  # fmt: skip
    plot.line(zip(t.overkill, t.escape, strict=True), "main")
    plot.dot(overkill.rate, escape.rate, "main", "the most probable class decides")
    return plot.figure()


def _reliability(e: Evaluation) -> list[Markup]:
    charts = [_reliable("As trained", e.before)]
    if e.after is not None and e.temperature is not None:
        charts.append(_reliable(f"Scaled with temperature {e.temperature:.3g}", e.after))
    return charts


def _reliable(title: str, found: Reliability) -> Markup:
    plot = Plot(f"{title}: calibration error {percent(found.ece)}", Axis("confidence", 0, 1, "share"),
                Axis("", 0, 1, "share"), note="Up: share that is right. Dots on the dotted line: confidence is honest. "
                "Bars: share of the pictures.")  # fmt: skip
    total = found.pictures.sum()
    for middle, number in zip(found.confidence, found.pictures, strict=True):
        share = float(number / total)
        plot.bar((max(0.0, middle - 0.02), min(1.0, middle + 0.02)), (0.0, share), "faint", f"{number} pictures")
    plot.line([(0, 0), (1, 1)], "guide")
    plot.line(zip(found.confidence, found.right, strict=True), "faint")
    for middle, right, number in zip(found.confidence, found.right, found.pictures, strict=True):
        plot.dot(middle, right, "main", tip=f"{number} pictures: {percent(right)} right at {percent(middle)}")
    return plot.figure()


def _sheets(e: Evaluation) -> list[dict[str, Any]]:
    sheets = []
    for kind, meaning in KINDS.items():
        pictures = [
            {
                "image": picture(w.view, WIDTH, w.truth),
                "heat": picture(overlay(w.view, w.heat, SEEN), WIDTH, f"where {w.said} was seen"),
                "text": f"{w.truth} called {w.said}, {w.confidence:.3f}" if w.truth != w.said else
                f"{w.said}, {w.confidence:.3f}",
                "path": w.path,
            }
            for w in e.worst
            if w.kind == kind
        ]  # fmt: skip
        sheets.append({"title": kind.capitalize(), "meaning": meaning, "pictures": pictures})
    return sheets


def _data(e: Evaluation) -> list[tuple[str, ...]]:
    splits = ("train", "val", "test")
    return [
        (entry.name, *(count(sum(row.label == entry.name for row in e.taught.of(split))) for split in splits))  # type: ignore[arg-type]
        for entry in e.taught.run.classes
    ]
