"""The anomaly head: a One-Class SVM over patches of the INT8 model, so that one strange spot can fail a whole part.

    z = average over 3 x 3 cells of (W2 layer2 + up(W3 layer3)) - offset        d numbers a cell, principal directions
    a = |z|^2 - (1/g) ln sum_m alpha_m exp(-g |s_m|^2 + 2 g <s_m, z>) = -(1/g) ln sum_m alpha_m exp(-g |z - s_m|^2)
    anomaly_map = sqrt(a / w) / usual        anomaly_score = mean of the `top` highest cells

s_m are landmarks of normality (edge_deploy/coreset.py), alpha_m their weights from the SVM, scaled to sum 1, w the
squared distance that is usual between neighbouring landmarks, `usual` what the cell reaches on good parts, 1 on average
(edge_deploy/usual.py). A cell ranks as the SVM's decision function does, but in the log domain: that function ties at
-rho for all gross defects. The root makes it a distance, as in the novelty head. Beyond the edge features count as 0.

Projecting before averaging changes nothing in the formula (both are linear) and is needed in the graph: see
edge_deploy/patch_graph.py. With `eight_bit`, W, s and z lie on 8-bit grids here as they do in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from edge_deploy.coreset import BLOCK, k_centre, nearest_neighbour, neighbour_distances
from edge_deploy.fuse import principal

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Maps = Mapping[str, NDArray[np.floating[Any]]]  # tap -> (C, h, w)
WEIGHT_STEPS = 63  # half the range of int8: without VNNI, sums of two products then stay within 16 bits
Z_STEPS = (-128, 127)
FEW_LANDMARKS = 500
ROUNDING = 1e-10  # variances below this share of the mean square are float32's own
TAPS = ("layer2", "layer3")
COPIES = "all good pictures have the same features: they are copies of one another"


@dataclass(frozen=True, slots=True)
class PatchConfig:
    """How a strange spot is found. Chosen on good images and synthetic defects only; all of it is in the manifest.

    taps: stages whose features a patch has; the map has the size of the first.
    directions, whitening, floor: principal directions d of the patches, each scaled by (variance + floor x mean
        variance)^(-whitening/2); 0.5 is better than none and than all.
    patches: so many random ones of all good pictures; landmarks: at most so many of them, M: the cost in the graph.
    kappa: the SVM's gamma in units of 1/w; None: 32, and 8 for M <= 500. nu: its share of outliers.
    top_share: anomaly_score is the mean of this share of the cells, the highest ones; 0 is the maximum.
    over_landmarks: `sum` is the SVM; `max` keeps the largest term of its sum alone, which costs less and ranks alike.
    support, support_share: so many other parts must show something like a patch before it may be a landmark: at least
        `support`, and at least this share of all, more than one kind of hidden defect may have.
    outlier: how far a patch may be from the last of these parts: median + outlier x (90 % quantile - median) of all.
    headroom: the grid of z reaches so many times further than any training patch does.
    usual_share: a cell is judged by what it stays below on this share of the good training pictures; the rest is what
        one hidden kind of defect may have (support_share). 0: all cells alike.
    """

    taps: tuple[str, ...] = TAPS
    directions: int = 128
    whitening: float = 0.5
    floor: float = 0.01
    patches: int = 40_000
    landmarks: int = 1000
    kappa: float | None = None
    nu: float = 0.02
    top_share: float = 0.0125
    over_landmarks: Literal["sum", "max"] = "max"
    eight_bit: bool = True
    headroom: float = 2.0
    outlier: float = 4.0
    support: int = 3
    support_share: float = 0.05
    usual_share: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.taps or not set(self.taps) <= set(TAPS) or len(set(self.taps)) != len(self.taps):
            raise ValueError(f"taps {self.taps}: some of {', '.join(TAPS)}, each once")
        if min(self.directions, self.patches, self.landmarks - 1, self.support) < 1:
            raise ValueError("directions, patches and support are at least 1, landmarks at least 2")
        shares = (self.top_share, self.support_share, self.usual_share)
        if not (all(0 <= share <= 1 for share in shares) and self.support_share < 1 and 0 < self.nu <= 1):
            raise ValueError("top_share, support_share and usual_share lie within 0 and 1, nu too and above 0")
        if not (self.headroom >= 1 and self.outlier > 0):
            raise ValueError("headroom is at least 1, outlier above 0")

    def top(self, cells: int) -> int:
        """How many of so many cells make the score."""
        return max(1, round(self.top_share * cells))

    def sharpness(self, landmarks: int) -> float:
        return self.kappa if self.kappa is not None else (8.0 if landmarks <= FEW_LANDMARKS else 32.0)


@dataclass(frozen=True, slots=True, eq=False)
class PatchHead:
    """A fitted head, float64. weights: tap -> (d, C); offset (d,); support (M, d), log_alpha (M,).

    weight_scale, support_scale: one grid's step per row of the matrices above, z_step: that of z; None: no grid.
    gamma: of the SVM, width: w of the formula. top: cells that make the score; over_landmarks: as in PatchConfig.
    usual: (h, w) of the formula; None: 1 everywhere.
    """

    weights: Mapping[str, Float]
    weight_scale: Mapping[str, Float] | None
    offset: Float
    support: Float
    support_scale: Float | None
    log_alpha: Float
    gamma: float
    width: float
    z_step: float | None
    over_landmarks: Literal["sum", "max"] = "sum"
    top: int = 1
    usual: Float | None = None

    @property
    def unit(self) -> Float:
        """What a is divided by before the root: (h, w), or one number for all cells."""
        return self.width * np.square(1.0 if self.usual is None else self.usual)

    def project(self, maps: Maps) -> Float:
        """z of every cell, (h, w, d), on its grid. maps: raw taps of one picture."""
        size = next(iter(maps[tap].shape[-2:] for tap in self.weights))
        cells = [smooth_cells(np.tensordot(weight, maps[tap], 1), size) for tap, weight in self.weights.items()]
        z = np.moveaxis(np.sum(cells, 0), 0, -1) - self.offset
        return z if self.z_step is None else on_grid(z, self.z_step, Z_STEPS)

    def anomaly_map(self, maps: Maps) -> Float:
        """(h, w): the formula that the graph is tested against."""
        z = self.project(maps)
        squared = (z**2).sum(-1)[..., None] + (self.support**2).sum(1) - 2 * z @ self.support.T
        terms = self.log_alpha - self.gamma * np.maximum(squared, 0)
        total = logsumexp(terms, axis=-1) if self.over_landmarks == "sum" else terms.max(-1)
        return np.asarray(np.sqrt(np.abs(total) / (self.gamma * self.unit)), np.float64)

    def anomaly_score(self, anomaly_map: NDArray[np.floating[Any]]) -> float:
        return float(np.sort(anomaly_map, axis=None)[-self.top :].mean())


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a landmark was seen: picture (index among the good ones), cell (row, column), distance in units of w^0.5
    to the last part that supports it: the larger, the more isolated."""

    picture: int
    cell: tuple[int, int]
    strangeness: float


@dataclass(frozen=True, slots=True, eq=False)
class PatchFit:
    """The head, and what a person should know of it. isolated: its landmarks, most isolated first.

    parts_needed: how many parts had to support a patch; dropped: patches left out for want of it, of `patches`.
    grid: (h, w) cells of the map.
    """

    head: PatchHead
    isolated: tuple[Spot, ...]
    dropped: int
    patches: int
    parts_needed: int
    grid: tuple[int, int]


class PatchSampler:
    """Takes an even share of random patches from each good picture. One a build; pictures in order."""

    def __init__(self, pictures: int, cfg: PatchConfig = PatchConfig()) -> None:
        self._each, self._cfg = -(-cfg.patches // max(1, pictures)), cfg
        self._rng = np.random.default_rng(cfg.seed)
        self._rows: list[Float32] = []
        self._cells: list[tuple[int, int, int]] = []
        self._parts: list[str] = []
        self._first: Float32 | None = None
        self._copies = True  # of the first, so far
        self.grid = (0, 0)

    def take(self, maps: Maps, part: str) -> None:
        """maps: raw taps of the INT8 model for one picture; part: pictures of one part must give the same text."""
        self.grid = maps[self._cfg.taps[0]].shape[-2:]
        stacked = np.concatenate([smooth_cells(maps[tap], self.grid) for tap in self._cfg.taps])  # (C, h, w)
        rows = stacked.reshape(len(stacked), -1).T
        self._first = np.asarray(rows, np.float32) if self._first is None else self._first
        self._copies = self._copies and bool(np.array_equal(rows, self._first))
        kept = np.sort(self._rng.permutation(len(rows))[: self._each])
        self._rows.append(np.asarray(rows[kept], np.float32))
        self._cells += [(len(self._parts), *divmod(int(cell), self.grid[1])) for cell in kept]
        self._parts.append(part)

    def fit(self, sizes: Mapping[str, int], bar: Callable[[int], Callable[[], None]] | None = None) -> PatchFit:
        """sizes: channels of each tap. bar: given the number of steps, returns what moves a progress bar.

        Raises ValueError: too few parts, a feature that is not finite, or copies of one picture.
        """
        names = {name: number for number, name in enumerate(dict.fromkeys(self._parts))}
        if len(names) <= self._cfg.support:
            raise ValueError(
                f"{len(self._parts)} good pictures of {len(names)} parts cannot show what is normal: a landmark needs "
                f"{self._cfg.support} other parts that support it, and 200 parts are wanted"
            )
        if self._copies:
            raise ValueError(COPIES)
        cells = np.asarray(self._cells, np.int64)
        parts = np.array([names[self._parts[picture]] for picture in cells[:, 0]])
        return _fit(np.concatenate(self._rows), cells, parts, self.grid, sizes, self._cfg, bar or (lambda _: _nothing))


def _nothing() -> None:
    """Moves no bar."""


def _fit(
    rows: Float32,
    cells: NDArray[np.int64],
    parts: NDArray[np.int64],
    grid: tuple[int, int],
    sizes: Mapping[str, int],
    cfg: PatchConfig,
    bar: Callable[[int], Callable[[], None]],
) -> PatchFit:
    if not np.isfinite(rows).all():
        raise ValueError("a feature is not finite")
    tick = bar(-(-len(rows) // BLOCK) + cfg.landmarks)
    weights, scale, offset = _projection(rows, sizes, cfg)
    z = rows @ np.concatenate([weights[tap] for tap in cfg.taps], 1).T.astype(np.float32) - offset.astype(np.float32)
    z_step = cfg.headroom * float(np.abs(z).max()) / Z_STEPS[1] if cfg.eight_bit else None
    z = np.asarray(z if z_step is None else on_grid(z, z_step, Z_STEPS), np.float32)
    needed = max(cfg.support, int(np.ceil(cfg.support_share * len(np.unique(parts)))))
    strange = neighbour_distances(z, parts, needed, tick)
    kept = np.flatnonzero(strange <= _supported_within(strange, cfg.outlier))
    landmarks = kept[k_centre(z[kept], cfg.landmarks, tick)]
    if len(landmarks) < 2:
        raise ValueError(COPIES)
    head = _svm(np.asarray(z[landmarks], np.float64), weights, scale, offset, z_step, cfg, cfg.top(grid[0] * grid[1]))
    order = landmarks[np.argsort(-strange[landmarks], kind="stable")]
    spots = tuple(
        Spot(int(cells[i, 0]), (int(cells[i, 1]), int(cells[i, 2])), float(strange[i] / np.sqrt(head.width)))
        for i in order
    )
    return PatchFit(head, spots, len(z) - len(kept), len(z), needed, grid)


def _supported_within(strange: Float32, outlier: float) -> float:
    """How far the parts that support a patch may be: beyond is an outlier among all these distances."""
    middle, high = np.quantile(strange, [0.5, 0.9])
    return float(middle + outlier * (high - middle))


def _projection(
    rows: Float32, sizes: Mapping[str, int], cfg: PatchConfig
) -> tuple[dict[str, Float], dict[str, Float] | None, Float]:
    """tap -> (d, C), the steps of its grid, and the offset (d,) that centres z."""
    mean = rows.mean(0, dtype=np.float64)
    spread = (rows - mean.astype(np.float32)) / np.float32(np.sqrt(len(rows)))
    variance, directions, mean_variance = principal(spread, cfg.directions)
    if variance.size == 0 or mean_variance <= ROUNDING * float((mean**2).mean()):
        raise ValueError(COPIES)
    matrix = (directions * (variance + cfg.floor * mean_variance) ** (-cfg.whitening / 2)).T  # (d, C)
    ends = np.cumsum([sizes[tap] for tap in cfg.taps])
    weights = dict(zip(cfg.taps, np.split(matrix, ends[:-1], axis=1), strict=True))
    scale = {tap: row_scale(weight) for tap, weight in weights.items()} if cfg.eight_bit else None
    if scale is not None:
        weights = {tap: on_grid(weight, scale[tap][:, None]) for tap, weight in weights.items()}
    return weights, scale, np.concatenate([weights[tap] for tap in cfg.taps], 1) @ mean


def _svm(
    landmarks: Float,
    weights: Mapping[str, Float],
    weight_scale: Mapping[str, Float] | None,
    offset: Float,
    z_step: float | None,
    cfg: PatchConfig,
    top: int,
) -> PatchHead:
    from sklearn.svm import OneClassSVM

    scale = row_scale(landmarks) if cfg.eight_bit else None
    if scale is not None:
        landmarks = on_grid(landmarks, scale[:, None])
    width = max(nearest_neighbour(landmarks), 1e-12)
    gamma = cfg.sharpness(len(landmarks)) / width
    svm = OneClassSVM(kernel="rbf", gamma=gamma, nu=cfg.nu).fit(landmarks)
    alpha = np.asarray(svm.dual_coef_[0], np.float64)
    return PatchHead(
        weights=weights,
        weight_scale=weight_scale,
        offset=offset,
        support=landmarks[svm.support_],
        support_scale=None if scale is None else scale[svm.support_],
        log_alpha=np.log(alpha / alpha.sum()),
        gamma=gamma,
        width=width,
        z_step=z_step,
        over_landmarks=cfg.over_landmarks,
        top=top,
    )


def smooth_cells(maps: NDArray[np.floating[Any]], size: Sequence[int]) -> NDArray[np.floating[Any]]:
    """(C, h, w) brought to `size` (bilinear, half pixel), then each cell averaged with those around it, 0 outside."""
    down, across = (
        (smoothing(to) @ stretching(of, to)).astype(maps.dtype) for of, to in zip(maps.shape[-2:], size, strict=True)
    )
    return np.asarray(down @ maps @ across.T)


def stretching(of: int, to: int) -> Float:
    """(to, of): bilinear, half pixel, edges clamped; as OpenVINO's Interpolate and torch's align_corners=False."""
    at = np.clip((np.arange(to) + 0.5) * of / to - 0.5, 0, of - 1)
    low = np.minimum(at.astype(int), of - 1)
    matrix = np.zeros((to, of))
    np.add.at(matrix, (np.arange(to), low), 1 - (at - low))
    np.add.at(matrix, (np.arange(to), np.minimum(low + 1, of - 1)), at - low)
    return matrix


def smoothing(n: int) -> Float:
    """(n, n): average of a cell and its two neighbours; one that lies outside counts as 0, as PatchCore has it."""
    near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1
    return np.asarray(near / 3, np.float64)


def row_scale(matrix: Float) -> Float:
    """(rows,): the step of each row's own grid of WEIGHT_STEPS."""
    return np.asarray(np.maximum(np.abs(matrix).max(1), 1e-12) / WEIGHT_STEPS, np.float64)


def on_grid(values: Any, step: Any, steps: tuple[int, int] = (-WEIGHT_STEPS, WEIGHT_STEPS)) -> Float:
    """The nearest multiple of `step`, within `steps`."""
    return np.asarray(np.clip(np.round(values / step), *steps) * step, np.float64)
