"""The curves of a training, from the lines of history.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from training.errors import RunError
from training.pages.charts import Axis, Plot, Style, span
from training.runs import HISTORY

Line = Mapping[str, float]


def read_history(directory: Path) -> tuple[Line, ...]:
    """The numbers of history.json, a line an epoch; () where there is none. Raises RunError: it cannot be read."""
    file = directory / HISTORY
    if not file.is_file():
        return ()
    try:
        lines = json.loads(file.read_text(encoding="utf-8"))
        return tuple({k: float(v) for k, v in line.items() if isinstance(v, int | float)} for line in lines)
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        raise RunError(f"{file} cannot be read ({exc}): move it away to go on without training curves") from exc


@dataclass(frozen=True, slots=True)
class _Chart:
    """curves: key in history.json, its name, its style. Keys that no line has are left out."""

    title: str
    kind: Literal["plain", "share"]
    curves: tuple[tuple[str, str, Style], ...]
    least_top: float  # the axis reaches at least so far


CHARTS = (
    _Chart("Loss", "plain", (("val_loss", "validation", "main"), ("train_loss", "training", "other")), 0.0),
    _Chart("Recall on validation", "share", (("val_macro_recall", "mean of the classes", "main"),), 1.0),
    _Chart("Escape and overkill on validation", "share", (("val_escape", "escape", "main"),
                                                          ("val_overkill", "overkill", "other")), 0.02),
    _Chart("Time spent waiting for pictures", "share", (("waiting", "share of the learning time", "main"),), 0.1),
)  # fmt: skip


def history_charts(history: Sequence[Line], best_epoch: float | None) -> list[Markup]:
    """Loss and what the line cares for, by epoch; the epoch that was kept is marked. [] for fewer than two epochs."""
    lines = [line for line in history if "epoch" in line]
    if len(lines) < 2:
        return []
    return [drawn for chart in CHARTS if (drawn := _drawn(chart, lines, best_epoch)) is not None]


def _drawn(chart: _Chart, lines: Sequence[Line], best_epoch: float | None) -> Markup | None:
    curves = [curve for curve in chart.curves if any(curve[0] in line for line in lines)]
    if not curves:
        return None
    _, high = span((line[key] for line in lines for key, _, _ in curves if key in line), floor=0.0)
    top = 1.0 if chart.kind == "share" and chart.least_top == 1.0 else max(high, chart.least_top)
    epochs = Axis("epoch", lines[0]["epoch"], lines[-1]["epoch"], "whole")
    plot = Plot(chart.title, epochs, Axis("", 0.0, top, chart.kind), 220)
    if best_epoch is not None:
        plot.rule(x=best_epoch, name="the epoch that was kept")
    for key, name, style in curves:
        plot.line(((line["epoch"], line[key]) for line in lines if key in line), style, name)
    return plot.figure()
