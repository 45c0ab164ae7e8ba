"""The region that people chose on the appliance, where the pictures are its dataset export. Without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXPORT = "export.json"
Region = tuple[int, int, int, int]  # x, y, width, height in camera pixels


def exported_region(data: Path) -> Region | None:
    """Of the export that `data` (its folder, or its manifest) is; None: no export, or the whole picture.

    Raises ValueError: its stations were set up with different regions, or it was written by another version.
    """
    file = (data if data.is_dir() else data.parent) / EXPORT
    if not file.is_file():
        return None
    found = [_region(value, file) for value in _regions(file).values()]
    if len(set(found)) > 1:
        named = ", ".join(f"{name} {value or 'whole'}" for name, value in _regions(file).items())
        raise ValueError(f"{file}: stations with different regions ({named}): say which with --roi")
    return found[0] if found else None


def _regions(file: Path) -> dict[str, Any]:
    try:
        about = json.loads(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise ValueError(f"{file} cannot be read: {exc}") from exc
    regions = about.get("regions", {}) if isinstance(about, dict) else None  # an earlier version names none
    if not isinstance(regions, dict):
        raise ValueError(f"{file} is no export that this version reads")
    return regions


def _region(value: object, file: Path) -> Region | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4 or not all(type(side) is int for side in value):
        raise ValueError(f"{file}: {value!r} is no region")
    return value[0], value[1], value[2], value[3]
