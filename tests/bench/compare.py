"""What each detector is worth on the magnetic tiles, and how sure it is that one is better than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_deploy.patches import PatchConfig
from edge_deploy.pictures import Picture
from inspector.core.stats import auroc
from tests.bench.detectors import (
    NEIGHBOUR,
    NEIGHBOUR_LANDMARKS,
    PATCH_FP32,
    PATCH_INT8,
    PATCHCORE,
    POOLED,
    Found,
    Setting,
    fp32_detector,
    int8_detectors,
    keep,
    kept,
    patchcore_detector,
)
from tests.bench.localisation import au_pro, enlarged, paired_bootstrap, pixel_auroc

DETECTORS = (POOLED, PATCH_FP32, PATCH_INT8, NEIGHBOUR, NEIGHBOUR_LANDMARKS, PATCHCORE)
NOT_MEASURED = "not measured: make bench-peers"
GOOD = "good"
SUFFIXES = (".jpg", ".png", ".bmp")


@dataclass(frozen=True, slots=True)
class Pair:
    """`ours` is to be at least `bar_points` of image AUROC better than `other`; None: shown without a bar."""

    ours: str
    other: str
    bar_points: float | None


PAIRS = (
    Pair(PATCH_INT8, NEIGHBOUR, -0.5),
    Pair(PATCH_INT8, NEIGHBOUR_LANDMARKS, None),
    Pair(PATCH_INT8, POOLED, 5.0),
    Pair(PATCH_INT8, PATCH_FP32, -1.0),
    Pair(PATCH_INT8, PATCHCORE, None),  # its bar is that of `make bench-peers`
)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Of the test pictures, in order: what is strange (N,), on which pixels of the original, and of which tile."""

    strange: NDArray[np.bool_]
    masks: tuple[NDArray[np.bool_], ...]
    groups: tuple[str, ...]

    @classmethod
    def of(cls, pictures: Sequence[Picture], source: Path) -> Truth:
        """source: the set as it came, with ground_truth. Raises OSError: a mask is missing or cannot be read."""
        masks = tuple(_mask(picture, source) for picture in pictures)
        return cls(np.array([p.truth != GOOD for p in pictures]), masks, tuple(_group(p) for p in pictures))

    def figures(self, found: Found) -> dict[str, float | None]:
        """Shares 0..1; the heat maps are judged at the size of the original picture. None: the detector has none."""
        image = auroc(found.scores[~self.strange], found.scores[self.strange])
        if found.maps is None:
            return {"image_auroc": image, "pixel_auroc": None, "au_pro": None}
        maps = [enlarged(heat, mask.shape) for heat, mask in zip(found.maps, self.masks, strict=True)]
        return {
            "image_auroc": image,
            "pixel_auroc": pixel_auroc(maps, self.masks),
            "au_pro": au_pro(maps, self.masks),
        }

    def difference(self, pair: Pair, first: Found, second: Found, *, with_bar: bool) -> dict[str, Any]:
        """Points of image AUROC by which the pair's first is better, its 95 % interval by tile, and its bar."""
        found = paired_bootstrap(second.scores, first.scores, self.strange, self.groups)
        points = {name: 100 * value for name, value in asdict(found).items()}
        bar = pair.bar_points if with_bar else None
        met = None if bar is None else bool(points["value"] >= bar)
        return {"ours": pair.ours, "other": pair.other, **points, "bar": bar, "met": met}


def measure_int8(setting: Setting, source: Path, folder: Path) -> dict[str, Any]:
    found, sizes = int8_detectors(setting, PatchConfig())
    return {**sizes, "detectors": _measured(setting, found, source, folder)}


def measure_fp32(setting: Setting, source: Path, folder: Path) -> dict[str, Any]:
    return {"detectors": _measured(setting, fp32_detector(setting, PatchConfig()), source, folder)}


def measure_patchcore(setting: Setting, source: Path, folder: Path, python: Path, landmarks: int) -> dict[str, Any]:
    """Where its environment is missing the result says so, and asks to be made again the next time."""
    if not python.exists():
        return {"not_measured": NOT_MEASURED, "again": True}
    found, facts = patchcore_detector(setting, python, landmarks, folder / "patchcore")
    return {"peer": facts, "detectors": _measured(setting, found, source, folder)}


def compare(setting: Setting, source: Path, folder: Path, *, with_bars: bool) -> dict[str, Any]:
    """All pairs of which both were measured. Asks to be made again while PatchCore is missing."""
    truth = Truth.of(setting.pictures.test, source)
    found = {name: one for name in DETECTORS if (one := kept(name, folder)) is not None}
    differences = [
        truth.difference(pair, found[pair.ours], found[pair.other], with_bar=with_bars)
        for pair in PAIRS
        if pair.ours in found and pair.other in found
    ]
    tiles = len(set(truth.groups))
    return {"differences": differences, "tiles": tiles} | ({} if PATCHCORE in found else {"again": True})


def _measured(setting: Setting, found: dict[str, Found], source: Path, folder: Path) -> dict[str, Any]:
    keep(found, folder)
    truth = Truth.of(setting.pictures.test, source)
    return {name: truth.figures(one) for name, one in found.items()}


def _mask(picture: Picture, source: Path) -> NDArray[np.bool_]:
    """True on the defect, at the size of the picture as it came."""
    stem, kind = picture.file.stem, picture.truth
    if kind != GOOD:
        return _grey(source / "ground_truth" / kind / f"{stem}_mask.png") > 127
    files = [file for suffix in SUFFIXES if (file := source / "test" / kind / f"{stem}{suffix}").exists()]
    if not files:
        raise OSError(f"{source / 'test' / kind} holds no picture {stem}")
    return np.zeros(_grey(files[0]).shape, bool)


def _grey(file: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) if file.exists() else None
    if image is None:
        raise OSError(f"{file} is missing or no picture: pixel figures need the set's masks")
    return np.asarray(image, np.uint8)


def _group(picture: Picture) -> str:
    if not picture.group:
        raise ValueError(f"{picture.file} has no tile: the comparison needs groups.csv")
    return picture.group
