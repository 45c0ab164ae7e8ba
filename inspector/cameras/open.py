"""From a [camera] section to an open camera. Only compose, commands and tests import this: it knows the simulators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing

from inspector.camera_sections import CameraConfig, FolderConfig, OpenCvConfig, RenderedConfig
from inspector.cameras.faults import FaultScript
from inspector.cameras.folder import FolderCamera
from inspector.cameras.opencv import OpenCvCamera, Source
from inspector.cameras.rendered import RenderedCamera
from inspector.core.errors import ConfigError
from inspector.core.ports import Camera, Clock
from inspector.threads import DeviceThread


@asynccontextmanager
async def open_camera(
    section: CameraConfig,
    recipe_settings: Mapping[str, float],
    clock: Clock,
    thread: DeviceThread,
    faults: Sequence[str] = (),
) -> AsyncIterator[Camera]:
    """The camera of a station, closed again at the end; one that is not there yet shows in `alive()`, not here.

    recipe_settings: [recipes] camera, over the section's own settings. faults: [test] camera_faults, see FaultScript.
    Raises ConfigError: a fault that there is not.
    """
    timeout_s = section.grab_timeout_ms / 1000
    match section:
        case RenderedConfig():
            camera = RenderedCamera(clock, thread, section.exposure_us, timeout_s, FaultScript.parse(faults))
            with closing(camera):
                yield camera
        case FolderConfig():
            yield FolderCamera(section.folder, clock, thread, section.pick, section.max_megapixels, timeout_s)
        case OpenCvConfig():
            asked = {"width": section.width, "height": section.height, "fps": section.fps}
            sized = {name: float(value) for name, value in asked.items() if value is not None}
            opencv = OpenCvCamera(
                _source_of(section), clock, thread, {**sized, **section.settings, **recipe_settings}, section.fourcc,
                timeout_s,
            )  # fmt: skip
            with closing(opencv):
                yield opencv


def _source_of(section: OpenCvConfig) -> Source:
    found: Source | None = section.device if section.device is not None else section.file or section.url
    if found is None:
        raise ConfigError("[camera] needs one of device, file, url")
    return found
