"""Everything in configs/*.toml: read once, typed, bounded, units in the key. Unknown keys are errors.

Relative paths are taken from the folder of the configuration file, wherever the program is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from inspector.camera_sections import CameraConfig
from inspector.config_rules import check, link_of
from inspector.count_section import CountsConfig
from inspector.link_sections import LinkConfig, PlcConfig
from inspector.office.section import ClassesConfig, ReviewConfig
from inspector.sections import (
    PACKAGED_DEMO,
    ArchiveConfig,
    BundleConfig,
    HealthConfig,
    LogConfig,
    ModelConfig,
    PathsConfig,
    RecipeConfig,
    Section,
    StationConfig,
    StoreConfig,
    TestConfig,
    WebConfig,
)
from inspector.toml_file import read_model
from inspector.upkeep.section import BackupConfig, UpkeepConfig

__all__ = ["PACKAGED_DEMO", "AppConfig", "load_config"]


class AppConfig(Section):
    """One box: its stations, their cameras and links, and one bundle for all."""

    paths: PathsConfig
    plc: PlcConfig
    stations: tuple[StationConfig, ...] = Field(min_length=1, max_length=8)
    camera: CameraConfig | None = Field(default=None, discriminator="kind", description="of a box with one")
    cameras: tuple[CameraConfig, ...] = Field(default=(), max_length=8)
    bundle: BundleConfig | None = None
    recipes: tuple[RecipeConfig, ...] = Field(default=(RecipeConfig(),), min_length=1, max_length=64)
    store: StoreConfig = StoreConfig()
    archive: ArchiveConfig = ArchiveConfig()
    counts: CountsConfig = CountsConfig()
    model: ModelConfig = ModelConfig()
    health: HealthConfig = HealthConfig()
    web: WebConfig = WebConfig()
    review: ReviewConfig = ReviewConfig()
    classes: ClassesConfig = ClassesConfig()
    upkeep: UpkeepConfig = UpkeepConfig()
    backup: BackupConfig = BackupConfig()
    log: LogConfig = LogConfig()
    test: TestConfig = TestConfig()

    @classmethod
    def load(cls, path: Path) -> AppConfig:
        """Read and check a configuration. Raises ConfigError that names the file, the line and what is wrong."""
        return read_model(path, cls)

    @property
    def station(self) -> StationConfig:
        """The first one."""
        return self.stations[0]

    @property
    def all_cameras(self) -> tuple[CameraConfig, ...]:
        return self.cameras if self.camera is None else (self.camera,)

    @property
    def faulty_camera(self) -> CameraConfig:
        """The one that [test] camera_faults are of."""
        return next((c for c in self.all_cameras if c.id == self.test.faulty_camera), self.camera_of(self.station))

    def camera_of(self, station: StationConfig) -> CameraConfig:
        return next(camera for camera in self.all_cameras if camera.id == station.cameras[0])

    def link_of(self, station: StationConfig) -> LinkConfig:
        """The link that it names; where there is one only, that."""
        return link_of(self.plc.links, station)

    def recipes_of(self, station: StationConfig) -> dict[int, RecipeConfig]:
        """By the number that the PLC knows; a station that names none has the first recipe as number 1."""
        by_name = {recipe.name: recipe for recipe in self.recipes}
        return {number: by_name[name] for number, name in station.recipes.items()} or {1: self.recipes[0]}

    @model_validator(mode="after")
    def _rules(self) -> Self:
        check(self)
        return self


def load_config(path: Path) -> AppConfig:
    """As AppConfig.load."""
    return AppConfig.load(path)
