"""How strange each cell of the heat map usually is on good parts.

At the edge of the view, over print or along a contour even good parts lie further from the landmarks than elsewhere;
such cells would set the limit for all others. So the map is divided by what each cell stays below on most good parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PRIOR = 20  # pictures that stand for "all cells are alike": a cell's own quantile needs more than a few


def usual_heat(heats: NDArray[np.floating[Any]], share: float) -> NDArray[np.float64]:
    """(h, w), 1 on average: what each cell stays below on this share of the good parts' maps (N, h, w).

    Weighed against the same quantile of all cells together, which counts as much as PRIOR pictures.
    """
    own, all_cells = np.quantile(heats, share, axis=0), np.quantile(heats, share)
    scale = (len(heats) * own + PRIOR * all_cells) / (len(heats) + PRIOR)
    return np.asarray(scale / scale.mean(), np.float64)
