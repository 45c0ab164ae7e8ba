"""Golden pictures: what this very machine must answer before the model may judge anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspector.bundle.verify import VerifiedBundle
from inspector.core.decide import decide
from inspector.core.errors import GoldenError
from inspector.core.manifest import Expected, Golden, GoldenTolerance, LimitsSpec, Manifest
from inspector.core.types import Image, Limits, Outcome, Prediction
from plc.registers import Verdict


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the scores lie from the expected, absolute."""

    confidence: float
    novelty_score: float
    anomaly_score: float | None

    def within(self, tolerance: GoldenTolerance) -> bool:
        """`<=` on purpose: NaN is not close."""
        anomaly = self.anomaly_score is None or (
            tolerance.anomaly_score is not None and self.anomaly_score <= tolerance.anomaly_score
        )
        return self.confidence <= tolerance.confidence and self.novelty_score <= tolerance.novelty_score and anomaly


@dataclass(frozen=True, slots=True)
class GoldenRow:
    golden: Golden
    got: Prediction
    outcome: Outcome
    drift: Drift

    @property
    def file(self) -> str:
        return self.golden.file

    @property
    def expected(self) -> Expected:
        return self.golden.expected


@dataclass(frozen=True, slots=True)
class GoldenReport:
    rows: tuple[GoldenRow, ...]


def limits_of(manifest: Manifest) -> Limits:
    """The limits as signed."""
    spec: LimitsSpec = manifest.limits
    return Limits(
        spec.min_confidence.default,
        spec.max_anomaly_score.default if spec.max_anomaly_score else None,
        (spec.novelty_low.default, spec.novelty_high.default),
        frozenset(c.name for c in manifest.classes if c.acceptable),
    )


def replay(
    bundle: VerifiedBundle, predict: Callable[[Image], Prediction], limits: Limits | None = None
) -> GoldenReport:
    """Judge every golden picture; limits: those signed, unless others are to be tried.

    Raises GoldenError: a flip of verdict, reason or judged class, or drift beyond the signed tolerance; ModelError.
    """
    limits = limits or limits_of(bundle.manifest)
    report = compare(bundle.directory, bundle.manifest, predict, limits)
    wrong = [text for row in report.rows if (text := _wrong(row, bundle.manifest.golden_tolerance))]
    if wrong:
        raise GoldenError("this machine does not give the bundle's expected answers: " + "; ".join(wrong))
    return report


def compare(
    directory: Path, manifest: Manifest, predict: Callable[[Image], Prediction], limits: Limits
) -> GoldenReport:
    """Judge the golden pictures in `directory` in the manifest's order, and refuse none: replay() does, and the build.

    Raises GoldenError: a file is no picture of the camera's size.
    """
    views = ((golden, golden_view(directory, manifest, golden)) for golden in manifest.golden)
    return GoldenReport(tuple(_judge(golden, predict(view), limits) for golden, view in views))


def golden_view(directory: Path, manifest: Manifest, golden: Golden) -> Image:
    """What the model sees of a golden picture: (h, w, 3) uint8 RGB. Raises GoldenError: not of the camera's size."""
    view = manifest.view
    picture = cv2.imread(str(directory / golden.file), cv2.IMREAD_COLOR)
    if picture is None or picture.shape[:2] != (view.camera_height, view.camera_width):
        raise GoldenError(f"{golden.file} is no picture of the camera's size")
    x, y, w, h = view.roi
    return np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)[y : y + h, x : x + w], np.uint8)


def check_limits(report: GoldenReport, limits: Limits) -> None:
    """Limits that a recipe moved must still tell the golden pictures apart.

    Raises GoldenError: with `limits` a golden good part would not pass, or anything else would.
    """
    flips = [
        f"{row.file} ({row.golden.truth}) would {'' if passes else 'not '}pass"
        for row in report.rows
        if (passes := decide(row.got, limits).verdict is Verdict.PASS) is not (row.golden.role == "good")
    ]
    if flips:
        raise GoldenError("with the recipe's limits " + "; ".join(flips))


def _judge(golden: Golden, got: Prediction, limits: Limits) -> GoldenRow:
    expected = golden.expected
    anomaly = None
    if expected.anomaly_score is not None:
        anomaly = abs((np.nan if got.anomaly_score is None else got.anomaly_score) - expected.anomaly_score)
    drift = Drift(abs(got.confidence - expected.confidence), abs(got.novelty_score - expected.novelty_score), anomaly)
    return GoldenRow(golden, got, decide(got, limits), drift)


def _wrong(row: GoldenRow, tolerance: GoldenTolerance) -> str | None:
    """What is wrong with a row, in words."""
    expected, got, outcome = row.expected, row.got, row.outcome
    what = f"{row.file} ({row.golden.truth})"
    if (outcome.verdict, outcome.reason) != (expected.verdict, expected.reason):
        return f"{what} gives {outcome.verdict.name}/{outcome.reason.name}"
    if outcome.verdict is not Verdict.NOT_INSPECTED and got.label != expected.label:
        return f"{what} is called {got.label}, not {expected.label}"  # where it was inspected, the class counts too
    if not row.drift.within(tolerance):
        score = "none" if got.anomaly_score is None else f"{got.anomaly_score:.4f}"
        anomaly = "" if expected.anomaly_score is None else f", anomaly {score} for {expected.anomaly_score:.4f}"
        return (
            f"{what} drifts: confidence {got.confidence:.4f} for {expected.confidence:.4f}, "
            f"novelty {got.novelty_score:.4f} for {expected.novelty_score:.4f}{anomaly}"
        )
    return None
