"""How strange a spot looks on a picture: by the limit that judges it, and so the same for every part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_LIMIT = 0.5  # strength of a spot that is just at the limit
FULL = 2.0  # times the limit: full colour


@dataclass(frozen=True, slots=True)
class HeatScale:
    """Scores of a spot: nothing is shown up to `quiet`, half strength is the `limit`, and `full` and more are the
    same. Raises ValueError: not in that order."""

    quiet: float
    limit: float
    full: float

    def __post_init__(self) -> None:
        if not self.quiet < self.limit < self.full:
            raise ValueError(f"a heat scale goes upwards: {self.quiet} < {self.limit} < {self.full}")

    @classmethod
    def of(cls, limit: float, median: float | None) -> HeatScale:
        """From half way between the usual part and the limit; a good part's own hottest spot is then no spot.

        median: highest spot of the middle good part; None: not known, as if it were 0, which no score is below.
        """
        usual = min(0.0 if median is None else median, limit - 1e-6)  # a recipe may put its limit on the median
        return cls((usual + limit) / 2, limit, limit + max(abs(limit) * (FULL - 1), 1e-6))

    def strength(self, heat: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """0 to 1, of the same shape; 0 where the score is NaN."""
        found = np.interp(heat, (self.quiet, self.limit, self.full), (0.0, AT_LIMIT, 1.0))
        return np.asarray(np.nan_to_num(found, nan=0.0), np.float32)
