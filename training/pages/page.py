"""Self-contained HTML pages: style, signs and pictures inside, nothing loaded from elsewhere, nothing that runs.

The page of a run's evaluation and the report of a bundle are made here, with Jinja2 as the appliance's own pages are.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from inspector.core.types import Image

TEMPLATES = Path(__file__).parent / "templates"
JPEG_QUALITY = 88
NO_BREAK = "\u00a0"


def environment(*folders: Path) -> Environment:
    """Templates of `folders`, then those that all pages share; all that they are given is escaped."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "number": number, "count": count}
    made.globals["style"] = style()
    return made


@lru_cache(maxsize=1)
def style() -> Markup:
    """The style sheet of all pages, to stand inside them."""
    return Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))


def write_page(path: Path, template: str, folder: Path, **values: Any) -> None:
    """Render `template` of `folder` into `path`."""
    path.write_text(environment(folder).get_template(template).render(**values), encoding="utf-8")


def percent(share: float) -> str:
    """0.00498 -> "0.50 %"; three figures at most: 0.00021 -> "0.021 %", 0.1234 -> "12.3 %"."""
    value = 100 * share
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}f}{NO_BREAK}%" if value not in (0.0, 100.0) else f"{value:.0f}{NO_BREAK}%"


def step(share: float) -> str:
    """A round share as it is spoken: 0.005 -> "0.5 %"."""
    return f"{100 * share:.4g}{NO_BREAK}%"


def number(value: float | str) -> str:
    """Four significant figures; a text stays what it is."""
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if abs(value) < 10_000 else count(value)


def count(value: float) -> str:
    """12345 -> "12,345"."""
    return f"{round(value):,}"


def picture(image: Image, width: int = 220, alt: str = "") -> Markup:
    """(H, W, 3) uint8 RGB -> an inline JPEG of at most `width` pixels. Small pictures keep their pixels, enlarged."""
    scale = min(1.0, width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be encoded")
    text = base64.b64encode(data.tobytes()).decode()
    tag = Markup('<img alt="{}" width="{}" height="{}" src="data:image/jpeg;base64,{}">')
    return tag.format(alt, *size, text)
