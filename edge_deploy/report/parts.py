"""What a bundle's report shows. What is optional is empty where a build does not have it, and its section says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_deploy.golden import Selection
from edge_deploy.hidden import HiddenTrial
from edge_deploy.qualify import Qualification
from inspector.core.manifest import Manifest
from inspector.core.types import Image, Prediction

Level = Literal["stop", "look", "note"]  # must not be approved; a person must accept it; good to know
Kind = Literal["hit", "miss", "false alarm", "pass"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person must know before approving; title in a few words."""

    level: Level
    title: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class DataRow:
    """One class, or a kind that occurs in test only. Both mappings: split -> count."""

    label: str
    acceptable: bool
    pictures: Mapping[str, int]
    groups: Mapping[str, int]  # parts or lots that these pictures show


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """One test picture and what was said of it. anomaly_map: (h, w), higher is stranger; None: this bundle has none."""

    view: Image
    anomaly_map: NDArray[np.float32] | None
    kind: Kind
    score: float  # of the strangest spot; of the whole picture where there is no map
    truth: str
    said: str = ""  # verdict and reason
    file: str = ""  # class folder and name, for a person to find it


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture for a person to confirm."""

    picture: Image
    caption: str


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One comparison between two forms of the model. value and limit: numbers, or words with their unit."""

    name: str
    value: float | str
    limit: float | str
    ok: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """One picture at a time, on the machine that built the bundle."""

    stage: str
    p50_ms: float
    p99_ms: float
    pictures: int


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What the page shows.

    sizes: square root of the defect's area per test picture, None where unknown. independent: nothing was fitted, tuned
    or set on the test pictures. targets: promise name -> share asked for, {} for an aim. history: a line an
    epoch, as in history.json; figures that are not known are left alone. isolated: landmarks of normality with the
    least support. highest: good calibration pictures with the highest scores.
    """

    manifest: Manifest
    qualification: Qualification
    calibration: tuple[Prediction, ...]
    calibration_truths: tuple[str, ...]
    negatives: Mapping[str, tuple[Prediction, ...] | list[Prediction]]
    notes: tuple[str, ...]
    selection: Selection
    thumbnails: tuple[Image, ...]
    sizes: tuple[float | None, ...] | None
    independent: bool = True
    parent: str = ""  # id of the bundle that was only given other limits, or spots; "" for a build
    spots: bool = False  # `parent` was given a detector of strange spots
    hidden: tuple[HiddenTrial, ...] = ()  # empty: not tried
    findings: tuple[Finding, ...] = ()
    targets: Mapping[str, float] = field(default_factory=dict)
    data: tuple[DataRow, ...] = ()
    history: tuple[Mapping[str, float], ...] = ()
    heat_maps: tuple[HeatMap, ...] = ()
    isolated: tuple[Shown, ...] = ()
    highest: tuple[Shown, ...] = ()
    parity: tuple[ParityRow, ...] = ()
    timings: tuple[Timing, ...] = ()

    @property
    def shown(self) -> str:
        """What the pictures that measure are called."""
        return "held-out" if self.parent else "test"
