"""Sections of a camera, a class each kind."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inspector.section import FilePath, Section
from inspector.toml_file import wrong_key


class _CameraBase(Section):
    id: str = Field(default="cam1", min_length=1, max_length=32)
    grab_timeout_ms: float = Field(default=100, gt=0, le=10_000)


class RenderedConfig(_CameraBase):
    """Draws the part whose seed is PART_ID; never PASS towards a real PLC."""

    kind: Literal["rendered"] = "rendered"
    exposure_us: int = Field(default=500, gt=0, le=100_000)


class FolderConfig(_CameraBase):
    """Replays the pictures of a folder; never PASS towards a real PLC."""

    kind: Literal["folder"]
    folder: FilePath
    pick: Literal["next", "part_id"] = Field(default="next", description="part_id: PART_ID 1 is the first picture")
    max_megapixels: float = Field(default=64, gt=0, le=512)


class OpenCvConfig(_CameraBase):
    """A device, a video file or a stream through OpenCV; it proves no freshness, so never PASS in triggered mode."""

    kind: Literal["opencv"]
    device: int | None = Field(default=None, ge=0, le=63, description="N of /dev/videoN")
    file: FilePath | None = None
    url: str | None = Field(default=None, pattern=r"^(rtsp|rtsps|http|https)://\S+$", max_length=1024)
    width: int | None = Field(default=None, ge=1, le=20_000)
    height: int | None = Field(default=None, ge=1, le=20_000)
    fps: float | None = Field(default=None, gt=0, le=1000)
    fourcc: str | None = Field(default=None, pattern=r"^[A-Z0-9]{4}$", description="e.g. MJPG")
    settings: dict[str, float] = Field(default_factory=dict, description="exposure, gain ... as the driver counts them")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if sum(source is not None for source in (self.device, self.file, self.url)) != 1:
            raise wrong_key("needs exactly one of device, file, url")
        if (self.width is None) != (self.height is None):
            raise wrong_key("width and height belong together; write both or none")
        check_settings(self.settings)
        return self


CAMERA_SETTINGS = (
    "brightness", "contrast", "saturation", "hue", "gain", "exposure", "auto_exposure", "gamma", "sharpness",
    "backlight", "white_balance", "auto_white_balance", "focus", "autofocus", "zoom",
)  # fmt: skip


def check_settings(settings: dict[str, float], *key: str) -> None:
    for name in settings:
        if name not in CAMERA_SETTINGS:
            raise wrong_key(f"unknown setting; there are {', '.join(CAMERA_SETTINGS)}", *(key or ("settings",)), name)


CameraConfig = Annotated[RenderedConfig | FolderConfig | OpenCvConfig, Field(discriminator="kind")]
