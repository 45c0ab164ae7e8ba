"""Public pictures brought to one size each, as one camera would give them, under the run's own folder.

The originals are read only; no picture of these sets is ever part of the repository.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.views import read_image

TABLE = "groups.csv"


@dataclass(frozen=True, slots=True)
class PictureSet:
    """size: height and width in pixels to which every picture is brought; the network's input is `network` square."""

    name: str
    size: tuple[int, int]
    network: int
    acceptable: tuple[str, ...]
    licence: str


STEEL = PictureSet("xsdd", (128, 128), 128, ("red_iron", "iron_sheet_ash"), "Apache-2.0")
TILE = PictureSet("magnetic_tile", (256, 256), 224, ("good",), "NOASSERTION")


def prepare(source: Path, target: Path, pictures: PictureSet) -> dict[str, int]:
    """Write PNGs of one size, the class map and the groups; returns the number of pictures per split."""
    counts: dict[str, int] = {}
    for split in ("train", "val", "test"):
        files = sorted((source / split).glob("*/*")) if (source / split).is_dir() else []
        for file in files:
            _write(file, target / split / file.parent.name / f"{file.stem}.png", pictures.size)
        if files:
            counts[split] = len(files)
    taught = sorted(folder.name for folder in (target / "train").iterdir())
    entries = [{"id": i, "name": name, "acceptable": name in pictures.acceptable} for i, name in enumerate(taught)]
    (target / "classes.json").write_text(json.dumps(entries, indent=2), encoding="utf-8")
    if (source / TABLE).exists():
        _write_groups(source / TABLE, target / TABLE)
    return counts


def _write(source: Path, target: Path, size: tuple[int, int]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    image = read_image(source)
    if image.shape[:2] != size:
        shrinks = image.shape[0] * image.shape[1] > size[0] * size[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, size[::-1], interpolation=how), np.uint8)
    if not cv2.imwrite(str(target), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{target} cannot be written")


def _write_groups(source: Path, target: Path) -> None:
    with source.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [rows[0], *([Path(name).with_suffix(".png").as_posix(), lot] for name, lot in rows[1:])]
        )
