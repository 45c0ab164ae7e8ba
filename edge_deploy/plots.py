"""Figures of the report and of docs/results.md, drawn without a display.

Functions for the report return an inline PNG for its HTML page; for the documentation, the text of an SVG file.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspector.core.stats import clopper_pearson
from inspector.core.types import Image

GREY, RED, BLUE = "#666666", "#b3261e", "#1f5fa8"


def confusion_matrix(matrix: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Counts, row = truth; shaded by the share of the row."""
    side = 1.6 + 0.55 * len(labels)
    figure, axes = _figure(side + 0.8, side)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        axes.text(
            column, row, str(count), ha="center", va="center", color="white" if shares[row, column] > 0.6 else "black"
        )
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    return _inline(figure)


def score_histograms(
    scores: Mapping[str, Sequence[float]], limits: Sequence[float], good: frozenset[str], name: str
) -> str:
    """One row of marks a kind, on one axis, with the limits; good kinds blue, all others red."""
    figure, axes = _figure(7.5, 1.2 + 0.32 * len(scores))
    rng = np.random.default_rng(0)
    for row, (kind, values) in enumerate(scores.items()):
        jitter = row + rng.uniform(-0.28, 0.28, len(values))
        axes.plot(values, jitter, ".", ms=3, alpha=0.5, color=BLUE if kind in good else RED)
    for limit in limits:
        axes.axvline(limit, color="black", lw=1)
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.set_xlabel(f"{name} (black lines: limits)")
    return _inline(figure)


def detection_by_size(defects: Sequence[tuple[float, bool]], bins: int = 6) -> str:
    """defects: (size, rejected). Share rejected in bins of equal count, with 95 % intervals."""
    figure, axes = _figure(6.0, 3.2)
    ordered = sorted(defects)
    for indices in np.array_split(np.arange(len(ordered)), min(bins, len(ordered))):
        part = [ordered[i] for i in indices]
        hit, of = sum(rejected for _, rejected in part), len(part)
        interval, share = clopper_pearson(hit, of), hit / of
        middle = sum(size for size, _ in part) / of
        axes.errorbar(middle, share, [[share - interval.low], [interval.high - share]], fmt="o", color=BLUE, capsize=3)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("defect size, square root of its area in camera pixels")
    axes.set_ylabel("share rejected")
    return _inline(figure)


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
    with matplotlib.rc_context({"svg.hashsalt": "inspector", "svg.fonttype": "none", "font.family": "sans-serif"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def thumbnail(image: Image, width: int = 200) -> str:
    """(H, W, 3) uint8 RGB -> inline PNG of at most `width` pixels."""
    scale = min(1.0, width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be encoded")
    return _image(data.tobytes())


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: it keeps figures and picks a display
    return figure, figure.subplots()


def _inline(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _image(buffer.getvalue())


def _image(png: bytes) -> str:
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
