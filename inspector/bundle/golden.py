"""Golden pictures: what this very machine must answer before the model may judge anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from inspector.bundle.verify import VerifiedBundle
from inspector.core.decide import decide
from inspector.core.errors import GoldenError
from inspector.core.manifest import Golden, GoldenTolerance, LimitsSpec, Manifest
from inspector.core.types import Image, Limits, Prediction


@dataclass(frozen=True, slots=True)
class GoldenRow:
    golden: Golden
    got: Prediction
    drift: float  # of the novelty score, absolute


def limits_of(manifest: Manifest) -> Limits:
    """The limits as signed."""
    spec: LimitsSpec = manifest.limits
    return Limits(
        spec.min_confidence.default,
        spec.max_anomaly_score.default if spec.max_anomaly_score else None,
        (spec.novelty_low.default, spec.novelty_high.default),
        frozenset(c.name for c in manifest.classes if c.acceptable),
    )


def replay(bundle: VerifiedBundle, predict: Callable[[Image], Prediction]) -> list[GoldenRow]:
    """Judge every golden picture with the signed limits. Raises GoldenError: a flip, or drift beyond the tolerance."""
    manifest, rows, wrong = bundle.manifest, [], []
    x, y, w, h = manifest.view.roi
    for golden in manifest.golden:
        picture = cv2.imread(str(bundle.directory / golden.file), cv2.IMREAD_COLOR)
        if picture is None or picture.shape[:2] != (manifest.view.camera_height, manifest.view.camera_width):
            raise GoldenError(f"{golden.file} is no picture of the camera's size")
        view = np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)[y : y + h, x : x + w], np.uint8)
        got = predict(view)
        outcome, expected = decide(got, limits_of(manifest)), golden.expected
        if (outcome.verdict, outcome.reason) != (expected.verdict, expected.reason):
            wrong.append(f"{golden.file} ({golden.truth}) gives {outcome.verdict.name}/{outcome.reason.name}")
        elif not _close(got, golden, manifest.golden_tolerance):
            wrong.append(f"{golden.file} ({golden.truth}) drifts: novelty {got.novelty_score:.4f}")
        rows.append(GoldenRow(golden, got, abs(got.novelty_score - expected.novelty_score)))
    if wrong:
        raise GoldenError("this machine does not give the bundle's expected answers: " + "; ".join(wrong))
    return rows


def _close(got: Prediction, golden: Golden, tolerance: GoldenTolerance) -> bool:
    """`<=` on purpose: NaN is not close."""
    expected = golden.expected
    anomaly = True
    if expected.anomaly_score is not None and tolerance.anomaly_score is not None:
        score = got.anomaly_score
        anomaly = score is not None and abs(score - expected.anomaly_score) <= tolerance.anomaly_score
    return (
        abs(got.confidence - expected.confidence) <= tolerance.confidence
        and abs(got.novelty_score - expected.novelty_score) <= tolerance.novelty_score
        and anomaly
    )
