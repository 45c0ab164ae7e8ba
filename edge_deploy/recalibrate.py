"""Other limits for a bundle that is built: its own graph judges held-out pictures, and all else stays as it was.

The new bundle is unsigned: a person reads what it promises, and approves it or not.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from edge_deploy.calibrate import Calibrated, CalibrationConfig, default_limits
from edge_deploy.errors import DeployError
from edge_deploy.golden import expected, is_clear
from edge_deploy.held_out import HeldOut, calibrate_on, load_held_out
from edge_deploy.pack import pack, unpack
from edge_deploy.pictures import Picture
from edge_deploy.predict import load_for, of_ir, predict_all
from edge_deploy.report import write_report
from edge_deploy.report.recalibrated import recalibrated_report
from edge_deploy.show import read_manifest
from edge_deploy.steps import SilentSteps, Steps
from inspector.bundle.checks import check_manifest
from inspector.core.decide import decide
from inspector.core.manifest import CalibrationSpec, Golden, GoldenTolerance, Manifest
from inspector.core.types import Limits, Prediction
from inspector.model import check_cpu
from inspector.runtime import cpu_model
from plc.registers import Verdict

KEPT_METRICS = ("_accuracy", "_macro_f1")  # of the classifier; all others were counted at the former limits


@dataclass(frozen=True, slots=True)
class RecalibrateOptions:
    """group_by: rule for pictures that count as one. lots_by: rule for the table of lots; None: the groups."""

    calibration: CalibrationConfig
    group_by: str | None = None
    lots_by: str | None = None
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """former, manifest: before and after. Nothing is written yet."""

    former: Manifest
    manifest: Manifest
    calibrated: Calibrated


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What the bundle's own graph says."""

    held_out: list[Prediction]
    golden: list[Prediction]
    negatives: dict[str, list[Prediction]]  # golden ones, and those beside the held-out pictures


def recalibrate(
    bundle: Path, data: Path, options: RecalibrateOptions, out: Path | None = None, steps: Steps | None = None
) -> Recalibrated:
    """Choose limits for `bundle` on the pictures in `data`; write the new, unsigned bundle where `out` is given.

    Its report is written beside it, as .html.

    Raises DeployError: the data cannot support the promise, a golden picture would flip, this machine does not give the
    bundle's expected scores, `out` exists. Raises BundleError, DataError.
    """
    steps = steps or SilentSteps()
    if out is not None and out.exists():
        raise DeployError(f"{out} exists already; bundles are not overwritten")
    former = read_manifest(bundle)
    check_cpu(former.calibration.instruction_sets)
    acceptable = frozenset(entry.name for entry in former.classes if entry.acceptable)
    held_out = load_held_out(data, acceptable, former.view, options.group_by, options.lots_by)
    with tempfile.TemporaryDirectory(prefix=".calibrate-", dir=out.parent if out else None) as name:
        directory = Path(name)
        unpack(bundle, directory)
        judged = _judge(former, directory, held_out, options.threads, steps)
        refuse_drift(former, judged.golden)
        calibrated = calibrate_on(
            held_out.pictures.val,
            judged.held_out,
            judged.negatives,
            acceptable,
            options.calibration,
            grouped=held_out.grouped,
            lots=held_out.lots,
        )
        manifest = _manifest(former, held_out, judged, calibrated, acceptable)
        check_manifest(manifest)
        if out is not None:
            steps.say(f"packing {out}")
            pack(directory, manifest, out)
            report = recalibrated_report(
                former=former,
                manifest=manifest,
                directory=directory,
                held_out=held_out,
                found=judged.held_out,
                golden=judged.golden,
                negatives=judged.negatives,
                notes=calibrated.notes,
                target=options.calibration.target,
            )
            write_report(report, out.with_suffix(".html"))
    return Recalibrated(former, manifest, calibrated)


def _judge(m: Manifest, directory: Path, held_out: HeldOut, threads: int, steps: Steps) -> _Judged:
    pictures = held_out.pictures
    labels = [entry.name for entry in m.classes]
    predict = of_ir(load_for(directory, pictures, threads), labels)

    def of(which: Sequence[Picture], what: str) -> list[Prediction]:
        with steps.bar(what, len(which)) as tick:
            return predict_all(predict, pictures, which, tick)

    golden = of([Picture(directory / g.file, g.truth) for g in m.golden], "golden pictures")
    negatives: dict[str, list[Prediction]] = defaultdict(list)
    for entry, prediction in zip(m.golden, golden, strict=True):
        if entry.role == "negative":
            negatives[entry.truth].append(prediction)
    for picture, prediction in zip(pictures.negatives, of(pictures.negatives, "negatives"), strict=True):
        negatives[picture.truth].append(prediction)
    return _Judged(of(pictures.val, "held-out pictures"), golden, dict(negatives))


def refuse_drift(m: Manifest, found: Sequence[Prediction]) -> None:
    """Scores that are not the bundle's own would give limits for another model."""
    allowed = m.golden_tolerance
    for golden, got in zip(m.golden, found, strict=True):
        was = golden.expected
        drift = [abs(got.confidence - was.confidence), abs(got.novelty_score - was.novelty_score)]
        most = [allowed.confidence, allowed.novelty_score]
        if was.anomaly_score is not None and got.anomaly_score is not None and allowed.anomaly_score is not None:
            drift.append(abs(got.anomaly_score - was.anomaly_score))
            most.append(allowed.anomaly_score)
        if not all(d <= limit for d, limit in zip(drift, most, strict=True)):
            raise DeployError(
                f"{golden.file} ({golden.truth}) gives other scores here than where the bundle was built: confidence "
                f"{got.confidence:.4f} for {was.confidence:.4f}, novelty {got.novelty_score:.4f} for "
                f"{was.novelty_score:.4f}. Calibrate on a machine like the one that built it, or build anew"
            )


def _manifest(
    former: Manifest, held_out: HeldOut, judged: _Judged, calibrated: Calibrated, acceptable: frozenset[str]
) -> Manifest:
    limits = default_limits(calibrated.limits, acceptable)
    promise = calibrated.limits.promise
    return replace(
        former,
        version=former.version + 1,
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        parents=(former.bundle_id,),
        limits=replace(calibrated.limits, bounds=promise.bounds if promise else ()),
        golden=golden_at(former, judged.golden, limits),
        calibration=_calibration(former.calibration, held_out, judged, acceptable),
        metrics=kept_metrics(former),
        key_id="",
    )


def kept_metrics(former: Manifest) -> dict[str, float]:
    """Those of the training and the classifier, which other limits do not change."""
    return {
        name: value
        for name, value in former.metrics.items()
        if name.startswith("training_") or name == "test_images" or name.endswith(KEPT_METRICS)
    }


def golden_at(former: Manifest, found: Sequence[Prediction], limits: Limits) -> tuple[Golden, ...]:
    """Expectations at the new limits. Raises DeployError: one would flip, here or within the drift that is allowed."""
    golden, flips = [], []
    for entry, got in zip(former.golden, found, strict=True):
        verdict = decide(got, limits).verdict
        wanted = {"good": verdict is Verdict.PASS, "negative": verdict is Verdict.NOT_INSPECTED}
        if not wanted.get(entry.role, verdict is not Verdict.PASS):
            flips.append(f"{entry.file} ({entry.role}: {entry.truth}) would be {verdict.name}")
        elif not is_clear(got, limits, _reach(former.golden_tolerance)):
            flips.append(
                f"{entry.file} ({entry.role}: {entry.truth}) lies so near a limit that another CPU may flip it"
            )
        golden.append(replace(entry, expected=expected(got, limits)))
    if flips:
        raise DeployError(
            f"with these limits golden pictures would flip: {'; '.join(flips)}. Choose another target, or build a new "
            "bundle, which takes golden pictures that suit its limits"
        )
    return tuple(golden)


def _reach(tolerance: GoldenTolerance) -> tuple[float, float, float]:
    return tolerance.confidence, tolerance.novelty_score, tolerance.anomaly_score or 0.0


def _calibration(
    former: CalibrationSpec, held_out: HeldOut, judged: _Judged, acceptable: frozenset[str]
) -> CalibrationSpec:
    good = sum(picture.truth in acceptable for picture in held_out.pictures.val)
    return replace(
        former,
        cpu_model=cpu_model(),
        openvino_version=version("openvino"),
        images_good=good,
        images_bad=len(held_out.pictures.val) - good,
        images_negative=sum(len(found) for found in judged.negatives.values()),
        groups=held_out.pictures.groups,
    )
