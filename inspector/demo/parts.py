"""Rendered parts: turned metal discs on a belt, as the demo's camera sees them. Pure: a seed gives the picture.

A good disc has a centre bore, six bolt holes, turning grooves and a printed mark. Four defect classes are taught
(scratch, dent, missing hole, stain), two kinds are never shown to training (chipped edge, swarf), and three negatives
are no whole, right part (empty belt, half part, wrong part). Light, pose and texture vary by seed.

Kinds, sizes, seeds and difficulty were fixed before the first training; docs/decisions/0003-demo-parts.md says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image
from inspector.demo.scene import AS_QUALIFIED, Label, Light, Scene, grid, noise, stroke

ROI = (40, 8, 240, 240)  # x, y, width, height: what the demo's recipe judges
MIN_DEFECT_SIDE = 10.0  # square root of a defect's area in camera pixels: 4 px at a 96 px network input


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


def render(seed: int, kind: Kind | None = None, stream: Stream = Stream.LINE, light: Light = AS_QUALIFIED) -> Part:
    """One part as the camera sees it; without `kind`, the line's mix decides it from the seed."""
    kind = kind_of(seed) if kind is None else kind
    rng = np.random.default_rng([stream, seed, list(Kind).index(kind), 7])
    scene = Scene(rng)
    if kind is not Kind.EMPTY:
        scene.disc(rng, wrong=kind is Kind.WRONG_PART, drop_hole=kind is Kind.MISSING_HOLE)
    defect = _DEFECTS.get(kind)
    if defect is not None:
        _draw_until_large_enough(defect, rng, scene)
    if kind is Kind.HALF_PART:
        scene.cover_half(rng)
    return Part(scene.expose(rng, light), kind, float(np.sqrt(scene.defect.sum())), scene.labels)


def _scratch(rng: np.random.Generator, s: Scene) -> None:
    """A bright or dark line, slightly bent, 45 to 100 px long and 2.5 to 4 px wide."""
    x, y = s.place(rng, 25, 80)
    length, a, bend = float(rng.uniform(45, 100)), float(rng.uniform(0, np.pi)), float(rng.uniform(-0.5, 0.5))
    t = np.linspace(-0.5, 0.5, 16)
    px = x + length * (t * np.cos(a) - bend * t * t * np.sin(a))
    py = y + length * (t * np.sin(a) + bend * t * t * np.cos(a))
    width = float(rng.uniform(2.5, 4.0))
    alpha = stroke(np.stack([px, py], 1), width) * s.on_metal()
    contrast = float(rng.choice([1, -1])) * float(rng.uniform(38, 70))
    s.albedo = s.albedo + contrast * alpha
    s.mark_defect(alpha > 0.4, Label.SCRATCH)


def _dent(rng: np.random.Generator, s: Scene) -> None:
    """A round hollow, radius 8 to 16 px: lit on one side, in shade on the other."""
    x, y = s.place(rng, 26, 84)
    radius, a = float(rng.uniform(8, 16)), float(rng.uniform(0, 2 * np.pi))
    ys, xs = grid()
    u, v = (xs - np.float32(x)) / radius, (ys - np.float32(y)) / radius
    bowl = np.exp(-(u * u + v * v) * 1.6)
    slope = (u * np.cos(a) + v * np.sin(a)) * bowl * 2.6
    on = s.on_metal()
    s.albedo = s.albedo + float(rng.uniform(42, 75)) * slope * on
    s.mark_defect((u * u + v * v < 1.0) & on, Label.DENT)


def _stain(rng: np.random.Generator, s: Scene) -> None:
    """An irregular dark, brownish film of oil, radius 9 to 22 px."""
    x, y = s.place(rng, 20, 80)
    radius = float(rng.uniform(9, 22))
    ys, xs = grid()
    d = cv2.magnitude(xs - np.float32(x), ys - np.float32(y)) / radius
    edge = np.clip((1.0 - d + 0.35 * noise(rng, 10)) * 5, 0, 1) * s.on_metal()
    s.albedo = s.albedo * (1 - float(rng.uniform(0.22, 0.42)) * edge)
    s.tint *= 1 - edge[..., None] * np.array([0.0, 0.06, 0.16], np.float32)
    s.mark_defect(edge > 0.4, Label.STAIN)


def _chipped_edge(rng: np.random.Generator, s: Scene) -> None:
    """A piece broken out of the rim, 9 to 18 px deep, with a bright fracture."""
    a, bite = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(12, 20))
    ys, xs = grid()
    x, y = s.cx + s.radius * np.cos(a), s.cy + s.radius * np.sin(a)
    d = cv2.magnitude(xs - np.float32(x), ys - np.float32(y)) + 2.5 * noise(rng, 5)
    gone = (d < bite) & (s.r < s.radius + 1)
    fracture = (d >= bite) & (d < bite + 3) & (s.r < s.radius)
    s.albedo[gone] = s.belt[gone]
    s.albedo[fracture] += 45
    s.gloss[gone] = 0
    s.labels[gone] = Label.BELT
    s.mark_defect(gone, None)


def _swarf(rng: np.random.Generator, s: Scene) -> None:
    """A curl of turning chip that lies on the part, 30 to 60 px long, with its shadow."""
    x, y = s.place(rng, 15, 70)
    a, length, coil = float(rng.uniform(0, np.pi)), float(rng.uniform(30, 60)), float(rng.uniform(5, 8))
    t = np.linspace(0, 1, 90)
    turns = 2 * np.pi * float(rng.uniform(3, 5)) * t
    along, across = (t - 0.5) * length + coil * np.cos(turns), coil * np.sin(turns)
    px, py = x + along * np.cos(a) - across * np.sin(a), y + along * np.sin(a) + across * np.cos(a)
    body = stroke(np.stack([px, py], 1), 2.5)
    shadow = np.roll(body, (3, 3), (0, 1))
    s.albedo = s.albedo * (1 - 0.45 * shadow)
    s.albedo = s.albedo * (1 - body) + float(rng.uniform(205, 235)) * body
    s.mark_defect((body > 0.4) | (shadow > 0.4), None)


class _Defect(Protocol):
    def __call__(self, rng: np.random.Generator, s: Scene, /) -> None: ...


_DEFECTS: dict[Kind, _Defect] = {
    Kind.SCRATCH: _scratch, Kind.DENT: _dent, Kind.STAIN: _stain,
    Kind.CHIPPED_EDGE: _chipped_edge, Kind.SWARF: _swarf,
}  # fmt: skip


def _draw_until_large_enough(defect: _Defect, rng: np.random.Generator, scene: Scene) -> None:
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
