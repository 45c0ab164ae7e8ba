"""Camera settings are written, read back and compared on every connect: a camera that started anew has its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from inspector.core.errors import CameraLost

TOLERANCE = 1e-3  # of the value: drivers calculate in whole steps and in float32


def check_read_back(camera: str, written: Mapping[str, float], read: Mapping[str, float]) -> str:
    """The hash of what the camera works with. Raises CameraLost: a setting is not what was written, or is not told."""
    wrong = [
        f"{name} is {read[name]:g} for {value:g}" if name in read else f"{name} = {value:g} is not supported"
        for name, value in written.items()
        if not abs(read.get(name, float("nan")) - value) <= TOLERANCE * max(1.0, abs(value))
    ]
    if wrong:
        raise CameraLost(f"{camera}: settings read back differ: {', '.join(wrong)}; correct [camera] settings")
    return settings_hash(read)


def settings_hash(read: Mapping[str, float]) -> str:
    """16 hex digits; the same settings give the same, in whatever order."""
    text = json.dumps({name: f"{value:.6g}" for name, value in read.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
