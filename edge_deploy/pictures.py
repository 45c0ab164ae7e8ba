"""The pictures a bundle is built from: the run's own splits, and the negatives beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_deploy.errors import DeployError
from inspector.core.types import Image
from inspector.pictures import FORMATS, SUFFIXES
from training.runs import Split, SplitRow
from training.views import Roi, cut, read_image

NEGATIVES = "negatives"
MOST_NAMED = 12  # files in one error


@dataclass(frozen=True, slots=True)
class Picture:
    """One full camera picture. truth: its class, or what a negative shows. group: its part or lot, "" where unknown."""

    file: Path
    truth: str
    group: str = ""

    @property
    def unit(self) -> str:
        """What it counts as: its part or lot; where that is unknown, itself."""
        return self.group or str(self.file)


@dataclass(frozen=True, slots=True)
class Pictures:
    """All pictures of a build, by use. They have one size; `roi` is what is judged."""

    train: tuple[Picture, ...]
    val: tuple[Picture, ...]
    test: tuple[Picture, ...]
    negatives: tuple[Picture, ...]
    camera: tuple[int, int]  # height, width in pixels
    roi: Roi
    groups: int | None  # lots or part groups of the calibration's pictures; None: not grouped

    def camera_picture(self, picture: Picture) -> Image:
        """(H, W, 3) uint8 RGB. Raises DeployError: of another size than the others."""
        image = read_image(picture.file)
        if image.shape[:2] != self.camera:
            raise DeployError(
                f"{picture.file} is {image.shape[1]} x {image.shape[0]} pixels, the others are "
                f"{self.camera[1]} x {self.camera[0]}: one bundle is for one camera size; resize or leave out"
            )
        return image

    def view(self, picture: Picture) -> Image:
        """The ROI of the picture: (h, w, 3) uint8 RGB, contiguous."""
        return np.ascontiguousarray(cut(self.camera_picture(picture), self.roi, str(picture.file)))


def load_pictures(data: Path, rows: Sequence[SplitRow], roi: Roi | None) -> Pictures:
    """Find and check the run's pictures under `data`. Raises DeployError: missing, changed, or none to calibrate on."""
    for row in rows:
        _check_unchanged(data / row.path, row.sha256)

    def of(split: Split) -> tuple[Picture, ...]:
        return tuple(Picture(data / row.path, row.label, row.group) for row in rows if row.split == split)

    train, val, test = of("train"), of("val"), of("test")
    if not train or not val:
        raise DeployError("the run's splits.csv names no train or no val pictures: there is nothing to calibrate on")
    height, width = read_image(train[0].file).shape[:2]
    held_out = [row for row in rows if row.split == "val"]
    groups = {row.group for row in held_out}
    return Pictures(
        train=train,
        val=val,
        test=test,
        negatives=negatives_in(data / NEGATIVES),
        camera=(height, width),
        roi=roi or (0, 0, width, height),
        groups=len(groups) if len(groups) < len(held_out) else None,
    )


def _check_unchanged(file: Path, sha256: str) -> None:
    if not file.is_file():
        raise DeployError(f"{file} is missing: --data must be the folder that the run was trained on")
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise DeployError(f"{file} is not the picture that the run was trained on: it has changed since")


def negatives_in(folder: Path) -> tuple[Picture, ...]:
    """FOLDER/<kind>/*, by kind; () where there is no such folder. Raises DeployError: something else lies there."""
    if not folder.is_dir():
        return ()
    kinds = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    loose = [entry for entry in kinds if not entry.is_dir()]
    if loose:
        raise DeployError(f"{loose[0]} lies beside the kinds of negatives: put it into a folder by what it shows")
    return tuple(Picture(file, kind.name) for kind in kinds for file in pictures_in(kind))


def names_of(negatives: Sequence[Picture], which: Mapping[str, Sequence[int]]) -> str:
    """`which` of each kind, counted from 0 among its own, as kind/file; no more of them than a person reads."""
    files = {kind: [p.file.name for p in negatives if p.truth == kind] for kind in which}
    named = [f"{kind}/{files[kind][i]}" for kind, numbers in which.items() for i in numbers]
    return ", ".join(named[:MOST_NAMED]) + (f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else "")


def pictures_in(folder: Path) -> list[Path]:
    """By name. Raises DeployError: it holds none, or something else, which would be left out in silence."""
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    odd = [file for file in files if not file.is_file() or file.suffix.lower() not in SUFFIXES]
    if odd:
        raise DeployError(f"{odd[0]} is no {FORMATS} picture: remove it from the folder")
    if not files:
        raise DeployError(f"{folder} is empty: put pictures of {folder.name!r} there, or remove the folder")
    return files
