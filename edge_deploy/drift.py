"""How far scores of an IR move on other instruction sets and with other rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_deploy.narrowed import narrowed_outputs
from inspector.core.types import Image
from inspector.model import Outputs, load_ir, to_prediction

Scores = NDArray[np.float64]  # (N, 3): confidence, novelty score, anomaly score (0 where the bundle has none)


def drift_on(directory: Path, views: Sequence[Image], labels: Sequence[str]) -> Scores:
    """(N, 3) drift of the IR in `directory` on these views. Raises DeployError: the narrowed child failed."""
    here = scores(directory, views, labels)
    others = [
        scores(directory, views, labels, {"LP_TRANSFORMS_MODE": "NO"}),
        _scores(narrowed_outputs(directory, views), labels),
    ]
    return np.asarray(np.max([np.abs(other - here) for other in others], axis=0), np.float64)


def scores(
    directory: Path, views: Sequence[Image], labels: Sequence[str], properties: Mapping[str, str] | None = None
) -> Scores:
    """Confidence, novelty and anomaly score of each view."""
    ir = load_ir(directory, (views[0].shape[0], views[0].shape[1]), threads=1, properties=properties)
    return _scores([ir.infer(view) for view in views], labels)


def _scores(outputs: Sequence[Outputs], labels: Sequence[str]) -> Scores:
    found = [to_prediction(of_view, labels) for of_view in outputs]
    return np.array([[p.confidence, p.novelty_score, p.anomaly_score or 0.0] for p in found])
