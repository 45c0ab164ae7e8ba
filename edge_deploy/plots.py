"""The figures of docs/results.md, drawn without a display. The report's charts: edge_deploy/report/figures.py."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from inspector.core.stats import clopper_pearson

GREY, BLUE, RED, PALE = "#666666", "#1f5fa8", "#b3261e", "#e4ebf4"
BINS = 30


@dataclass(frozen=True, slots=True)
class Look:
    """Of each resplit: the share rejected, and the band in which it should lie; shares 0..1."""

    overkill: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def detection_by_kind(kinds: Mapping[str, Sequence[tuple[str, int, int]]], xlabel: str) -> str:
    """The text of an SVG file, one panel a kind. kinds: (size range, rejected, of) from small to large; `of` may be 0.

    Points are shares rejected with 95 % Clopper-Pearson intervals. The same counts give the same bytes.
    """
    columns = 3
    figure = Figure(figsize=(9.0, 2.3 * -(-len(kinds) // columns) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(kinds) // columns), columns, sharex=True, sharey=True, squeeze=False).flat
    for axes, (kind, ranges) in zip(panels, kinds.items(), strict=False):
        for place, (_, hit, of) in enumerate(ranges):
            if not of:
                continue
            interval, share = clopper_pearson(hit, of), hit / of
            axes.errorbar(place, share, [[share - interval.low], [interval.high - share]], fmt="o", ms=4,
                          color=BLUE, capsize=3)  # fmt: skip
            axes.text(place, -0.02, f"{hit}/{of}", ha="center", va="top", fontsize=7, color=GREY)
        axes.set_title(kind, fontsize=10)
        axes.set_xticks(range(len(ranges)), [name for name, _, _ in ranges], rotation=30, ha="right", fontsize=8)
        axes.set_xlim(-0.5, len(ranges) - 0.5)
        axes.set_ylim(-0.12, 1.05)
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"], fontsize=8)
        axes.grid(axis="y", color="#dddddd", lw=0.6)
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel("share rejected", fontsize=9)
    return _svg(figure)


def overkill_of_resplits(looks: Mapping[str, Look], share: float) -> str:
    """The text of an SVG file, one histogram a way to deal, by its title. share: what the limits were set for.

    Resplits outside their own band are red; the shade is the median band, for the bands differ a little. The same
    numbers give the same bytes.
    """
    figure = Figure(figsize=(9.0, 1.7 * len(looks) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(looks), 1, sharex=True, squeeze=False).flat
    largest = max(max(*look.overkill, *look.high) for look in looks.values())
    edges = np.linspace(0, 1.05 * max(largest, share), BINS + 1)
    for axes, (title, look) in zip(panels, looks.items(), strict=True):
        overkill, low, high = (np.asarray(values) for values in (look.overkill, look.low, look.high))
        inside = (low <= overkill) & (overkill <= high)
        axes.axvspan(float(np.median(low)), float(np.median(high)), color=PALE, lw=0)
        axes.hist([overkill[inside], overkill[~inside]], bins=edges, stacked=True, color=[BLUE, RED])
        axes.axvline(share, color=GREY, lw=1, ls="--")
        axes.set_title(f"dealt by {title}", fontsize=10, loc="left")
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.tick_params(labelsize=8)
    figure.supxlabel(f"overkill of the judged half (dashed: the aim of {100 * share:g} %)", fontsize=9)
    figure.supylabel("resplits", fontsize=9)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    with matplotlib.rc_context({"svg.hashsalt": "inspector", "svg.fonttype": "none", "font.family": "sans-serif"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
