"""The report of a bundle whose limits were chosen anew; what stayed as it was stands in its parent's report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_deploy.calibrate import default_limits
from edge_deploy.choose import Target
from edge_deploy.golden import Selection
from edge_deploy.held_out import HeldOut
from edge_deploy.pictures import Picture
from edge_deploy.qualify import Qualification, Share, qualify
from edge_deploy.report import gather
from edge_deploy.report.parts import DataRow, Report
from edge_deploy.report.summary import good_labels
from inspector.core.manifest import Golden, Manifest
from inspector.core.stats import clopper_pearson
from inspector.core.types import Prediction

PROMISED = ("overkill", "escape")  # the other bounds stand in the table of what the limits were set on


def recalibrated_report(
    *,
    former: Manifest,
    manifest: Manifest,
    directory: Path,
    held_out: HeldOut,
    found: Sequence[Prediction],
    golden: Sequence[Prediction],
    negatives: Mapping[str, list[Prediction]],
    notes: tuple[str, ...],
    target: Target | None,
) -> Report:
    """found, golden, negatives: predictions of the held-out and golden pictures and of negatives, in their order.

    directory: the unpacked bundle, for its golden pictures.
    """
    pictures, acceptable = held_out.pictures, good_labels(manifest)
    q = _qualification(manifest, held_out, found)
    return Report(
        manifest=manifest,
        qualification=q,
        calibration=(),  # the same pictures: they stand in the qualification
        calibration_truths=(),
        negatives=negatives,
        notes=notes,
        selection=Selection((), former.golden_tolerance, _drift(former.golden, golden), ()),
        thumbnails=tuple(pictures.camera_picture(Picture(directory / g.file, g.truth)) for g in manifest.golden),
        sizes=None,
        independent=False,
        parent=former.bundle_id,
        targets=gather.targets_of(target),
        data=_data(held_out, acceptable),
        heat_maps=gather.heat_maps(pictures, pictures.val, found, q.stages["int8"].outcomes, acceptable),
        highest=gather.highest_of(pictures, found, acceptable),
    )


def _qualification(m: Manifest, held_out: HeldOut, found: Sequence[Prediction]) -> Qualification:
    """Promises as the calibration counted and bounded them, not counted again; counted here where it made none."""
    which, promise = held_out.pictures.val, m.limits.promise
    groups = [p.unit for p in which]
    limits = default_limits(m.limits, good_labels(m))
    counted = groups if promise is None else None
    q = qualify([p.truth for p in which], {"int8": found}, [], [entry.name for entry in m.classes], limits, counted)
    if promise is None:
        return q
    shares = tuple(
        Share(b.name, b.failures, b.of, clopper_pearson(b.failures, b.of), b.upper_95)
        for b in promise.bounds
        if b.name.partition(":")[0] in PROMISED
    )
    grouped = promise.unit == "group"
    return replace(q, promises=shares, groups=len(set(groups)) if grouped else None)


def _drift(golden: Sequence[Golden], found: Sequence[Prediction]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(N, 3) of confidence, novelty and anomaly: from what the former bundle expects to what it gives here."""
    rows = []
    for entry, got in zip(golden, found, strict=True):
        was = entry.expected
        anomaly = 0.0
        if was.anomaly_score is not None and got.anomaly_score is not None:
            anomaly = abs(got.anomaly_score - was.anomaly_score)
        rows.append([abs(got.confidence - was.confidence), abs(got.novelty_score - was.novelty_score), anomaly])
    return np.asarray(rows, np.float64).reshape(-1, 3)


def _data(held_out: HeldOut, acceptable: frozenset[str]) -> tuple[DataRow, ...]:
    units = defaultdict(list)
    for picture in held_out.pictures.val:
        units[picture.truth].append(picture.unit)
    return tuple(
        DataRow(kind, kind in acceptable, {"val": len(of_kind)}, {"val": len(set(of_kind))})
        for kind, of_kind in sorted(units.items(), key=lambda item: (item[0] not in acceptable, item[0]))
    )
