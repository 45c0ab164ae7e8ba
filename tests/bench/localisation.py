"""How well a detector finds and points: AUROC of pictures and pixels, AU-PRO, and a fair comparison of two detectors.

Convention of all scores: higher is stranger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.stats import auroc

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
FPR_LIMIT = 0.3  # of AU-PRO, as published
THRESHOLDS = 400


@dataclass(frozen=True, slots=True)
class Difference:
    """AUROC of the second detector minus that of the first, with the 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def enlarged(heat: Floats, size: tuple[int, int]) -> Floats:
    """A heat map (h, w) at the size (height, width) of its picture, bilinear."""
    return np.asarray(cv2.resize(heat.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR))


def pixel_auroc(maps: Sequence[Floats], masks: Sequence[Mask]) -> float:
    """Over all pixels of all pictures; masks are True on the defect, all False on a good picture.

    Raises ValueError: no pixel of one of the two.
    """
    scores = np.concatenate([heat.ravel() for heat in maps])
    strange = np.concatenate([mask.ravel() for mask in masks])
    return auroc(scores[~strange], scores[strange])


def au_pro(maps: Sequence[Floats], masks: Sequence[Mask], limit: float = FPR_LIMIT) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate of `limit`, as a share of `limit`.

    Each connected defect region counts the same, however small (Bergmann et al., CVPR 2020 and IJCV 2021); the rate of
    false positives is that of all pixels outside defects. Raises ValueError: no defect, or nothing but defect.
    """
    normal = np.sort(np.concatenate([heat[~mask] for heat, mask in zip(maps, masks, strict=True)]))
    regions = [np.sort(pixels) for heat, mask in zip(maps, masks, strict=True) for pixels in _regions(heat, mask)]
    if not regions or not normal.size:
        raise ValueError("AU-PRO needs pixels on defects and pixels outside of them")
    wanted = np.linspace(0, limit, THRESHOLDS)
    at = normal[np.clip(np.ceil((1 - wanted) * normal.size).astype(int), 0, normal.size - 1)]
    rates = _share_above(normal, at)
    overlap = np.mean([_share_above(pixels, at) for pixels in regions], axis=0)
    order = np.argsort(rates, kind="stable")
    rates, overlap = np.concatenate([[0.0], rates[order]]), np.concatenate([[0.0], overlap[order]])
    beyond = rates > limit
    if beyond.any():
        rates, overlap = rates[~beyond], overlap[~beyond]
    rates, overlap = np.append(rates, limit), np.append(overlap, overlap[-1])
    return float(np.trapezoid(overlap, rates) / limit)


def _share_above(ordered: Floats, at: Floats) -> Floats:
    """Share of the sorted scores that lie above each threshold."""
    return np.asarray(1 - np.searchsorted(ordered, at, side="right") / ordered.size)


def _regions(heat: Floats, mask: Mask) -> list[Floats]:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [heat[labels == region] for region in range(1, count)]


def paired_bootstrap(
    first: Floats, second: Floats, strange: Mask, groups: Sequence[str], *, rounds: int = 2000, seed: int = 0
) -> Difference:
    """Of two detectors' scores (N,) for the same pictures; whole groups are drawn, with replacement.

    Pictures of one part are not independent: drawing pictures would make the interval too narrow. A draw without good
    or without strange pictures is drawn again. Raises ValueError: one side is empty.
    """
    rng = np.random.default_rng(seed)
    names = np.asarray(groups)
    of_group = [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]
    whole = auroc(second[~strange], second[strange]) - auroc(first[~strange], first[strange])
    found: list[float] = []
    while len(found) < rounds:
        drawn = np.concatenate([of_group[i] for i in rng.integers(0, len(of_group), len(of_group))])
        bad = strange[drawn]
        if bad.all() or not bad.any():
            continue
        a, b = first[drawn], second[drawn]
        found.append(auroc(b[~bad], b[bad]) - auroc(a[~bad], a[bad]))
    low, high = np.quantile(found, [0.025, 0.975])
    return Difference(whole, float(low), float(high))
