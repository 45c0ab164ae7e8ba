"""How pictures are named: a small one and its heat map for the screen, and the map beside a picture that is kept."""

from __future__ import annotations

from pathlib import PurePosixPath

HEAT = "-heat.jpg"


def picture_name(no: int) -> str:
    """File name of the small picture of inspection `no`; known before the file is there."""
    return f"{no:010d}.jpg"


def heat_name(no: int) -> str:
    """File name of the heat map of inspection `no`."""
    return f"{no:010d}{HEAT}"


def heat_beside(picture: str) -> str:
    """Path of the heat map that may lie beside a kept picture: reject/0000001/0000001234.png -> ...1234-heat.jpg."""
    path = PurePosixPath(picture)
    return str(path.with_name(f"{path.stem}{HEAT}"))
