"""Probabilities at a temperature; `inspector.core.stats.temperature` finds it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax


def probabilities_at(logits: NDArray[Any], t: float = 1.0) -> NDArray[np.float64]:
    """softmax(logits / t), (N, K)."""
    p: NDArray[np.float64] = softmax(logits.astype(np.float64) / t, axis=1)
    return p
