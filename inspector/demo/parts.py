"""Rendered parts: turned metal discs on a belt, as the demo's camera sees them. Pure: a seed gives the picture.

A good disc has a centre bore, six bolt holes, turning grooves and a printed mark. Four defect classes are taught
(scratch, dent, missing hole, stain), two kinds are never shown to training (chipped edge, swarf), and three negatives
are no whole, right part (empty belt, half part, wrong part). Light, pose and texture vary by seed.

Kinds, sizes, seeds and difficulty were fixed before the first training; docs/decisions/0003-demo-parts.md says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image

HEIGHT, WIDTH = 256, 320
ROI = (40, 8, 240, 240)  # x, y, width, height: what the demo's recipe judges
DISC_RADIUS = 96.0  # camera pixels
HOLES, HOLE_RING, HOLE_RADIUS, BORE_RADIUS = 6, 62.0, 9.5, 17.0
MIN_DEFECT_SIDE = 10.0  # square root of a defect's area in camera pixels: 4 px at a 96 px network input

Float = NDArray[np.floating[Any]]  # drawing mixes float32 grids with float64 factors


class Kind(StrEnum):
    GOOD = "good"
    SCRATCH = "scratch"
    DENT = "dent"
    MISSING_HOLE = "missing_hole"
    STAIN = "stain"
    CHIPPED_EDGE = "chipped_edge"  # never shown to training
    SWARF = "swarf"  # never shown to training
    EMPTY = "empty"
    HALF_PART = "half_part"
    WRONG_PART = "wrong_part"


KNOWN = (Kind.GOOD, Kind.SCRATCH, Kind.DENT, Kind.MISSING_HOLE, Kind.STAIN)
NEVER_SHOWN = (Kind.CHIPPED_EDGE, Kind.SWARF)
NEGATIVES = (Kind.EMPTY, Kind.HALF_PART, Kind.WRONG_PART)
LINE_MIX = {  # what the demo's line brings, in parts of 1000
    Kind.GOOD: 850, Kind.SCRATCH: 25, Kind.DENT: 25, Kind.MISSING_HOLE: 25, Kind.STAIN: 25,
    Kind.CHIPPED_EDGE: 15, Kind.SWARF: 15, Kind.EMPTY: 7, Kind.HALF_PART: 7, Kind.WRONG_PART: 6,
}  # fmt: skip


class Stream(IntEnum):
    """Seeds of one purpose never meet those of another."""

    LINE = 0
    TRAIN = 1
    VALIDATION = 2
    CALIBRATION = 3
    TEST = 4
    GOLDEN = 5


class Label(IntEnum):
    """What a pixel shows, for dense supervision."""

    BELT = 0
    METAL = 1
    BORE_OR_HOLE = 2
    MARK = 3
    SCRATCH = 4
    DENT = 5
    MISSING_HOLE = 6
    STAIN = 7


@dataclass(frozen=True, slots=True)
class Light:
    """The four lamps of the station (left-top, right-top, left-bottom, right-bottom; 1 = as qualified) and exposure."""

    lamps: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    exposure: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """image: (256, 320, 3) uint8 RGB. labels: (256, 320) uint8 of Label; a never-shown kind has no label of its own."""

    image: Image
    kind: Kind
    side_px: float  # square root of the defect's area, camera pixels; 0 where there is none
    labels: NDArray[np.uint8]


def kind_of(part_id: int) -> Kind:
    """The truth of a part on the demo's line: PART_ID is the render seed."""
    draw = int(np.random.default_rng([Stream.LINE, part_id]).integers(1000))
    for kind, share in LINE_MIX.items():
        draw -= share
        if draw < 0:
            return kind
    raise AssertionError("LINE_MIX sums to 1000")


def render(seed: int, kind: Kind | None = None, stream: Stream = Stream.LINE, light: Light = Light()) -> Part:
    """One part as the camera sees it; without `kind`, the line's mix decides it from the seed."""
    kind = kind_of(seed) if kind is None else kind
    rng = np.random.default_rng([stream, seed, list(Kind).index(kind), 7])
    scene = _Scene(rng)
    if kind is not Kind.EMPTY:
        scene.disc(rng, wrong=kind is Kind.WRONG_PART, drop_hole=kind is Kind.MISSING_HOLE)
    defect = _DEFECTS.get(kind)
    if defect is not None:
        _draw_until_large_enough(defect, rng, scene)
    if kind is Kind.HALF_PART:
        scene.cover_half(rng)
    return Part(scene.expose(rng, light), kind, float(np.sqrt(scene.defect.sum())), scene.labels)


class _Scene:
    """Albedo, relief and labels of one picture while it is drawn. All arrays (256, 320) float32 but labels."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.cx = WIDTH / 2 + float(rng.uniform(-8, 8))
        self.cy = HEIGHT / 2 + float(rng.uniform(-8, 8))
        self.radius = DISC_RADIUS + float(rng.normal(0, 0.8))
        self.turn = float(rng.uniform(0, 2 * np.pi))
        self.labels: NDArray[np.uint8] = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.defect: NDArray[np.bool_] = np.zeros((HEIGHT, WIDTH), np.bool_)
        self.gloss: Float = np.zeros((HEIGHT, WIDTH), np.float32)  # share of directional reflection
        self.tint: Float = np.ones((HEIGHT, WIDTH, 3), np.float32)
        self.albedo = self._belt(rng)
        self.belt = self.albedo.copy()
        ys, xs = _grid()
        dx, dy = xs - np.float32(self.cx), ys - np.float32(self.cy)
        self.r = cv2.magnitude(dx, dy)
        self.phi = cv2.phase(dx, dy)  # 0..2 pi

    def _belt(self, rng: np.random.Generator) -> Float:
        ys, xs = _grid()
        weave = np.sin(xs * 0.9 + float(rng.uniform(0, 6))) * np.sin(ys * 0.9 + float(rng.uniform(0, 6)))
        return np.asarray(46 + 4 * weave + 3 * _noise(rng, 4), np.float32)

    def disc(self, rng: np.random.Generator, *, wrong: bool, drop_hole: bool) -> None:
        """The turned disc. A wrong part is another article of the same works: other holes, bore and size."""
        holes, ring, hole_r, bore = HOLES, HOLE_RING, HOLE_RADIUS, BORE_RADIUS
        if wrong:
            holes, ring = int(rng.choice([3, 4, 8])), float(rng.uniform(44, 56))
            hole_r, bore = float(rng.uniform(6, 8)), float(rng.uniform(26, 34))
            self.radius *= float(rng.uniform(0.80, 0.90))
        body = np.clip(self.radius - self.r + 0.5, 0, 1)
        grooves = np.sin(self.r * float(rng.uniform(1.5, 1.8)) + float(rng.uniform(0, 6)))
        radial = rng.normal(0, 1, 160).astype(np.float32)
        brushed = cv2.remap(radial[None, :], self.r, np.zeros_like(self.r), cv2.INTER_LINEAR)
        metal = 138 + 4 * grooves + 3 * brushed + 3 * _noise(rng, 12)
        rim = np.exp(-(((self.r - self.radius + 3.5) / 2.0) ** 2))
        metal += 22 * rim
        self.albedo = self.albedo * (1 - body) + metal * body
        self.gloss = body.astype(np.float32)
        self.labels[body > 0.5] = Label.METAL
        self._print_mark(ring, float(rng.uniform(0.85, 1.0)))
        self._drill(0.0, 0.0, bore)
        dropped = int(rng.integers(holes)) if drop_hole else -1
        for i in range(holes):
            angle = self.turn + 2 * np.pi * i / holes
            x, y = ring * np.cos(angle), ring * np.sin(angle)
            if i == dropped:
                ys, xs = _grid()
                hole = cv2.magnitude(xs - np.float32(self.cx + x), ys - np.float32(self.cy + y)) < hole_r
                self.mark_defect(hole, Label.MISSING_HOLE)
            else:
                self._drill(x, y, hole_r)

    def _drill(self, x: float, y: float, radius: float) -> None:
        """A hole with its chamfer; only the window around it is touched (the chamfer is nil 8 px out)."""
        x, y = self.cx + x, self.cy + y
        win = _window(x, y, radius + 8)
        ys, xs = (g[win] for g in _grid())
        d = cv2.magnitude(xs - np.float32(x), ys - np.float32(y))
        inside = np.clip(radius - d + 0.5, 0, 1)
        chamfer = np.exp(-(((d - radius - 1.0) / 1.2) ** 2)).astype(np.float32)
        self.albedo[win] = (self.albedo[win] + 26 * chamfer) * (1 - inside) + 22 * inside
        self.gloss[win] *= 1 - inside
        self.labels[win][inside > 0.5] = Label.BORE_OR_HOLE

    def _print_mark(self, ring: float, ink: float) -> None:
        stamp = _mark()
        side = stamp.shape[0]
        angle = self.turn + np.pi / HOLES
        degrees = np.degrees(angle) + 90
        m = cv2.getRotationMatrix2D((side / 2, side / 2), -degrees, 0.5)
        m[0, 2] += self.cx + (ring - 22) * np.cos(angle) - side / 2
        m[1, 2] += self.cy + (ring - 22) * np.sin(angle) - side / 2
        alpha = cv2.warpAffine(stamp, m, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR).astype(np.float32) / 255 * ink
        self.albedo = self.albedo * (1 - 0.62 * alpha)
        self.labels[alpha > 0.35] = Label.MARK

    def place(self, rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
        """A spot on the disc at a radius in [low, high], camera pixels."""
        r, a = float(rng.uniform(low, high)), float(rng.uniform(0, 2 * np.pi))
        return self.cx + r * np.cos(a), self.cy + r * np.sin(a)

    def on_metal(self) -> NDArray[np.bool_]:
        return np.asarray((self.labels == Label.METAL) | (self.labels == Label.MARK), np.bool_)

    def mark_defect(self, where: NDArray[np.bool_], label: Label | None) -> None:
        self.defect |= where
        if label is not None:
            self.labels[where] = label

    def cover_half(self, rng: np.random.Generator) -> None:
        """Only part of the disc is there: sheared off along a chord, 25 to 60 % of the diameter missing."""
        a, reach = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(-0.2, 0.5)) * self.radius
        gone = self.r * np.cos(self.phi - np.float32(a)) > reach
        self.albedo[gone] = self.belt[gone]
        self.gloss[gone] = 0
        self.labels[gone] = Label.BELT

    def expose(self, rng: np.random.Generator, light: Light) -> Image:
        """Light from four lamps, the bow-tie gloss of turned metal, blur, sensor noise; RGB."""
        lamp = np.asarray(light.lamps, np.float32) * rng.normal(1, 0.03, 4).astype(np.float32)
        field = np.tensordot(lamp, _lamp_fields(), 1)
        gloss_axis = np.float32(rng.uniform(-0.15, 0.15))
        bow = 0.86 + 0.28 * np.square(np.square(np.cos(self.phi - gloss_axis)))
        lit = self.albedo * field * (1 - self.gloss + self.gloss * bow)
        lit *= light.exposure * float(rng.uniform(0.93, 1.07))
        lit = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), float(rng.uniform(0.6, 0.8)))
        rgb = lit[..., None] * (self.tint * np.array([1.0, 0.99, 0.96], np.float32))
        rgb += 2.0 * rng.standard_normal((HEIGHT, WIDTH, 1), np.float32)
        return np.asarray(np.clip(rgb, 0, 255), np.uint8)


def _scratch(rng: np.random.Generator, s: _Scene) -> None:
    """A bright or dark line, slightly bent, 45 to 100 px long and 2.5 to 4 px wide."""
    x, y = s.place(rng, 25, 80)
    length, a, bend = float(rng.uniform(45, 100)), float(rng.uniform(0, np.pi)), float(rng.uniform(-0.5, 0.5))
    t = np.linspace(-0.5, 0.5, 16)
    px = x + length * (t * np.cos(a) - bend * t * t * np.sin(a))
    py = y + length * (t * np.sin(a) + bend * t * t * np.cos(a))
    width = float(rng.uniform(2.5, 4.0))
    alpha = _stroke(np.stack([px, py], 1), width) * s.on_metal()
    contrast = float(rng.choice([1, -1])) * float(rng.uniform(38, 70))
    s.albedo = s.albedo + contrast * alpha
    s.mark_defect(alpha > 0.4, Label.SCRATCH)


def _dent(rng: np.random.Generator, s: _Scene) -> None:
    """A round hollow, radius 8 to 16 px: lit on one side, in shade on the other."""
    x, y = s.place(rng, 26, 84)
    radius, a = float(rng.uniform(8, 16)), float(rng.uniform(0, 2 * np.pi))
    ys, xs = _grid()
    u, v = (xs - np.float32(x)) / radius, (ys - np.float32(y)) / radius
    bowl = np.exp(-(u * u + v * v) * 1.6)
    slope = (u * np.cos(a) + v * np.sin(a)) * bowl * 2.6
    on = s.on_metal()
    s.albedo = s.albedo + float(rng.uniform(42, 75)) * slope * on
    s.mark_defect((u * u + v * v < 1.0) & on, Label.DENT)


def _stain(rng: np.random.Generator, s: _Scene) -> None:
    """An irregular dark, brownish film of oil, radius 9 to 22 px."""
    x, y = s.place(rng, 20, 80)
    radius = float(rng.uniform(9, 22))
    ys, xs = _grid()
    d = cv2.magnitude(xs - np.float32(x), ys - np.float32(y)) / radius
    edge = np.clip((1.0 - d + 0.35 * _noise(rng, 10)) * 5, 0, 1) * s.on_metal()
    s.albedo = s.albedo * (1 - float(rng.uniform(0.22, 0.42)) * edge)
    s.tint *= 1 - edge[..., None] * np.array([0.0, 0.06, 0.16], np.float32)
    s.mark_defect(edge > 0.4, Label.STAIN)


def _chipped_edge(rng: np.random.Generator, s: _Scene) -> None:
    """A piece broken out of the rim, 9 to 18 px deep, with a bright fracture."""
    a, bite = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(12, 20))
    ys, xs = _grid()
    x, y = s.cx + s.radius * np.cos(a), s.cy + s.radius * np.sin(a)
    d = cv2.magnitude(xs - np.float32(x), ys - np.float32(y)) + 2.5 * _noise(rng, 5)
    gone = (d < bite) & (s.r < s.radius + 1)
    fracture = (d >= bite) & (d < bite + 3) & (s.r < s.radius)
    s.albedo[gone] = s.belt[gone]
    s.albedo[fracture] += 45
    s.gloss[gone] = 0
    s.labels[gone] = Label.BELT
    s.mark_defect(gone, None)


def _swarf(rng: np.random.Generator, s: _Scene) -> None:
    """A curl of turning chip that lies on the part, 30 to 60 px long, with its shadow."""
    x, y = s.place(rng, 15, 70)
    a, length, coil = float(rng.uniform(0, np.pi)), float(rng.uniform(30, 60)), float(rng.uniform(5, 8))
    t = np.linspace(0, 1, 90)
    turns = 2 * np.pi * float(rng.uniform(3, 5)) * t
    along, across = (t - 0.5) * length + coil * np.cos(turns), coil * np.sin(turns)
    px, py = x + along * np.cos(a) - across * np.sin(a), y + along * np.sin(a) + across * np.cos(a)
    body = _stroke(np.stack([px, py], 1), 2.5)
    shadow = np.roll(body, (3, 3), (0, 1))
    s.albedo = s.albedo * (1 - 0.45 * shadow)
    s.albedo = s.albedo * (1 - body) + float(rng.uniform(205, 235)) * body
    s.mark_defect((body > 0.4) | (shadow > 0.4), None)


class _Defect(Protocol):
    def __call__(self, rng: np.random.Generator, s: _Scene, /) -> None: ...


_DEFECTS: dict[Kind, _Defect] = {
    Kind.SCRATCH: _scratch, Kind.DENT: _dent, Kind.STAIN: _stain,
    Kind.CHIPPED_EDGE: _chipped_edge, Kind.SWARF: _swarf,
}  # fmt: skip


def _draw_until_large_enough(defect: _Defect, rng: np.random.Generator, scene: _Scene) -> None:
    """A defect that mostly fell beside the metal would be too small to matter: draw another in its place."""
    keep = (scene.albedo.copy(), scene.tint.copy(), scene.labels.copy(), scene.gloss.copy())
    for _ in range(20):
        defect(rng, scene)
        if np.sqrt(scene.defect.sum()) >= MIN_DEFECT_SIDE:
            return
        scene.albedo, scene.tint = keep[0].copy(), keep[1].copy()
        scene.labels, scene.gloss = keep[2].copy(), keep[3].copy()
        scene.defect[:] = False
    raise AssertionError("no place for a defect: the ranges above always leave one")


@lru_cache(maxsize=1)
def _grid() -> tuple[Float, Float]:
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return ys, xs


def _window(x: float, y: float, reach: float) -> tuple[slice, slice]:
    """The rows and columns within `reach` of a point, cut at the picture's edge."""
    top, left = max(int(y - reach), 0), max(int(x - reach), 0)
    return slice(top, max(int(y + reach) + 1, 0)), slice(left, max(int(x + reach) + 1, 0))


@lru_cache(maxsize=1)
def _lamp_fields() -> NDArray[np.float32]:
    """(4, 256, 320): what each lamp adds; all four on a white field sum to about 1."""
    ys, xs = _grid()
    corners = [(0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)]
    falloff = [np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 170.0**2)) for x, y in corners]
    return np.stack(falloff).astype(np.float32) / np.float32(sum(f[HEIGHT // 2, WIDTH // 2] for f in falloff))


@lru_cache(maxsize=1)
def _mark() -> NDArray[np.uint8]:
    """(96, 96) uint8 ink mask, twice the printed size, text readable along the circumference."""
    stamp = np.zeros((96, 96), np.uint8)
    cv2.putText(stamp, "Q7", (14, 62), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, 5, cv2.LINE_AA)
    return stamp


def _noise(rng: np.random.Generator, scale: int) -> Float:
    """Smooth noise of about unit deviation with features of `scale` pixels."""
    small = rng.normal(0, 1, (HEIGHT // scale + 2, WIDTH // scale + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)


def _stroke(points: NDArray[np.float64], width: float) -> Float:
    """(256, 320) 0..1 coverage of an anti-aliased polyline, drawn at four times the size for its width's sake."""
    x0, y0 = np.floor(points.min(0) - width - 2).astype(int)
    x1, y1 = np.ceil(points.max(0) + width + 2).astype(int)
    canvas = np.zeros(((y1 - y0) * 4, (x1 - x0) * 4), np.uint8)
    cv2.polylines(canvas, [np.round((points - [x0, y0]) * 4).astype(np.int32)], False, 255, max(1, round(width * 4)))
    small = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    full = np.zeros((HEIGHT, WIDTH), np.float32)
    ya, yb, xa, xb = max(y0, 0), min(y1, HEIGHT), max(x0, 0), min(x1, WIDTH)
    if ya < yb and xa < xb:
        full[ya:yb, xa:xb] = small[ya - y0 : yb - y0, xa - x0 : xb - x0]
    return full
