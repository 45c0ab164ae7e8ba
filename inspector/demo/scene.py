"""One picture while it is drawn: belt, turned disc, light and camera. Pure: a random generator gives the picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image

HEIGHT, WIDTH = 256, 320
DISC_RADIUS = 96.0  # camera pixels
HOLES, HOLE_RING, HOLE_RADIUS, BORE_RADIUS = 6, 62.0, 9.5, 17.0

Float = NDArray[np.floating[Any]]  # drawing mixes float32 grids with float64 factors


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


AS_QUALIFIED = Light()


class Scene:
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
        ys, xs = grid()
        dx, dy = xs - np.float32(self.cx), ys - np.float32(self.cy)
        self.r = cv2.magnitude(dx, dy)
        self.phi = cv2.phase(dx, dy)  # 0..2 pi

    def _belt(self, rng: np.random.Generator) -> Float:
        ys, xs = grid()
        weave = np.sin(xs * 0.9 + float(rng.uniform(0, 6))) * np.sin(ys * 0.9 + float(rng.uniform(0, 6)))
        return np.asarray(46 + 4 * weave + 3 * noise(rng, 4), np.float32)

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
        metal = 138 + 4 * grooves + 3 * brushed + 3 * noise(rng, 12)
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
                ys, xs = grid()
                hole = cv2.magnitude(xs - np.float32(self.cx + x), ys - np.float32(self.cy + y)) < hole_r
                self.mark_defect(hole, Label.MISSING_HOLE)
            else:
                self._drill(x, y, hole_r)

    def _drill(self, x: float, y: float, radius: float) -> None:
        """A hole with its chamfer; only the window around it is touched (the chamfer is nil 8 px out)."""
        x, y = self.cx + x, self.cy + y
        win = _window(x, y, radius + 8)
        ys, xs = (g[win] for g in grid())
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


@lru_cache(maxsize=1)
def grid() -> tuple[Float, Float]:
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return ys, xs


def _window(x: float, y: float, reach: float) -> tuple[slice, slice]:
    """The rows and columns within `reach` of a point, cut at the picture's edge."""
    top, left = max(int(y - reach), 0), max(int(x - reach), 0)
    return slice(top, max(int(y + reach) + 1, 0)), slice(left, max(int(x + reach) + 1, 0))


@lru_cache(maxsize=1)
def _lamp_fields() -> NDArray[np.float32]:
    """(4, 256, 320): what each lamp adds; all four on a white field sum to about 1."""
    ys, xs = grid()
    corners = [(0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)]
    falloff = [np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 170.0**2)) for x, y in corners]
    return np.stack(falloff).astype(np.float32) / np.float32(sum(f[HEIGHT // 2, WIDTH // 2] for f in falloff))


@lru_cache(maxsize=1)
def _mark() -> NDArray[np.uint8]:
    """(96, 96) uint8 ink mask, twice the printed size, text readable along the circumference."""
    stamp = np.zeros((96, 96), np.uint8)
    cv2.putText(stamp, "Q7", (14, 62), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, 5, cv2.LINE_AA)
    return stamp


def noise(rng: np.random.Generator, scale: int) -> Float:
    """Smooth noise of about unit deviation with features of `scale` pixels."""
    small = rng.normal(0, 1, (HEIGHT // scale + 2, WIDTH // scale + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)


def stroke(points: NDArray[np.float64], width: float) -> Float:
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
