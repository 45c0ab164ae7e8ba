"""Which patches stand for what is normal: none that is strange to other parts, and few that cover all the rest.

Greedy k-centre alone loves outliers: one scratch hidden among the good pictures becomes a landmark of normality, and
every such scratch then passes. So each patch is first asked how many *other parts* show something like it, as SoftPatch
does (Jiang et al., NeurIPS 2022); one that too few support can become no landmark.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Ints = NDArray[np.int64]
BLOCK = 512  # rows of distances at once: 80 MB against 40,000 patches


def neighbour_distances(patches: Float32, parts: Ints, nth: int, tick: Callable[[], None] = lambda: None) -> Float32:
    """Distance of each patch to the nearest patch of its `nth` nearest *other* part, (N,); inf where there are fewer.

    patches: (N, d); parts: (N,), which part each shows. Ticks once per BLOCK rows.
    """
    order = np.argsort(parts, kind="stable")
    columns, of_column = patches[order], parts[order]
    starts = np.flatnonzero(np.r_[True, of_column[1:] != of_column[:-1]])
    names, squares = of_column[starts], (columns**2).sum(1)
    found = np.full(len(patches), np.inf, np.float32)
    for begin in range(0, len(patches), BLOCK):
        rows = patches[begin : begin + BLOCK]
        distance = rows @ columns.T
        distance *= -2.0
        distance += squares
        nearest = np.minimum.reduceat(distance, starts, axis=1)  # (rows, parts), without the row's own square
        nearest[names == parts[begin : begin + BLOCK, None]] = np.inf
        if nth <= len(names) - 1:
            found[begin : begin + BLOCK] = np.partition(nearest, nth - 1, axis=1)[:, nth - 1] + (rows**2).sum(1)
        tick()
    return np.asarray(np.sqrt(np.maximum(found, 0)), np.float32)


def k_centre(patches: Float32, count: int, tick: Callable[[], None] = lambda: None) -> Ints:
    """Greedy k-centre: indices of at most `count` landmarks.

    Begins with the patch nearest to the middle, so it needs no chance; each next one is furthest from all before. Ends
    early where every patch is a landmark's copy. Ticks once per landmark.
    """
    squares = (patches**2).sum(1)
    middle = patches.mean(0)
    chosen = [int(np.argmin(squares - 2 * patches @ middle))]
    reach = np.full(len(patches), np.inf, np.float32)
    tiny = 1e-6 * float(squares.max(initial=0.0))
    while True:
        last = chosen[-1]
        distance = patches @ patches[last]
        distance *= -2.0
        distance += squares
        distance += squares[last]
        np.minimum(reach, distance, out=reach)
        reach[last] = 0
        tick()
        furthest = int(np.argmax(reach))
        if len(chosen) == count or reach[furthest] <= tiny:
            return np.asarray(chosen, np.int64)
        chosen.append(furthest)


def nearest_neighbour(points: NDArray[np.float64]) -> float:
    """Median squared distance of a point to its nearest other point; points: (M, d), M at least 2."""
    squares = (points**2).sum(1)
    squared = squares[:, None] + squares[None] - 2 * points @ points.T
    np.fill_diagonal(squared, np.inf)
    return float(np.median(np.maximum(squared.min(1), 0)))
