"""What is judged and how: immutable revisions of a recipe, and what each comes to with a bundle.

A revision holds what a person chose; what was left open is the bundle's. Limits only move inside the range that the
bundle was signed with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from inspector.bundle.golden import limits_of
from inspector.core.errors import RecipeError
from inspector.core.manifest import LimitSpec, Manifest, ZoneLimits
from inspector.core.types import Image, Limits
from inspector.sections import RecipeConfig

Box = tuple[int, int, int, int]  # x, y, width, height in pixels


@dataclass(frozen=True, slots=True)
class ChosenLimits:
    """Limits that a recipe moves; None: as signed."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    min_confidence: float | None = None
    novelty_low: float | None = None
    novelty_high: float | None = None
    max_anomaly_score: float | None = None


@dataclass(frozen=True, slots=True)
class RecipeContent:
    """All that a revision fixes. "" and None: as in the bundle."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    product: str = ""
    roi: Box | None = None  # of the camera picture
    limits: ChosenLimits = ChosenLimits()
    zones: tuple[ZoneLimits, ...] | None = None  # boxes in the view
    camera: Mapping[str, float] = field(default_factory=dict)  # setting -> value, as the camera's driver counts it

    def to_json(self) -> str:
        """The same content gives the same text."""
        return _canonical(asdict(self))

    @staticmethod
    def from_json(text: str) -> RecipeContent:
        """Raises RecipeError: damaged, or written by another version."""
        try:
            return _CONTENT.validate_json(text, strict=True)
        except ValidationError as exc:
            raise RecipeError(f"not a recipe that this version reads: {exc.errors(include_url=False)[0]}") from exc


_CONTENT: TypeAdapter[RecipeContent] = TypeAdapter(RecipeContent)


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a recipe, kept for good. Revisions of a number count from 1 and never change."""

    number: int  # as the PLC knows the recipe
    revision: int
    content: RecipeContent
    created_utc_ms: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A revision with a bundle: what judges parts. Implements line.Recipe."""

    number: int  # 0: none
    name: str
    product: str
    revision: int
    roi: Box | None  # of the camera picture; None: all of it
    limits: Limits | None  # None: nothing judges (mode collect)
    zones: tuple[ZoneLimits, ...]
    camera: Mapping[str, float]

    def view(self, image: Image) -> Image:
        """A copy of what is judged. image: (H, W, 3) uint8 RGB."""
        if self.roi is None:
            return image.copy()
        x, y, width, height = self.roi
        return image[y : y + height, x : x + width].copy()


NO_RECIPE = Recipe(0, "", "", 0, None, None, (), {})


def content_of(section: RecipeConfig, camera: Mapping[str, float]) -> RecipeContent:
    """What a configuration chooses. camera: the settings that hold where the recipe has none of its own."""
    zones = section.zones
    return RecipeContent(
        name=section.name,
        product=section.product,
        roi=section.roi,
        limits=ChosenLimits(**section.limits.model_dump()),
        zones=None if zones is None else tuple(ZoneLimits(**zone.model_dump()) for zone in zones),
        camera={**camera, **section.camera},
    )


def recipe_of(revision: Revision, manifest: Manifest | None) -> Recipe:
    """What `revision` comes to with a bundle; None: there is none (mode collect).

    Raises RecipeError: another region, zone or limit than the bundle was signed for; the text names value and range.
    """
    chosen = revision.content
    if manifest is None:
        roi, limits, zones, product = chosen.roi, None, chosen.zones or (), chosen.product
    else:
        roi, limits = _roi(chosen.roi, manifest), _limits(chosen.limits, manifest)
        zones, product = _zones(chosen.zones, manifest), manifest.product
    return Recipe(
        revision.number, chosen.name, product, revision.revision, roi, limits, zones, dict(chosen.camera)
    )  # fmt: skip


def settings_of(recipe: Recipe, model_sha256: str) -> str:
    """All that decides over a part, as canonical JSON: recipe, limits, camera settings, model.

    Without the revision's number: who changes a setting and changes it back has the settings of before.
    model_sha256: of the bundle's manifest, which holds the hash of everything else in it; "" where nothing judges.
    """
    limits = recipe.limits
    found = asdict(recipe) | {"model": model_sha256}
    found["limits"] = None if limits is None else {**asdict(limits), "good_labels": sorted(limits.good_labels)}
    del found["revision"]
    return _canonical(found)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _roi(chosen: Box | None, manifest: Manifest) -> Box:
    """The region may move in the camera's picture and keeps its size: for that size the model was qualified."""
    view = manifest.view
    if chosen is None:
        return view.roi
    x, y, width, height = chosen
    if (width, height) != view.roi[2:]:
        qualified = f"{view.roi[2]} x {view.roi[3]}"
        raise RecipeError(f"roi is {width} x {height} pixels, {manifest.bundle_id} was qualified on {qualified}")
    if not (0 <= x <= view.camera_width - width and 0 <= y <= view.camera_height - height):
        picture = f"{view.camera_width} x {view.camera_height}"
        raise RecipeError(f"roi {list(chosen)} is not within the camera's picture of {picture} pixels")
    return chosen


def _zones(chosen: tuple[ZoneLimits, ...] | None, manifest: Manifest) -> tuple[ZoneLimits, ...]:
    """The signed zones always hold: a recipe narrows them or adds others. A dead lamp may make scores better."""
    zones = {zone.name: zone for zone in manifest.zones}
    _, _, width, height = manifest.view.roi
    for zone in chosen or ():
        x, y, w, h = zone.box
        if not (0 <= x < x + w <= width and 0 <= y < y + h <= height):
            raise RecipeError(f"zone {zone.name} {list(zone.box)} is not within the view of {width} x {height} pixels")
        if zone.name in zones:
            _narrowed(zone, zones[zone.name])
        zones[zone.name] = zone
    return tuple(zones.values())


def _narrowed(zone: ZoneLimits, signed: ZoneLimits) -> None:
    if zone.box != signed.box:
        raise RecipeError(f"zone {zone.name} is signed for {list(signed.box)}: give yours another name")
    for figure in ("brightness", "contrast", "sharpness"):
        (low, high), (least, most) = getattr(zone, figure), getattr(signed, figure)
        if not least <= low <= high <= most:
            text = f"{figure} {low} to {high} is not within {least} to {most}, for which the bundle is signed"
            raise RecipeError(f"zone {zone.name}: {text}")


def _limits(chosen: ChosenLimits, manifest: Manifest) -> Limits:
    signed, spec = limits_of(manifest), manifest.limits
    low = _moved("novelty_low", chosen.novelty_low, spec.novelty_low)
    high = _moved("novelty_high", chosen.novelty_high, spec.novelty_high)
    if not low < high:
        raise RecipeError(f"limits cross: novelty_low {low} is not below novelty_high {high}")
    anomaly = signed.max_anomaly_score
    if chosen.max_anomaly_score is not None:
        if spec.max_anomaly_score is None:
            raise RecipeError(f"limits.max_anomaly_score: {manifest.bundle_id} gives no anomaly score")
        anomaly = _moved("max_anomaly_score", chosen.max_anomaly_score, spec.max_anomaly_score)
    confidence = _moved("min_confidence", chosen.min_confidence, spec.min_confidence)
    return Limits(confidence, anomaly, (low, high), signed.good_labels)


def _moved(name: str, value: float | None, spec: LimitSpec) -> float:
    if value is None:
        return spec.default
    low, high = spec.allowed
    if not low <= value <= high:
        raise RecipeError(f"limits.{name} = {value} is outside {low} to {high}, for which the bundle is signed")
    return value
