"""The run directory: everything a training leaves behind, and all that a bundle is built from.

`model.safetensors` (torchvision's ResNet50 key names), `run.json` (Run), `splits.csv` (what each picture was used
for), `history.json` (one object per epoch), `metrics.json` (what `run.json` holds too, with confusion and intervals).
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from inspector.core.manifest import ClassEntry, Licence
from training.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

RUN, WEIGHTS, SPLITS, HISTORY, METRICS = "run.json", "model.safetensors", "splits.csv", "history.json", "metrics.json"
Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class SplitRow:
    """One picture of the data folder."""

    path: str  # relative to the data folder, with forward slashes
    label: str  # folder name; a test picture of a one-class run may show a kind that is no class
    split: Split
    group: str  # pictures of one part or lot share it, and never meet across splits
    sha256: str  # of the file


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    sha256: str  # over the sorted (sha256, label, split) rows
    images: int
    splits: str  # name of the CSV file


@dataclass(frozen=True, slots=True)
class Run:
    """One finished training."""

    schema: Literal[1]
    product: str
    classes: tuple[ClassEntry, ...]  # in the order of the logits
    network_size: tuple[int, int]  # height, width in pixels
    mean: tuple[float, float, float]  # of RGB values in 0..1
    std: tuple[float, float, float]
    roi: tuple[int, int, int, int] | None  # x, y, width, height in camera pixels; None: the whole picture
    head: Literal["linear", "mlp"]  # 2048-N, or 2048-512-ReLU-Dropout-N
    initial_weights: str
    git_commit: str  # "" where the sources are no git checkout
    seed: int
    config: Mapping[str, str]  # as text; what the run was started with
    dataset: DatasetInfo
    metrics: Mapping[str, float]
    licences: tuple[Licence, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return tuple(entry.name for entry in self.classes)

    @property
    def acceptable(self) -> frozenset[str]:
        """Names of the classes that may pass."""
        return frozenset(entry.name for entry in self.classes if entry.acceptable)


for _cls in (SplitRow, DatasetInfo, Run):
    setattr(_cls, "__pydantic_config__", {"extra": "forbid"})  # noqa: B010 - the class has no such attribute to type
_RUN, _ROW = TypeAdapter(Run), TypeAdapter(SplitRow)


def write_run(directory: Path, run: Run) -> None:
    """Write `run.json`; it comes last, so that a directory that holds it is complete."""
    write_json(directory / RUN, _RUN.dump_python(run, mode="json"))


def read_run(directory: Path) -> Run:
    """The run in `directory`. Raises RunError: there is none, it is not finished, or it is not ours."""
    path = directory / RUN
    if not path.is_file() and (directory / SPLITS).is_file():
        begun = "a training that is not finished: wait for it, or give the same inspector-train command again"
        raise RunError(f"{directory} holds {begun}, which goes on ({RUN} is missing)")
    if not path.is_file():
        raise RunError(f"{directory} holds no finished run ({RUN} is missing); make one with: inspector-train fit")
    try:
        return _RUN.validate_json(path.read_bytes())
    except ValidationError as exc:
        raise RunError(f"{path} cannot be read: {exc}") from exc


def read_weights(directory: Path) -> dict[str, Tensor]:
    """The network's tensors by torchvision's key names. Raises RunError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as exc:
        raise RunError(f"{directory / WEIGHTS} cannot be read: {exc}") from exc


def write_splits(directory: Path, rows: Iterable[SplitRow]) -> None:
    """Write `splits.csv`, in the order given."""
    names = [field.name for field in fields(SplitRow)]
    path = directory / SPLITS
    with _staged(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)
    os.replace(_staged(path), path)


def read_splits(directory: Path) -> tuple[SplitRow, ...]:
    """The rows of `splits.csv`. Raises RunError."""
    path = directory / SPLITS
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(_ROW.validate_python(row) for row in csv.DictReader(file))
    except (OSError, ValidationError) as exc:
        raise RunError(f"{path} cannot be read: {exc}") from exc


def write_json(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Replace `path` in one step. NaN is an error: it is no JSON."""
    _staged(path).write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(_staged(path), path)


def _staged(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
