"""Does a limit keep its share of overkill on parts that it was not set on? Held-out pictures, dealt again and again.

Each time half of them set a limit and the other half is judged; the detector stays as it is. Dealt by picture, pictures
of one part are on both sides, the limit has seen what it is tried on, and all looks well: the leak. Dealt by group, it
has not, and a limit by pictures is worth less there than it says. Counting groups keeps it honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_deploy.choose import by_unit, unit_numbers
from edge_deploy.strain import Float
from inspector.core.stats import conformal_limit, coverage_band


@dataclass(frozen=True, slots=True, eq=False)
class Resplits:
    """overkill: (R,) share of the judged half that the other half's limit rejects. low, high: (R,) its 95 % band."""

    dealt_by: str  # "picture" or "group"
    counted: str
    overkill: Float
    low: Float
    high: Float

    @property
    def inside(self) -> float:
        """Share of resplits inside their band; 0.95 and a little more while what is counted is exchangeable."""
        return float(((self.low <= self.overkill) & (self.overkill <= self.high)).mean())

    @property
    def mean(self) -> float:
        return float(self.overkill.mean())


@dataclass(frozen=True, slots=True)
class Coverage:
    """Three looks at the same scores. `leak` and `groups` stay inside their band whatever the data: they are dealt at
    random by what they count. They check the arithmetic; `pictures` is what the data tell."""

    leak: Resplits  # pictures, dealt by picture
    pictures: Resplits  # pictures, dealt by group: what a limit by pictures is worth on other groups
    groups: Resplits  # groups, dealt by group: what the calibration promises


def coverage(scores: ArrayLike, groups: Sequence[str], share: float, *, resplits: int = 100, seed: int = 0) -> Coverage:
    """scores: (N,) of held-out good pictures, higher is stranger (a strain, for the whole decision); groups: of each.

    share: overkill on average, 0..1. Raises ValueError: half of the groups cannot promise it, or a score is not finite.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or len(values) != len(groups):
        raise ValueError("each score needs the name of its group")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    each, group_of = np.arange(len(values)), unit_numbers(groups, len(values))
    rng = np.random.default_rng(seed)
    return Coverage(
        leak=_resplits(values, each, each, ("picture", "picture"), share, resplits, rng),
        pictures=_resplits(values, group_of, each, ("group", "picture"), share, resplits, rng),
        groups=_resplits(values, group_of, group_of, ("group", "group"), share, resplits, rng),
    )


def _resplits(
    scores: Float,
    dealt: np.ndarray[tuple[int], np.dtype[np.intp]],
    counted: np.ndarray[tuple[int], np.dtype[np.intp]],
    names: tuple[str, str],
    share: float,
    resplits: int,
    rng: np.random.Generator,
) -> Resplits:
    """dealt: (N,) what stays together; counted: (N,) what counts as one."""
    rows = np.empty((resplits, 3))
    hands = int(dealt.max()) + 1
    for row in rows:
        sets = np.zeros(hands, np.bool_)
        sets[rng.permutation(hands)[: hands // 2]] = True
        side = sets[dealt]
        ours, theirs = (by_unit(scores[s], counted[s], worst=True) for s in (side, ~side))
        limit = conformal_limit(ours, share)
        band = coverage_band(len(ours), int((ours > limit).sum()), len(theirs))
        row[:] = float((theirs > limit).mean()), band.low, band.high
    return Resplits(*names, rows[:, 0], rows[:, 1], rows[:, 2])
