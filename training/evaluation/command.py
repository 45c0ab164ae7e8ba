"""The command `inspector-train evaluate`. Without torch, so that the help needs none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

EXTRA = {"torch", "torchvision", "safetensors", "sklearn"}


class OfSplit(StrEnum):
    TEST = "test"
    VAL = "val"
    TRAIN = "train"


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "`inspector-train evaluate runs/first --data pictures --out runs/first/test`"
    app.command(epilog=f"Example:  \n{example}")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run directory that inspector-train fit wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and evaluation.html.")],
    data: Annotated[
        Path | None,
        typer.Option(help="The pictures it was trained on. Default: looked for by their name."),
    ] = None,
    split: Annotated[OfSplit, typer.Option(help="Only test says what a new part meets.")] = OfSplit.TEST,
    batch: Annotated[int, typer.Option(min=1)] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read pictures.")] = 0,
    worst: Annotated[int, typer.Option(min=0, help="Pictures in the sheet of the worst.")] = 24,
) -> None:
    """Measure a run: figures with bounds, curves, reliability, times, the worst pictures, and advice; one HTML page."""
    try:
        from training.errors import TrainingError
        from training.evaluation.run import PAGE, EvaluateConfig, evaluate_run
    except ModuleNotFoundError as exc:
        if exc.name not in EXTRA:
            raise
        _leave(f"inspector-train needs the training extra: pip install '.[train]'\n(missing: {exc.name})")
    try:
        done = evaluate_run(EvaluateConfig(run, out, data, split.value, device, batch, workers, worst), _bar)
    except (TrainingError, OSError) as exc:
        _leave(f"inspector-train: {exc}")
    except KeyboardInterrupt:
        _leave("interrupted; nothing was written", status=130)
    r = done.report
    lines = [f"accuracy {100 * r.accuracy:.2f} %, macro F1 {100 * r.macro_f1:.2f} %"]
    lines += [
        f"{name} {share}, at most {100 * share.upper:.2f} % (one-sided)"
        for name, share in (("escape", r.escape), ("overkill", r.overkill))
    ]
    lines += [f"{done.speed.one_p50_ms:.1f} ms an image, {done.speed.many_per_s:.0f} images/s ({done.speed.machine})"]
    lines += [f"{advice.title} {advice.text}" for advice in done.advice]
    typer.echo("\n".join([*lines, f"page: {out / PAGE}"]))


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal's stderr that goes when it is done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _leave(text: str, status: int = 1) -> NoReturn:
    typer.echo(text, err=True)
    sys.exit(status)
