"""Measure a finished run: its network on the pictures of one split, one after another."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from inspector.core.stats import temperature
from inspector.core.types import Image
from training.errors import DataError, RunError
from training.evaluate import Report, report
from training.evaluation.temperature import probabilities_at
from training.model import head_of, resnet50
from training.pages.history import read_history
from training.runs import Run, Split, SplitRow, read_run, read_splits, read_weights
from training.views import Views, cut, read_image, view_transform

Tick = Callable[[], None]
TIMED = 50  # pictures, one at a time


@dataclass(frozen=True, slots=True)
class Taught:
    """A finished run and its pictures, found and unchanged."""

    directory: Path
    run: Run
    data: Path
    rows: tuple[SplitRow, ...]
    history: tuple[Mapping[str, float], ...]

    def of(self, split: Split) -> tuple[SplitRow, ...]:
        return tuple(row for row in self.rows if row.split == split)

    @property
    def train_counts(self) -> dict[str, int]:
        counts = Counter(row.label for row in self.of("train"))
        return {label: counts[label] for label in self.run.labels}


@dataclass(frozen=True, slots=True)
class Speed:
    """On this machine. One picture: the network alone at batch 1; many: the network alone in batches."""

    machine: str
    one_p50_ms: float
    one_p99_ms: float
    read_p50_ms: float  # one picture from disk to tensor, by one process
    many_per_s: float
    batch: int


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """logits: (N, K) float32, truth: (N,) int64, in the order of rows."""

    rows: tuple[SplitRow, ...]
    logits: NDArray[np.float32]
    truth: NDArray[np.int64]

    def probabilities(self, t: float = 1.0) -> NDArray[np.float64]:
        return probabilities_at(self.logits, t)

    def report(self, run: Run) -> Report:
        return report(self.probabilities(), self.truth, run.classes)


def open_run(directory: Path, data: Path | None, split: Split) -> Taught:
    """Find run and pictures. Raises RunError, DataError: what is missing, and what to do."""
    run, rows = read_run(directory), read_splits(directory)
    if len(run.classes) < 2:
        raise RunError(f"{directory} knows good parts only: nothing classifies; inspector-deploy build measures it")
    counts = Counter(row.split for row in rows)
    if not counts[split]:
        there = ", ".join(f"--split {name} ({number})" for name, number in counts.items())
        raise RunError(f"{directory} has no pictures in split {split!r}; there are {there}")
    return Taught(directory, run, _find(run, directory, data, rows), rows, read_history(directory))


def network_of(taught: Taught, device: torch.device) -> Any:
    """The run's ResNet50 in evaluation mode. Raises RunError: its weights do not fit its classes."""
    tensors, classes = read_weights(taught.directory), len(taught.run.classes)
    net = resnet50(classes, head_of(tensors)[1])
    try:
        net.load_state_dict(tensors)
    except RuntimeError as exc:
        raise RunError(f"{taught.directory}: the weights do not fit a ResNet50 for {classes} classes: {exc}") from exc
    return net.to(device, memory_format=torch.channels_last).eval()


def views_of(taught: Taught, rows: Sequence[SplitRow]) -> Views:
    """The pictures as the network takes them. Raises DataError: one has changed since the training."""
    for row in rows:
        if hashlib.sha256((taught.data / row.path).read_bytes()).hexdigest() != row.sha256:
            raise DataError(f"{taught.data / row.path} is not the picture that the run knows: it has changed since")
    run = taught.run
    return Views(taught.data, rows, run.labels, run.roi, view_transform(run.network_size, run.mean, run.std))


@torch.no_grad()
def measure(
    taught: Taught, split: Split, net: nn.Module, device: torch.device, batch: int, workers: int, tick: Tick
) -> Measured:
    """The network's logits on a split; `tick` is called once a picture. Raises DataError."""
    rows = taught.of(split)
    views = views_of(taught, rows)
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(views, batch, num_workers=workers)
    logits = []
    for images, targets in loader:
        logits.append(net(images.to(device, memory_format=torch.channels_last)).float().cpu().numpy())
        for _ in targets:
            tick()
    found = np.concatenate(logits)
    if not np.isfinite(found).all():
        raise RunError(f"{taught.directory}: the network's output is not finite; its training went wrong")
    return Measured(rows, found, np.array(views.targets, np.int64))


def scale(val: Measured | None) -> float | None:
    """The temperature that fits the validation pictures; None where there are none, or none that is judged wrong.

    Without a mistake the fit is endless: the colder, the better.
    """
    if val is None or (val.logits.argmax(1) == val.truth).all():
        return None
    return temperature(val.logits, val.truth)


@torch.no_grad()
def speed(
    taught: Taught, split: Split, net: nn.Module, device: torch.device, batch: int, clock: Callable[[], float]
) -> Speed:
    """Times of pictures of the split; the first of each kind is warm-up."""
    views = views_of(taught, taught.of(split)[:TIMED])
    read = _timed((partial(views.__getitem__, i) for i in range(len(views))), clock, device)
    images = torch.stack([views[i][0] for i in range(min(batch, len(views)))])
    images = images.to(device, memory_format=torch.channels_last)
    one = _timed((partial(net, images[k % len(images)][None]) for k in range(TIMED)), clock, device)
    many = _timed((partial(net, images) for _ in range(4)), clock, device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return Speed(
        machine=name,
        one_p50_ms=1000 * float(np.median(one)),
        one_p99_ms=1000 * float(np.quantile(one, 0.99)),
        read_p50_ms=1000 * float(np.median(read)),
        many_per_s=len(images) / float(np.median(many)),
        batch=len(images),
    )


def camera_view(taught: Taught, row: SplitRow) -> Image:
    """The judged region of a picture, (h, w, 3) uint8 RGB."""
    return cut(read_image(taught.data / row.path), taught.run.roi, row.path)


def _timed(calls: Iterable[Callable[[], object]], clock: Callable[[], float], device: torch.device) -> list[float]:
    took = []
    for place, call in enumerate(calls):
        if place == 0:
            call()
            _wait(device)
        begun_s = clock()
        call()
        _wait(device)
        took.append(clock() - begun_s)
    return took


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _find(run: Run, directory: Path, data: Path | None, rows: Sequence[SplitRow]) -> Path:
    """The data folder: the one given, or one of the run's name in the usual places. Raises DataError."""
    name = run.config.get("data", "")
    usual = [Path(name), directory / name, directory.parent / name, directory.parent.parent / name] if name else []
    places = [data if data.is_dir() else data.parent] if data is not None else [p for p in usual if p.is_dir()]
    for place in places:
        if (missing := next((row.path for row in rows if not (place / row.path).is_file()), None)) is None:
            return place
        if data is not None:
            raise DataError(f"{place / missing} is missing: --data must be the folder that the run was trained on")
    raise DataError(f"the run's pictures ({name or 'unknown folder'}) are not here: say where, with --data FOLDER")
