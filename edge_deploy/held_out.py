"""Pictures that nothing was fitted on: found in a folder, and sorted for the calibration."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_deploy.calibrate import Calibrated, CalibrationConfig, Groups, calibrate
from edge_deploy.errors import DeployError
from edge_deploy.pictures import NEGATIVES, Picture, Pictures, negatives_in, pictures_in
from inspector.core.manifest import ViewSpec
from inspector.core.types import Prediction
from training.split import groups_by

SPLIT_FOLDERS = {"train", "val", "test"}
NOT_KINDS = {NEGATIVES, "ground_truth"}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """pictures.val: good parts and defects. lots: of each of them, None where not told; grouped: `group` counts."""

    pictures: Pictures
    lots: tuple[str, ...] | None
    grouped: bool


def load_held_out(
    data: Path, acceptable: frozenset[str], view: ViewSpec, group_by: str | None, lots_by: str | None
) -> HeldOut:
    """DATA/<class or kind of defect>/*.png, and DATA/negatives/<kind>/* where there are any.

    group_by, lots_by: a CSV file or a regular expression, as in training. Pictures with the same bytes count once in
    any case. Raises DeployError, DataError: what to put where.
    """
    if not data.is_dir():
        raise DeployError(f"{data} is not a folder")
    kinds = sorted(entry for entry in data.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = {kind.name for kind in kinds}
    if "train" in names:
        raise DeployError(
            f"{data} holds what a network was trained on: give the held-out folder alone, e.g. {data}/test"
        )
    if names & SPLIT_FOLDERS:
        raise DeployError(f"{data} holds splits: give one of them, e.g. {data / sorted(names & SPLIT_FOLDERS)[0]}")
    if not names & acceptable:
        raise DeployError(
            f"{data} holds no good parts: expected folders by what the pictures show, with at least one of "
            f"{', '.join(sorted(acceptable))}, e.g. {data / min(acceptable)}/*.png"
        )
    files = [(file, kind.name) for kind in kinds if kind.name not in NOT_KINDS for file in pictures_in(kind)]
    paths = [file.relative_to(data).as_posix() for file, _ in files]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file, _ in files]
    groups = groups_by(group_by, paths, hashes)
    found = tuple(Picture(file, kind, group) for (file, kind), group in zip(files, groups, strict=True))
    return HeldOut(
        pictures=Pictures(
            train=(),
            val=found,
            test=(),
            negatives=negatives_in(data / NEGATIVES),
            camera=(view.camera_height, view.camera_width),
            roi=view.roi,
            groups=len(set(groups)) if len(set(groups)) < len(groups) else None,
        ),
        lots=None if lots_by is None else groups_by(lots_by, paths, hashes),
        grouped=group_by is not None or lots_by is not None or len(set(groups)) < len(groups),
    )


def calibrate_on(
    which: Sequence[Picture],
    found: Sequence[Prediction],
    negatives: Mapping[str, Sequence[Prediction]],
    good_labels: frozenset[str],
    cfg: CalibrationConfig,
    *,
    grouped: bool,
    lots: Sequence[str] | None = None,
) -> Calibrated:
    """calibrate(), with pictures sorted by what they show. grouped: pictures of one group count as one."""
    good = [i for i, picture in enumerate(which) if picture.truth in good_labels]
    defects: dict[str, list[int]] = defaultdict(list)
    for i, picture in enumerate(which):
        if picture.truth not in good_labels:
            defects[picture.truth].append(i)
    groups = Groups(
        good=[which[i].group for i in good],
        defects={kind: [which[i].group for i in of_kind] for kind, of_kind in defects.items()},
        lots=None if lots is None else [lots[i] for i in good],
    )
    return calibrate(
        [found[i] for i in good],
        negatives,
        good_labels,
        cfg,
        defects={kind: [found[i] for i in of_kind] for kind, of_kind in defects.items()},
        groups=groups if grouped else None,
    )
