"""Temperature scaling: one number that makes a network's confidence honest and changes no class (Guo et al. 2017)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

ENDS = (0.05, 20.0)


def temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """T for which softmax(logits / T) has the least cross-entropy: above 1, the network was too sure of itself.

    logits: (N, K); truth: (N,) class ids. Raises ValueError: no picture, or not finite.
    """
    if not len(truth) or len(logits) != len(truth) or not np.isfinite(logits).all():
        raise ValueError("a temperature needs one finite row of logits for each picture, and at least one")
    z, rows = logits.astype(np.float64), np.arange(len(truth))

    def loss(log_t: float) -> float:
        return -float(log_softmax(z / math.exp(log_t), axis=1)[rows, truth].mean())

    low, high = map(math.log, ENDS)
    inside = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
    return math.exp(min((inside, low, high), key=loss))


def probabilities_at(logits: NDArray[Any], t: float = 1.0) -> NDArray[np.float64]:
    """softmax(logits / t), (N, K)."""
    p: NDArray[np.float64] = softmax(logits.astype(np.float64) / t, axis=1)
    return p
