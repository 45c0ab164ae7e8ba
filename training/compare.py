"""Several runs beside each other, as a table and as curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table

from training.config import option
from training.errors import RunError
from training.runs import HISTORY, RUN, Run, read_run

FIGURES = (
    ("val_macro_recall", "val macro recall"), ("test_accuracy", "test accuracy"), ("test_macro_f1", "test macro F1"),
    ("test_escape", "test escape"), ("test_overkill", "test overkill"),
)  # fmt: skip
UPPER = {"test_escape": "test_escape_upper_95", "test_overkill": "test_overkill_upper_95"}
CURVES = (("train_loss", "loss, train"), ("val_loss", "loss, val"), ("val_macro_recall", "macro recall, val"))
FOUND = {"trained_on": "trained on"}  # in a run's config, but no option
SUFFIXES = {".png", ".svg", ".pdf"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One run. run: None where it is not finished; its curve is there all the same."""

    name: str
    run: Run | None
    history: tuple[dict[str, Any], ...]


def load(directories: Sequence[Path]) -> list[Candidate]:
    """Raises RunError: a folder holds neither a run nor the history of one."""
    names = [directory.name for directory in directories]
    found = []
    for directory in directories:
        file = directory / HISTORY
        name = directory.name if names.count(directory.name) == 1 else str(directory)
        run = read_run(directory) if (directory / RUN).is_file() or not file.is_file() else None
        try:
            history = tuple(json.loads(file.read_bytes())) if file.is_file() else ()
        except ValueError as exc:
            raise RunError(f"{file} cannot be read: {exc}") from exc
        found.append(Candidate(name, run, history))
    return found


def table(candidates: Sequence[Candidate]) -> Table:
    """Figures of each run, with one-sided 95 % bounds in parentheses, and what they were started with differently."""
    shown = Table("", *(one.name for one in candidates))
    shown.add_row("epochs, best", *(_epochs(one) for one in candidates))
    for key, name in FIGURES:
        shown.add_row(name, *(_figure(one, key) for one in candidates))
    shown.add_row("minutes", *(f"{sum(line['seconds'] for line in one.history) / 60:.1f}" for one in candidates))
    configs = [dict(one.run.config) if one.run else {} for one in candidates]
    for key in sorted(set().union(*configs)):
        values = [config.get(key, "") for config in configs]
        if len(set(values)) > 1:
            shown.add_row(FOUND.get(key) or option(key), *values)
    return shown


def warnings(candidates: Sequence[Candidate]) -> list[str]:
    """Why these runs may not be comparable."""
    finished = [one.run for one in candidates if one.run]
    said = []
    if len({run.dataset.sha256 for run in finished}) > 1:
        said.append("not learned and tested on the same pictures and split: the figures cannot be compared")
    if len(finished) < len(candidates):
        said.append("a run that is not finished has curves only")
    return said


def plot(candidates: Sequence[Candidate], file: Path) -> None:
    """Curves over the epochs, as PNG, SVG or PDF. Raises RunError: another suffix, no curve, or not writable."""
    if file.suffix.lower() not in SUFFIXES:
        raise RunError(f"--out {file}: expected a name that ends with .png, .svg or .pdf")
    if not any(one.history for one in candidates):
        raise RunError("none of these runs has a curve: they were prepared, not trained")
    figure = Figure(figsize=(4.2 * len(CURVES), 3.6), layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: it keeps figures and picks a display
    for axes, (key, name) in zip(figure.subplots(1, len(CURVES)), CURVES, strict=True):
        for one in candidates:
            epochs = [line["epoch"] for line in one.history]
            axes.plot(epochs, [line[key] for line in one.history], marker=".", label=one.name)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#dddddd", lw=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            figure.savefig(file, dpi=110)
    except OSError as exc:
        raise RunError(f"{file} cannot be written: {exc}") from exc


def _epochs(one: Candidate) -> str:
    best = f", {one.run.metrics['best_epoch']:.0f}" if one.run and "best_epoch" in one.run.metrics else ""
    return f"{len(one.history)}{best}"


def _figure(one: Candidate, key: str) -> str:
    if one.run is None or key not in one.run.metrics:
        return ""
    bound = one.run.metrics.get(UPPER.get(key, ""))
    return f"{100 * one.run.metrics[key]:.2f} %" + (f" (at most {100 * bound:.1f} %)" if bound is not None else "")
