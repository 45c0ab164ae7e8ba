"""Charts as inline SVG: they take the page's own colours, so that they read in light, in dark and on paper.

Everything normal is grey; `bad` and `warn` are kept for what is not. Values are drawn as given: nothing is smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup, escape

Style = Literal["main", "other", "faint", "guide", "bad", "warn"]
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 380, 46, 16, 10, 40  # drawing units; about one CSS pixel each


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis. kind `share`: 0..1 in percent; `whole`: no ticks between whole numbers."""

    label: str
    low: float
    high: float
    kind: Literal["plain", "share", "whole"] = "plain"

    def ticks(self) -> list[float]:
        """Three to seven round values inside the axis."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
        step = max(1.0, step) if self.kind == "whole" else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    def text(self, value: float) -> str:
        return f"{100 * value:.4g} %" if self.kind == "share" else f"{value:.4g}"


def span(values: Iterable[float], *, margin: float = 0.06, floor: float | None = None) -> tuple[float, float]:
    """Lowest and highest finite value and a little more; `floor` is the lower end where it is given."""
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = max(high - low, 1e-3 * abs(high), 1e-9) * margin
    return (low - room if floor is None else floor), high + room


@dataclass(slots=True)
class Plot:
    """A chart that is added to, line by line, and then asked for its figure."""

    title: str
    x: Axis
    y: Axis
    height: int = 260
    note: str = ""
    _drawn: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def px(self, x: float) -> float:
        """Drawing unit of a value; outside the axis: its edge."""
        part = (x - self.x.low) / (self.x.high - self.x.low)
        return round(LEFT + min(1.0, max(0.0, part)) * (WIDTH - LEFT - RIGHT), 1)

    def py(self, y: float) -> float:
        part = (y - self.y.low) / (self.y.high - self.y.low)
        return round(self.height - BOTTOM - min(1.0, max(0.0, part)) * (self.height - TOP - BOTTOM), 1)

    def line(self, points: Iterable[tuple[float, float]], style: Style = "main", name: str = "", tip: str = "") -> None:
        """A line through the points whose values are finite. tip: shown under the pointer."""
        path = " ".join(f"{self.px(x)},{self.py(y)}" for x, y in points if math.isfinite(x) and math.isfinite(y))
        self._add(f'<polyline class="l {style}" points="{path}">{_tip(tip or name)}</polyline>', f"l {style}", name)

    def dot(self, x: float, y: float, style: Style = "main", name: str = "", tip: str = "") -> None:
        shape = f'<circle class="d {style}" cx="{self.px(x)}" cy="{self.py(y)}" r="4">{_tip(tip or name)}</circle>'
        self._add(shape, f"d {style}", name)

    def whisker(self, x: float, low: float, high: float, style: Style = "main") -> None:
        """A vertical interval with caps."""
        at, top, bottom = self.px(x), self.py(high), self.py(low)
        caps = "".join(f"M{at - 4} {y}H{at + 4}" for y in (top, bottom))
        self._add(f'<path class="l {style} thin" d="M{at} {top}V{bottom}{caps}"/>', "", "")

    def bar(self, x: tuple[float, float], y: tuple[float, float], style: Style = "main", tip: str = "") -> None:
        left, right, top, bottom = self.px(x[0]), self.px(x[1]), self.py(y[1]), self.py(y[0])
        size = f'width="{max(0.5, right - left - 0.6):.1f}" height="{max(0.0, bottom - top):.1f}"'
        self._add(f'<rect class="b {style}" x="{left}" y="{top}" {size}>{_tip(tip)}</rect>', "", "")

    def rule(self, *, x: float | None = None, y: float | None = None, style: Style = "guide", name: str = "") -> None:
        """A straight line across the chart at a value of x or of y."""
        if x is not None:
            path = f"M{self.px(x)} {TOP}V{self.height - BOTTOM}"
        else:
            path = f"M{LEFT} {self.py(y or 0.0)}H{WIDTH - RIGHT}"
        self._add(f'<path class="l {style}" d="{path}">{_tip(name)}</path>', f"l {style}", name)

    def text(self, x: float, y: float, text: str, anchor: str = "middle", style: str = "soft") -> None:
        """A word at a place of the chart, above it."""
        place = f'x="{self.px(x)}" y="{self.py(y) - 6:.1f}" text-anchor="{anchor}"'
        self._drawn.append(f'<text class="{style}" {place}>{escape(text)}</text>')

    def figure(self) -> Markup:
        """The chart with its title above and the names of its lines below."""
        size = f'viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{escape(self.title)}"'
        legend = "".join(
            f'<li><svg viewBox="0 0 24 10" aria-hidden="true">{_key(key)}</svg>{escape(name)}</li>'
            for key, name in self._legend
        )
        parts = [
            f'<figure class="chart"><figcaption>{escape(self.title)}</figcaption><svg {size}>',
            *self._axes(),
            *self._drawn,
            "</svg>",
            f'<ul class="legend">{legend}</ul>' if legend else "",
            f'<p class="quiet">{escape(self.note)}</p>' if self.note else "",
            "</figure>",
        ]
        return Markup("".join(parts))

    def _axes(self) -> list[str]:
        right, foot = WIDTH - RIGHT, self.height - BOTTOM
        parts = []
        for tick in self.y.ticks():
            y = self.py(tick)
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{self.y.text(tick)}</text>')
        parts.append(f'<path class="axis" d="M{LEFT} {foot}H{right}"/>')
        for tick in self.x.ticks():
            x = self.px(tick)
            parts.append(f'<path class="axis" d="M{x} {foot}v4"/>')
            text = self.x.text(tick)
            parts.append(f'<text class="tick" x="{x}" y="{foot + 17}" text-anchor="middle">{text}</text>')
        middle = (LEFT + right) / 2
        label = escape(self.x.label)
        parts.append(f'<text class="label" x="{middle}" y="{self.height - 5}" text-anchor="middle">{label}</text>')
        if self.y.label:
            turn = f'transform="translate(11 {(TOP + foot) / 2:.0f}) rotate(-90)" text-anchor="middle"'
            parts.append(f'<text class="label" {turn}>{escape(self.y.label)}</text>')
        return parts

    def _add(self, shape: str, key: str, name: str) -> None:
        self._drawn.append(shape)
        if name and (key, name) not in self._legend:
            self._legend.append((key, name))


@dataclass(frozen=True, slots=True)
class Row:
    """The scores of one kind. wrong: of each score, whether the limits put it on the wrong side."""

    name: str
    scores: Sequence[float]
    wrong: Sequence[bool]
    style: Style = "bad"  # of what is wrong


def histogram_rows(title: str, axis: Axis, rows: Sequence[Row], limits: Sequence[float], bins: int = 56) -> Markup:
    """One histogram a kind on a common axis, the limits across all; heights are square roots, so that one shows.

    Scores beyond the axis stand in its last bin. What lies on the wrong side of a limit is coloured.
    """
    each, top = 46, 4
    height = top + each * len(rows) + BOTTOM
    plot = Plot(title, axis, Axis("", 0, 1), height)
    parts = [
        f'<path class="l limit" d="M{plot.px(limit)} {top}V{height - BOTTOM + 4}">{_tip("limit")}</path>'
        for limit in limits
    ]
    for place, row in enumerate(rows):
        parts += _row(plot, row, top + each * (place + 1), bins)
    for tick in axis.ticks():
        x = plot.px(tick)
        parts.append(f'<path class="axis" d="M{x} {height - BOTTOM}v4"/>')
        parts.append(f'<text class="tick" x="{x}" y="{height - 22}" text-anchor="middle">{axis.text(tick)}</text>')
    label = f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 5}" text-anchor="middle">'
    parts.append(f"{label}{escape(axis.label)}</text>")
    box = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}"'
    drawn = f'<figure class="chart"><figcaption>{escape(title)}</figcaption><svg {box}>{"".join(parts)}</svg></figure>'
    return Markup(drawn)


def _row(plot: Plot, row: Row, foot: float, bins: int) -> list[str]:
    low, high = plot.x.low, plot.x.high
    right, wrong = [0] * bins, [0] * bins
    for score, is_wrong in zip(row.scores, row.wrong, strict=True):
        at = (score - low) / (high - low) * bins if math.isfinite(score) else bins
        (wrong if is_wrong else right)[min(bins - 1, max(0, int(at)))] += 1
    tallest = math.sqrt(max(map(sum, zip(right, wrong, strict=True)), default=1) or 1)
    width, parts = (WIDTH - LEFT - RIGHT) / bins, []
    for i in range(bins):
        below = 0.0
        for number, style in ((right[i], "main"), (wrong[i], row.style)):
            if not number:
                continue
            top = 24 * math.sqrt(below + number) / tallest
            base = 24 * math.sqrt(below) / tallest
            x, y = LEFT + i * width, foot - top
            size = f'width="{width - 0.6:.1f}" height="{max(1.2, top - base):.1f}"'
            parts.append(f'<rect class="b {style}" x="{x:.1f}" y="{y:.1f}" {size}>{_tip(f"{number}")}</rect>')
            below += number
    count, off = len(row.scores), sum(row.wrong)
    said = f'<tspan class="{row.style}">, {off} on the wrong side</tspan>' if off else ""
    parts.append(f'<path class="grid" d="M{LEFT} {foot}H{WIDTH - RIGHT}"/>')
    parts.append(f'<text class="rowname" x="{LEFT}" y="{foot - 29}">{escape(row.name)} ({count}){said}</text>')
    return parts


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _key(css: str) -> str:
    if css.startswith("d "):
        return f'<circle class="{css}" cx="12" cy="5" r="4"/>'
    return f'<path class="{css}" d="M1 5H23"/>'
