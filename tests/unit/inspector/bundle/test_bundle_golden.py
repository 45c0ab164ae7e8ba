"""The box's own replay, where the bundle scores single spots as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.bundle.golden import replay
from inspector.bundle.verify import VerifiedBundle, verify
from inspector.core.errors import GoldenError
from inspector.core.manifest import DetectorSpec, GoldenTolerance, LimitSpec, OutputSpec
from inspector.core.types import Image, Prediction
from inspector.model import load_ir, to_prediction
from tests.support.tiny_bundle import LABELS, make_bundle, make_key, tiny_manifest, trusted_key

USUAL, LIMIT = 1.0, 5.0


@pytest.fixture
def bundle(tmp_path: Path) -> VerifiedBundle:
    """The tiny bundle, with an anomaly score beside the others that every golden picture should have."""
    tiny, key = tiny_manifest(), make_key()
    golden = tuple(replace(g, expected=replace(g.expected, anomaly_score=USUAL)) for g in tiny.golden)
    made = make_bundle(
        tmp_path / "spots.bundle",
        key,
        outputs=(*tiny.outputs, OutputSpec("anomaly_map", (4, 4)), OutputSpec("anomaly_score", ())),
        detector=DetectorSpec("patch", ("layer2", "layer3"), 128, 1000, 32.0, 0.02, "max", 0, {}),
        limits=replace(tiny.limits, max_anomaly_score=LimitSpec(LIMIT, (LIMIT, LIMIT)), anomaly_median=USUAL),
        golden=golden,
        golden_tolerance=GoldenTolerance(0.1, 0.1, 0.1),
    )
    return verify(made, [trusted_key(key)], tmp_path / "unpacked")


def scored(bundle: VerifiedBundle, score: float | None) -> Callable[[Image], Prediction]:
    _, _, width, height = bundle.manifest.view.roi
    ir = load_ir(bundle.directory, (height, width), threads=1)
    return lambda view: replace(to_prediction(ir.infer(view), LABELS), anomaly_score=score)


def test_an_anomaly_score_within_its_tolerance_is_taken(bundle: VerifiedBundle) -> None:
    rows = replay(bundle, scored(bundle, USUAL + 0.05)).rows
    assert rows[0].drift.anomaly_score == pytest.approx(0.05)


def test_an_anomaly_score_that_drifted_refuses_the_machine_though_no_verdict_flips(bundle: VerifiedBundle) -> None:
    with pytest.raises(GoldenError, match=r"drifts: .* anomaly 1\.2000 for 1\.0000"):
        replay(bundle, scored(bundle, USUAL + 0.2))


@pytest.mark.parametrize("score", [None, float("nan")])
def test_a_machine_that_gives_no_anomaly_score_is_refused(bundle: VerifiedBundle, score: float | None) -> None:
    with pytest.raises(GoldenError):
        replay(bundle, scored(bundle, score))


def test_a_spot_beyond_its_limit_is_a_flip(bundle: VerifiedBundle) -> None:
    with pytest.raises(GoldenError, match="FAIL/ANOMALY"):
        replay(bundle, scored(bundle, LIMIT + 0.1))
