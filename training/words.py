"""Options that several commands of inspector-train share, and how their words become values. Without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from training.choices import Augment, stop_after
from training.region import exported_region

if TYPE_CHECKING:
    from training.config import FitConfig

MISSING = "inspector-train needs the training extra: pip install '.[train]'"

Data = Annotated[
    Path,
    typer.Argument(
        help="Folder with train/, val/, test/ of class folders, or class folders alone; or a manifest, .csv or .json."
    ),
]
Acceptable = Annotated[list[str] | None, typer.Option(help="A class that may pass; repeat. Default: good, ok.")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        help="Pictures of one part or lot never meet across splits: a CSV file (picture,group), or a regular expression"
        " on the file name whose first parenthesis is the group."
    ),
]
RoiText = Annotated[
    str | None,
    typer.Option(
        "--roi", help="Region to judge, in camera pixels: x,y,width,height. Left out: what an appliance's export names."
    ),
]
Size = Annotated[str, typer.Option(help="Network input: pixels of a square, or HEIGHTxWIDTH.")]
Classes = Annotated[
    Path | None, typer.Option(help="Class map (rows of class_id, class_name), instead of DATA/classes.json.")
]
Seed = Annotated[int, typer.Option(help="Of split, order, augmentation and fresh layers.")]
Augments = Annotated[list[Augment] | None, typer.Option(help="Repeat. Only what leaves a part as it is.")]


def config_of(options: dict[str, Any]) -> FitConfig:
    """Raises ValueError: a malformed size or region, or a figure that no training can use."""
    from training.config import FitConfig

    values = {name: value for name, value in options.items() if name not in {"size", "roi", "on_finish"}}
    values |= {name: tuple(options.get(name) or ()) for name in ("augment", "acceptable")}
    size = options["size"] if "x" in options["size"] else f"{options['size']}x{options['size']}"
    values["network_size"] = _numbers(size, "x", 2)
    values["roi"] = _numbers(options["roi"], ",", 4) if options["roi"] else exported_region(options["data"])
    if options.get("stop_after"):
        values["stop_after"] = stop_after(options["stop_after"])
    return FitConfig(**values)


def leave(text: str, status: int = 1) -> NoReturn:
    """End the command with a word on stderr."""
    typer.echo(text, err=True)
    sys.exit(status)


def _numbers(text: str, between: str, count: int) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(between) if part.strip().isdigit())
    if len(numbers) != count or len(text.split(between)) != count:
        raise ValueError(f"{text!r}: expected {count} whole numbers with {between!r} between")
    return numbers
