"""The bundle's manifest: what a signed model says of itself. Final format, schema 1.

Plain frozen dataclasses; `inspector.bundle.verify` parses and checks them after the signature; unknown keys are errors.
A bundle is an uncompressed tar with flat names: manifest.json, manifest.sig (Ed25519 over manifest.json's bytes),
model.xml, model.bin, golden_*.png. Optional parts of the format are None here until a bundle carries them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1
_STRICT = {"extra": "forbid", "allow_inf_nan": False}  # read by pydantic's TypeAdapter


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of the tar, other than manifest.json and manifest.sig."""

    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class ClassEntry:
    id: int  # index into `probabilities`
    name: str
    acceptable: bool  # a part of this class may pass


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the IR takes: the recipe's view, any size, u8 NHWC RGB; resize and normalisation are inside the IR."""

    network_height: int
    network_width: int
    layout: Literal["NHWC"]
    dtype: Literal["u8"]
    color: Literal["RGB"]


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """The camera picture and region that the bundle was qualified on; a recipe for another shape is refused."""

    camera_width: int
    camera_height: int
    roi: tuple[int, int, int, int]  # x, y, width, height in camera pixels


@dataclass(frozen=True, slots=True)
class OutputSpec:
    name: Literal["probabilities", "embedding", "novelty_score", "anomaly_score", "anomaly_map"]
    shape: tuple[int, ...]  # without the batch


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One limit: what it is, and how far a recipe may move it."""

    default: float
    allowed: tuple[float, float]


@dataclass(frozen=True, slots=True)
class BoundSpec:
    """One promise with what the data supports, e.g. overkill of the whole decision."""

    name: str  # overkill, not_inspected, escape:<class>, negatives ...
    failures: int
    of: int
    upper_95: float  # one-sided Clopper-Pearson


@dataclass(frozen=True, slots=True)
class PromiseSpec:
    """How the limits were chosen, and what that is worth on the very pictures they were chosen on."""

    rule: Literal["aim", "overkill", "escape", "cost"]  # aim: a share on average; nothing was promised
    value: float  # the share, 0..1; of a cost: how many overkills one escape is worth
    unit: Literal["picture", "group"]  # what is counted: a group is lost with its first picture that is rejected
    bounds: tuple[BoundSpec, ...]  # overkill, not_inspected, escape; of a cost they hold together
    lots: int | None  # how many the good pictures are from; None: not known
    left_out: float | None  # share of good parts that limits reject which were set without their lot
    median_lot_upper_95: float | None  # half of all lots lose at most this share; None below 5 lots


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    min_confidence: LimitSpec
    novelty_low: LimitSpec
    novelty_high: LimitSpec
    max_anomaly_score: LimitSpec | None
    novelty_median: float  # of the calibration's good parts
    anomaly_median: float | None  # m of the contract's ANOMALY scaling
    chosen_by: str  # the rule in words: "overkill 0.5 %"
    bounds: tuple[BoundSpec, ...]
    promise: PromiseSpec | None = None  # None: none was made, or the bundle is from before there was one


@dataclass(frozen=True, slots=True)
class ZoneLimits:
    """Qualified light and focus of one named zone of the view; two-sided (a dead lamp may make scores better)."""

    name: str
    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the view
    brightness: tuple[float, float]  # mean of the grey values, 0..255
    contrast: tuple[float, float]  # standard deviation of the grey values
    sharpness: tuple[float, float]  # variance of the Laplacian


@dataclass(frozen=True, slots=True)
class Expected:
    """What a golden picture must give on the box."""

    verdict: int
    reason: int
    label: str
    confidence: float
    novelty_score: float
    anomaly_score: float | None


@dataclass(frozen=True, slots=True)
class Golden:
    """A camera picture (before the ROI) whose truth is known."""

    file: str
    role: Literal["good", "defect", "negative"]
    truth: str  # class name, or what the negative shows
    expected: Expected


@dataclass(frozen=True, slots=True)
class GoldenTolerance:
    """How far scores may drift from the expected on another machine before it is refused; flips are never allowed."""

    confidence: float  # absolute
    novelty_score: float  # absolute
    anomaly_score: float | None


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What finds the unknown, and how it was fitted. patch: single spots and the whole part; pooled: the whole part."""

    detector: Literal["patch", "pooled"]
    taps: tuple[str, ...]  # stages of the network whose features it reads
    directions: int  # principal directions d
    landmarks: int  # M, as many as there are in the graph
    kappa: float  # sharpness of the kernel
    nu: float  # of the One-Class SVM
    pooling: str  # how the score comes from the cells: "max", "mean of the 3 highest"; of a pooled one: "mean"
    seed: int
    config: Mapping[str, str]  # every setting of the fit, as text


@dataclass(frozen=True, slots=True)
class CalibrationSpec:
    """Where the limits come from; bound to the instruction sets it was qualified for."""

    cpu_model: str
    instruction_sets: tuple[str, ...]  # any of these may run it: "avx2", "avx512_vnni"
    openvino_version: str
    nncf_version: str
    images_good: int
    images_bad: int
    images_negative: int
    groups: int | None  # lots or part groups the good images came from; None: not grouped


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    dataset_sha256: str  # over the sorted (sha256, label, split) rows
    images: int
    config: Mapping[str, str]  # as text; what the run was started with
    git_commit: str
    initial_weights: str
    no_negatives: bool  # built with --no-negatives: shown in report and on the page


@dataclass(frozen=True, slots=True)
class Licence:
    what: str
    licence: str  # SPDX identifier
    source: str


@dataclass(frozen=True, slots=True)
class Manifest:
    schema_version: Literal[1]
    product: str
    version: int  # only grows, per product
    created_utc: str  # ISO 8601
    parents: tuple[str, ...]  # bundle ids it was built from
    files: tuple[BundleFile, ...]
    classes: tuple[ClassEntry, ...]
    input: InputSpec
    view: ViewSpec
    outputs: tuple[OutputSpec, ...]
    limits: LimitsSpec
    zones: tuple[ZoneLimits, ...]
    golden: tuple[Golden, ...]
    golden_tolerance: GoldenTolerance
    calibration: CalibrationSpec
    training: TrainingSpec
    metrics: Mapping[str, float]
    licences: tuple[Licence, ...]
    key_id: str  # first 16 hex digits of the SHA-256 of the public key that approves it
    detector: DetectorSpec | None = None  # None: a bundle from before there was a choice, pooled

    @property
    def bundle_id(self) -> str:
        """Readable and unique: product, version, and the hash of the model's weights."""
        weights = next(f.sha256 for f in self.files if f.name == "model.bin")
        return f"{self.product}-{self.version}-{weights[:8]}"


for _cls in (
    BundleFile, ClassEntry, InputSpec, ViewSpec, OutputSpec, LimitSpec, BoundSpec, PromiseSpec, LimitsSpec, ZoneLimits,
    Expected, Golden, GoldenTolerance, DetectorSpec, CalibrationSpec, TrainingSpec, Licence, Manifest,
):  # fmt: skip
    setattr(_cls, "__pydantic_config__", _STRICT)  # noqa: B010 - the class has no such attribute to type
