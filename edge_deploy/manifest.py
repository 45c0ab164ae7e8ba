"""What the bundle says of itself, put together; the format stands in inspector/core/manifest.py."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from edge_deploy.convert import EMBEDDING_SIZE
from edge_deploy.errors import DeployError
from edge_deploy.pictures import Pictures
from inspector.core.manifest import (
    BundleFile,
    CalibrationSpec,
    DetectorSpec,
    Golden,
    GoldenTolerance,
    InputSpec,
    LimitsSpec,
    Manifest,
    OutputSpec,
    TrainingSpec,
    ViewSpec,
    ZoneLimits,
)
from inspector.runtime import cpu_model
from training.runs import Run

if TYPE_CHECKING:
    from edge_deploy.options import BuildOptions

SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"


def describe(
    *,
    run: Run,
    options: BuildOptions,
    pictures: Pictures,
    directory: Path,
    limits: LimitsSpec,
    zones: tuple[ZoneLimits, ...],
    detector: DetectorSpec,
    golden: tuple[Golden, ...],
    tolerance: GoldenTolerance,
    instruction_sets: tuple[str, ...],
    metrics: Mapping[str, float],
    grid: tuple[int, int] | None,
) -> Manifest:
    """The manifest of the files in `directory`, not yet approved: key_id is empty.

    grid: (h, w) cells of the heat map; None: the model gives none.
    """
    return Manifest(
        schema_version=1,
        product=options.product or run.product,
        version=options.version,
        created_utc=built_at(),
        parents=options.parents,
        files=files_of(directory),
        classes=run.classes,
        input=InputSpec(*run.network_size, "NHWC", "u8", "RGB"),
        view=ViewSpec(pictures.camera[1], pictures.camera[0], pictures.roi),
        outputs=_outputs(run, grid),
        limits=limits,
        zones=zones,
        golden=golden,
        golden_tolerance=tolerance,
        calibration=_calibration(run, pictures, instruction_sets),
        training=_training(run, options),
        metrics=dict(metrics),
        licences=run.licences,
        key_id="",
        detector=detector,
    )


def _outputs(run: Run, grid: tuple[int, int] | None) -> tuple[OutputSpec, ...]:
    spots = () if grid is None else spot_outputs(grid)
    return (
        OutputSpec("probabilities", (len(run.classes),)),
        OutputSpec("embedding", (EMBEDDING_SIZE,)),
        OutputSpec("novelty_score", ()),
        *spots,
    )


def spot_outputs(grid: tuple[int, int]) -> tuple[OutputSpec, ...]:
    """What a detector of strange spots adds; grid: (h, w) cells of its map."""
    return OutputSpec("anomaly_map", grid), OutputSpec("anomaly_score", ())


def built_at() -> str:
    """ISO 8601, UTC. SOURCE_DATE_EPOCH (seconds since 1970), where set, takes the clock's place: builds then repeat.

    Raises DeployError: it is no time. See https://reproducible-builds.org/specs/source-date-epoch/.
    """
    text = os.environ.get(SOURCE_DATE_EPOCH)
    try:
        when = datetime.now(UTC) if text is None else datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise DeployError(
            f"{SOURCE_DATE_EPOCH}={text!r} is no time: give whole seconds since 1970, or unset it"
        ) from exc
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def files_of(directory: Path) -> tuple[BundleFile, ...]:
    """Size and hash of each file, by name."""
    return tuple(
        BundleFile(file.name, file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(directory.iterdir())
    )


def _calibration(run: Run, pictures: Pictures, instruction_sets: Sequence[str]) -> CalibrationSpec:
    good = sum(picture.truth in run.acceptable for picture in pictures.val)
    return CalibrationSpec(
        cpu_model=cpu_model(),
        instruction_sets=tuple(instruction_sets),
        openvino_version=version("openvino"),
        nncf_version=version("nncf"),
        images_good=good,
        images_bad=len(pictures.val) - good,
        images_negative=len(pictures.negatives),
        groups=pictures.groups,
    )


def _training(run: Run, options: BuildOptions) -> TrainingSpec:
    return TrainingSpec(
        dataset_sha256=run.dataset.sha256,
        images=run.dataset.images,
        config=dict(run.config),
        git_commit=run.git_commit,
        initial_weights=run.initial_weights,
        no_negatives=options.no_negatives,
    )
