"""The sections of a configuration, one class each: units in the key, bounded; unknown keys are errors.

Those of links are in `link_sections`, of cameras in `camera_sections`, of one package in that package.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from inspector.camera_sections import check_settings
from inspector.core.types import Mode
from inspector.link_sections import BLOCKS
from inspector.section import FilePath, from_folder
from inspector.section import Section as Section
from inspector.toml_file import wrong_key

PACKAGED_DEMO = "demo"  # [bundle] file: the bundle that ships with the package
DEMO_BUNDLE = Path(__file__).parent / "demo" / "demo.bundle"
NOT_YET = "{} = {} is not supported yet; use {}"


class PathsConfig(Section):
    state: FilePath = Field(description="results.db, recipes, bundles, pictures: must survive a power cut")
    run: FilePath = Field(description="control socket and previews: may be lost")
    office: FilePath | None = Field(default=None, description="the page's: accounts, labels, its certificate")

    @property
    def office_folder(self) -> Path:
        """Left out: beside `state`, which the page may not write. What systemd makes for each has these names."""
        return self.office or self.state.with_name(self.state.name + "-web")


class StationConfig(Section):
    """One stream of triggers and verdicts, and its place in the PLC's memory."""

    id: str = Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$")
    mode: Mode = Mode.INSPECT
    number: int = Field(default=1, ge=1, le=8)
    link: str = Field(default="plc", description="name of one of [[plc.links]]")
    ctrl_base: int = Field(default=0, ge=0, le=65_535)
    stat_base: int = Field(default=20, ge=0, le=65_535)
    diag_base: int = Field(default=100, ge=0, le=65_535)
    ident_base: int = Field(default=140, ge=0, le=65_535)
    trigger: Literal["modbus", "hardware", "continuous"] = "modbus"
    max_trigger_age_ms: float = Field(default=50, gt=0, le=2000)
    stale_trigger: Literal["reject", "inspect"] = "reject"
    belt_mm_s: float | None = Field(default=None, ge=0, le=20_000, description="0: the part stands (indexed)")
    position_tolerance_mm: float | None = Field(default=None, gt=0, le=1000)
    deadline_ms: float = Field(default=150, gt=0, le=10_000)
    ack_timeout_ms: float = Field(default=10_000, ge=100, le=60_000)
    pipeline_depth: int = Field(default=1, ge=1, le=8)
    cameras: tuple[str, ...] = Field(default=("cam1",), min_length=1)
    recipes: dict[int, str] = Field(default_factory=dict, description="number that the PLC knows -> name")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        self._apart()
        if self.trigger != "modbus":
            raise wrong_key(NOT_YET.format("trigger", f'"{self.trigger}"', '"modbus"'), "trigger")
        if self.pipeline_depth > 1:
            raise wrong_key(NOT_YET.format("pipeline_depth", self.pipeline_depth, 1), "pipeline_depth")
        if self.stale_trigger == "inspect":
            if self.belt_mm_s != 0:
                text = '"inspect" is for parts that stand (belt_mm_s = 0): on a belt the part has moved on'
                raise wrong_key(text, "stale_trigger")
            raise wrong_key(NOT_YET.format("stale_trigger", '"inspect"', '"reject"'), "stale_trigger")
        if len(self.cameras) > 1:
            raise wrong_key("several cameras of one station are not supported yet; name one", "cameras")
        if not all(1 <= number <= 65_535 for number in self.recipes):
            raise wrong_key("numbers of recipes are 1 to 65535; 0 means none", "recipes")
        return self

    def _apart(self) -> None:
        spans = sorted((getattr(self, key), getattr(self, key) + size, key) for key, size in BLOCKS.items())
        for (_, end, one), (begin, _, two) in pairwise(spans):
            if begin < end:
                text = f"{one} and {two} overlap in the PLC's memory: {one} takes {BLOCKS[one]} registers"
                raise wrong_key(text, two)
        if spans[-1][1] > 65_536:
            raise wrong_key("the block ends beyond register 65535", spans[-1][2])


def _file_or_demo(text: str, info: ValidationInfo) -> str:
    return text if text == PACKAGED_DEMO else str(from_folder(Path(text), info))


def _key_or_file(text: str, info: ValidationInfo) -> str:
    return text if re.fullmatch("[0-9a-fA-F]{64}", text) else str(from_folder(Path(text), info))


class BundleConfig(Section):
    file: Annotated[str, Field(min_length=1, description='path of a .bundle, or "demo"'), AfterValidator(_file_or_demo)]
    trusted_keys: tuple[Annotated[str, AfterValidator(_key_or_file)], ...] = Field(
        min_length=1, description="64 hex digits, or the path of a public key's file"
    )
    revoked_keys: tuple[str, ...] = Field(default=(), description="ids, 16 hex digits")

    @property
    def path(self) -> Path:
        return DEMO_BUNDLE if self.file == PACKAGED_DEMO else Path(self.file)


Range = tuple[float, float]


class ZoneConfig(Section):
    """Light and focus of one zone of the view, two-sided; figures as `inspector camera grab` prints them."""

    name: str = Field(min_length=1, max_length=32)
    box: tuple[int, int, int, int] = Field(description="x, y, width, height in pixels of the view")
    brightness: Range
    contrast: Range
    sharpness: Range

    @model_validator(mode="after")
    def _rules(self) -> Self:
        _check_box(self.box, "box")
        for key in ("brightness", "contrast", "sharpness"):
            low, high = getattr(self, key)
            if not low <= high:
                raise wrong_key("write the lower limit first", key)
        return self


class LimitOverrides(Section):
    """Only inside the range that the bundle was signed with; left out: the bundle's own."""

    min_confidence: float | None = Field(default=None, ge=0, le=1)
    novelty_low: float | None = None
    novelty_high: float | None = None
    max_anomaly_score: float | None = None


class RecipeConfig(Section):
    name: str = Field(default="default", min_length=1, max_length=64)
    product: str = Field(default="", max_length=64, description="left out: the bundle's")
    roi: tuple[int, int, int, int] | None = Field(default=None, description="left out: the bundle's")
    camera: dict[str, float] = Field(default_factory=dict, description="camera settings of this recipe")
    limits: LimitOverrides = LimitOverrides()
    zones: tuple[ZoneConfig, ...] | None = Field(default=None, description="beside the bundle's, or narrower")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.roi is not None:
            _check_box(self.roi, "roi")
        check_settings(self.camera, "camera")
        return self


class ArchiveConfig(Section):
    """Pictures; they give way before anything else does."""

    max_gb: float = Field(default=50, gt=0, le=100_000)
    min_free_gb: float = Field(default=1, ge=0.1, le=10_000, description="the floor: below it no picture is written")
    begin_free_gb: float | None = Field(
        default=None, le=10_000, description="less free: pictures give way; left out: by min_free_gb and the disk"
    )
    stop_free_gb: float | None = Field(default=None, le=10_000, description="until so much is free")
    sample_gb: float = Field(default=2, ge=0, le=10_000, description="room that only sampled passes may take")
    pass_share: float = Field(default=0.02, ge=0, le=1)
    set_aside_days: float = Field(default=30, ge=1, le=3650, description="pictures without a row are kept so long")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if (self.begin_free_gb is None) != (self.stop_free_gb is None):
            raise wrong_key("begin_free_gb and stop_free_gb belong together; write both or none", "begin_free_gb")
        if self.begin_free_gb is not None and not self.begin_free_gb > self.min_free_gb:
            raise wrong_key("must be above min_free_gb, or pictures end before others give way", "begin_free_gb")
        if not (self.stop_free_gb or 0) >= (self.begin_free_gb or 0):
            raise wrong_key("must not be below begin_free_gb", "stop_free_gb")
        return self


class StoreConfig(Section):
    min_free_mb: float = Field(default=64, ge=16, le=100_000, description="below it no part is accepted")


class ModelConfig(Section):
    threads: int = Field(default=2, ge=1, le=64)


class HealthConfig(Section):
    max_age_s: float = Field(default=2, ge=1, le=10, description="a part not seen working for so long: not READY")
    hang_after_s: float = Field(default=3, ge=2, le=10, description="a thread without a full turn: the process ends")


class WebConfig(Section):
    """The page, a process of its own (`inspector web`): on loopback unless said otherwise; log-in never without TLS."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65_535)
    allow_remote_view: bool = Field(default=False, description="anyone who reaches `host` may look, without log-in")
    view: Literal["anyone", "logged_in"] | None = Field(default=None, description="who sees line, history, pictures")
    pictures: Literal["anyone", "logged_in"] = Field(
        default="anyone", description="who sees pictures of parts, of those who see the line"
    )
    names: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = Field(
        default=(), max_length=16, description="host names that a proxy on this box serves the page under"
    )
    tls: bool = Field(default=False, description="https; without `certificate`, with one that the box makes itself")
    certificate: FilePath | None = Field(default=None, description="PEM, with its chain")
    key: FilePath | None = Field(default=None, description="PEM, not encrypted")
    idle_min: float = Field(default=30, ge=1, le=1440, description="a log-in ends after so long without a request")
    session_h: float = Field(default=12, ge=0.1, le=168, description="and after so long in any case")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise wrong_key("certificate and key belong together; write both or none", "certificate")
        if self.certificate is not None and not self.tls:
            raise wrong_key("is not used without tls = true", "certificate")
        return self


class LogConfig(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class TestConfig(Section):
    """Only tests set this: where to break a cycle on purpose."""

    failpoints: dict[str, str] = Field(default_factory=dict)
    camera_faults: tuple[str, ...] = Field(default=(), description="of the rendered camera; each grab takes one")
    faulty_camera: str = Field(default="", description="id; left out: the first station's")


def _check_box(box: tuple[int, int, int, int], key: str) -> None:
    x, y, width, height = box
    if not (x >= 0 and y >= 0 and width >= 1 and height >= 1):
        raise wrong_key("is x, y, width, height: x and y from 0, width and height from 1", key)
