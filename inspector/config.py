"""Everything in configs/*.toml: read once, typed, bounded, units in the key. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inspector.core.errors import ConfigError
from inspector.core.types import Mode

MAX_BYTES = 256 * 1024
PACKAGED_DEMO = "demo"  # [bundle] file: the bundle that ships with the package


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PathsConfig(_Section):
    """Relative paths are taken from the folder that the program is started in."""

    state: Path = Field(description="results.db and bundles: must survive a power cut")
    run: Path = Field(description="control socket and previews: may be lost")


class PlcConfig(_Section):
    """The link and the station's place in the PLC's memory (client direction)."""

    host: str
    port: int = Field(default=502, ge=1, le=65535)
    unit_id: int = Field(default=1, ge=0, le=255)
    word_order: Literal["big", "little"] = "big"
    poll_ms: float = Field(default=5, ge=1, le=100)
    armed_poll_ms: float = Field(default=2, ge=1, le=100)
    request_timeout_ms: float = Field(default=250, ge=10, le=5000)
    heartbeat_ms: float = Field(default=100, ge=20, le=1000)
    heartbeat_timeout_ms: float = Field(default=500, ge=60, le=10_000)
    ctrl_base: int = Field(default=0, ge=0, le=65_000)
    stat_base: int = Field(default=20, ge=0, le=65_000)
    diag_base: int = Field(default=100, ge=0, le=65_000)
    ident_base: int = Field(default=140, ge=0, le=65_000)

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.heartbeat_timeout_ms < 3 * self.heartbeat_ms:
            raise ValueError("heartbeat_timeout_ms must be at least 3 x heartbeat_ms: one late beat is no dead PLC")
        blocks = {"ctrl": (self.ctrl_base, 20), "stat": (self.stat_base, 44),
                  "diag": (self.diag_base, 40), "ident": (self.ident_base, 30)}  # fmt: skip
        spans = sorted((base, base + size, name) for name, (base, size) in blocks.items())
        for (_, end, one), (begin, _, two) in pairwise(spans):
            if begin < end:
                raise ValueError(f"{one}_base and {two}_base overlap in the PLC's memory")
        return self


class StationConfig(_Section):
    id: str = Field(min_length=1, max_length=32)
    number: int = Field(default=1, ge=1, le=8)
    mode: Mode = Mode.INSPECT
    deadline_ms: float = Field(default=150, gt=0, le=10_000)
    max_trigger_age_ms: float = Field(default=50, gt=0, le=2000)
    ack_timeout_ms: float = Field(default=10_000, ge=100, le=60_000)
    recipe: int = Field(default=1, ge=1, le=65_535)


class CameraConfig(_Section):
    kind: Literal["rendered"] = "rendered"
    grab_timeout_ms: float = Field(default=100, gt=0, le=10_000)
    exposure_us: int = Field(default=500, gt=0, le=100_000)


class BundleConfig(_Section):
    file: str
    trusted_keys: tuple[str, ...] = Field(min_length=1)


class ModelConfig(_Section):
    threads: int = Field(default=2, ge=1, le=64)


class WebConfig(_Section):
    """The operator's page, a process of its own (`inspector web`). It has no log-in: loopback unless said otherwise."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65_535)
    allow_remote_view: bool = Field(default=False, description="anyone who reaches `host` may look")


class TestConfig(_Section):
    """Only tests set this: where to break a cycle on purpose."""

    failpoints: dict[str, str] = Field(default_factory=dict)


class AppConfig(_Section):
    """One station on one link."""

    paths: PathsConfig
    plc: PlcConfig
    station: StationConfig
    camera: CameraConfig = CameraConfig()
    bundle: BundleConfig | None = None
    model: ModelConfig = ModelConfig()
    web: WebConfig = WebConfig()
    test: TestConfig = TestConfig()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.station.max_trigger_age_ms < 2 * self.plc.poll_ms:
            raise ValueError("max_trigger_age_ms must be at least 2 x poll_ms, or no trigger would ever be fresh")
        if self.camera.grab_timeout_ms >= self.station.deadline_ms:
            raise ValueError("grab_timeout_ms must be below deadline_ms, or a late frame leaves no time to answer")
        if self.bundle is None and self.station.mode is not Mode.COLLECT:
            raise ValueError(f'mode "{self.station.mode}" needs a [bundle]; an empty box starts with mode = "collect"')
        return self


def load_config(path: Path) -> AppConfig:
    """Read and check a configuration. Raises ConfigError that names the file, the line and what is wrong."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024} KiB, so not one of ours")
        text = raw.decode("utf-8")
        return AppConfig.model_validate(tomllib.loads(text))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"{path}: not valid TOML: {exc}") from exc
    except ValidationError as exc:
        found = [_explain(path, text, error["loc"], error["msg"]) for error in exc.errors()]
        raise ConfigError("\n".join(found)) from exc


def _explain(path: Path, text: str, loc: tuple[int | str, ...], message: str) -> str:
    names = [str(part) for part in loc]
    line = _line_of(text, names)
    where = f"{path}:{line}" if line else str(path)
    return f"{where}: {'.'.join(names) or 'configuration'}: {message.removeprefix('Value error, ')}"


def _line_of(text: str, names: list[str]) -> int | None:
    """The line of the deepest key that is written down, counted from 1."""
    section, best = "", None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped.strip("[]")
            if names and section == names[0] and best is None:
                best = number
        elif names[1:] and section == names[0] and stripped.split("=")[0].strip() == names[1]:
            return number
    return best
