"""Everything in configs/*.toml: read once, typed, bounded, units in the key. Unknown keys are errors.

Relative paths are taken from the folder of the configuration file, wherever the program is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from inspector.core.types import Mode
from inspector.sections import (
    PACKAGED_DEMO,
    ArchiveConfig,
    BundleConfig,
    CameraConfig,
    HealthConfig,
    LinkConfig,
    LogConfig,
    ModelConfig,
    PathsConfig,
    PlcConfig,
    RecipeConfig,
    Section,
    StationConfig,
    StoreConfig,
    TestConfig,
    WebConfig,
)
from inspector.toml_file import read_model, wrong_key

__all__ = ["PACKAGED_DEMO", "AppConfig", "load_config"]


class AppConfig(Section):
    """One station on one link."""

    paths: PathsConfig
    plc: PlcConfig
    stations: tuple[StationConfig, ...] = Field(min_length=1)
    camera: CameraConfig
    bundle: BundleConfig | None = None
    recipes: tuple[RecipeConfig, ...] = (RecipeConfig(),)
    store: StoreConfig = StoreConfig()
    archive: ArchiveConfig = ArchiveConfig()
    model: ModelConfig = ModelConfig()
    health: HealthConfig = HealthConfig()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()
    test: TestConfig = TestConfig()

    @classmethod
    def load(cls, path: Path) -> AppConfig:
        """Read and check a configuration. Raises ConfigError that names the file, the line and what is wrong."""
        return read_model(path, cls)

    @property
    def station(self) -> StationConfig:
        return self.stations[0]

    @property
    def link(self) -> LinkConfig:
        return self.plc.links[0]

    @property
    def recipe_number(self) -> int:
        """The number by which the PLC knows the recipe; 1 where [[stations]] gives none."""
        return next(iter(self.station.recipes), 1)

    @property
    def recipe(self) -> RecipeConfig:
        return self.recipes[0]

    @model_validator(mode="after")
    def _rules(self) -> Self:
        self._only_one()
        self._names()
        self._times()
        if self.bundle is None and self.station.mode is not Mode.COLLECT:
            text = f'"{self.station.mode}" needs a [bundle]; an empty box starts with mode = "collect"'
            raise wrong_key(text, "stations", 0, "mode")
        if self.test.camera_faults and self.camera.kind != "rendered":
            raise wrong_key("only the rendered camera fails on demand", "test", "camera_faults")
        return self

    def _only_one(self) -> None:
        if len(self.stations) > 1:
            raise wrong_key("several stations are not supported yet; run one box, one station", "stations", 1)
        if len(self.plc.links) > 1:
            raise wrong_key("several links are not supported yet; keep one", "plc", "links", 1)
        if len(self.recipes) != 1:
            raise wrong_key("several recipes are not supported yet; keep one", "recipes", 1)

    def _names(self) -> None:
        st = self.station
        if "link" in st.model_fields_set and st.link != self.link.name:
            text = f"there is no link {st.link!r}; [[plc.links]] has {self.link.name!r}"
            raise wrong_key(text, "stations", 0, "link")
        if st.cameras != (self.camera.id,):
            text = f"there is no camera {st.cameras[0]!r}; [camera] has id = {self.camera.id!r}"
            raise wrong_key(text, "stations", 0, "cameras")
        if any(name != self.recipe.name for name in st.recipes.values()):
            text = f"there is no such recipe; [[recipes]] has {self.recipe.name!r}"
            raise wrong_key(text, "stations", 0, "recipes")
        if self.recipe.camera and self.camera.kind != "opencv":
            raise wrong_key("only an opencv camera takes settings from a recipe", "recipes", 0, "camera")

    def _times(self) -> None:
        st, age_key = self.station, ("stations", 0, "max_trigger_age_ms")
        if st.max_trigger_age_ms < 2 * self.link.poll_ms:
            text = f"must be at least 2 x poll_ms = {2 * self.link.poll_ms:g}, or no trigger would ever be fresh"
            raise wrong_key(text, *age_key)
        if self.camera.grab_timeout_ms >= st.deadline_ms:
            text = f"must be below deadline_ms = {st.deadline_ms:g}, or a late frame leaves no time to answer"
            raise wrong_key(text, "camera", "grab_timeout_ms")
        if st.belt_mm_s is not None and st.position_tolerance_mm is not None:
            exposure_us = getattr(self.camera, "exposure_us", 0)
            moved_mm = st.belt_mm_s * (st.max_trigger_age_ms / 1e3 + exposure_us / 1e6)
            if moved_mm > st.position_tolerance_mm:
                text = (
                    f"the part moves {moved_mm:.1f} mm within max_trigger_age_ms and the exposure, more than "
                    f"position_tolerance_mm = {st.position_tolerance_mm:g}: shorten them, or slow down"
                )
                raise wrong_key(text, *age_key)


def load_config(path: Path) -> AppConfig:
    """As AppConfig.load."""
    return AppConfig.load(path)
