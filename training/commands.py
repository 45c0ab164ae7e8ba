"""inspector-train's smaller commands: look before training, compare after, and pictures for beginners."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.words import MISSING, Acceptable, Augments, Classes, Data, GroupBy, RoiText, Seed, Size, config_of, leave


class Sample(StrEnum):
    CIFAR10 = "cifar10"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog="Example:  \n`inspector-train check pictures --group-by '(part\\d+)_'`")(check)
    app.command(epilog="Example:  \n`inspector-train preview pictures --augment light --augment rotate`")(preview)
    app.command(epilog="Example:  \n`inspector-train compare runs/* --out compare.png`")(compare)
    app.command(epilog="Example:  \n`inspector-train sample cifar10 cifar`")(sample)


def check(
    data: Data,
    acceptable: Acceptable = None,
    group_by: GroupBy = None,
    classes: Classes = None,
    seed: Seed = 0,
    good_only: Annotated[bool, typer.Option("--good-only", help="Of a one-class run: train holds good parts.")] = False,
    out: Annotated[Path | None, typer.Option(help="CSV file for all that is odd.")] = None,
) -> None:
    """Read every picture and say what is odd: unreadable, copies across splits, counts, sizes, channels."""
    with explained():
        from training.checks import tell, write_checks
        from training.data import scan

        may_pass = tuple(acceptable or ())
        found = scan(
            data,
            classes=classes,
            acceptable=may_pass,
            group_by=group_by,
            seed=seed,
            good_only=good_only,
            quiet=False,
        )
        if out is not None:
            write_checks(out, found.findings)
        tell(found.rows, found.findings, out)


def preview(
    data: Data,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("preview.png"),
    augment: Augments = None,
    count: Annotated[int, typer.Option(min=1, help="Pictures, even over the classes.")] = 6,
    acceptable: Acceptable = None,
    group_by: GroupBy = None,
    roi: RoiText = None,
    size: Size = "224",
    classes: Classes = None,
    seed: Seed = 0,
) -> None:
    """Show what the network will see: each picture resized and cut, and some of its random changes."""
    options = dict(locals())
    with explained():
        from training.preview import preview as write_preview

        shown = write_preview(config_of({name: v for name, v in options.items() if name != "count"}), out, count)
        typer.echo(f"{shown} pictures and their changes: {out}")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, finished or not.")],
    out: Annotated[Path | None, typer.Option(help="Plot of the curves: .png, .svg or .pdf.")] = None,
) -> None:
    """Runs beside each other: figures with their bounds, what differs in their options, and their curves."""
    with explained():
        from rich.console import Console

        from training import compare as of

        candidates = of.load(runs)
        Console(soft_wrap=False).print(of.table(candidates))
        for warning in of.warnings(candidates):
            typer.echo(f"careful: {warning}")
        if out is not None:
            of.plot(candidates, out)
            typer.echo(f"curves: {out}")


def sample(
    what: Annotated[Sample, typer.Argument(help="The pictures.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; new or empty.")],
    folder: Annotated[
        Path | None, typer.Option("--from", help="Where the archive lies already, without a download.")
    ] = None,
    per_class: Annotated[int, typer.Option(min=5, max=4000, help="Pictures of each class in train.")] = 200,
) -> None:
    """Pictures to try a training with, as class folders, for those who have none yet."""
    with explained():
        from training.sample import sample_cifar10

        written = sample_cifar10(out, folder, per_class)
        typer.echo(f"{written} pictures of {what} in {out}; what to do next: {out / 'README.md'}")


@contextmanager
def explained() -> Iterator[None]:
    """What is wrong with the input becomes a line on stderr and exit status 1."""
    try:
        from training.errors import TrainingError
    except ModuleNotFoundError as exc:
        leave(f"{MISSING}\n(missing: {exc.name})")
    try:
        yield
    except ModuleNotFoundError as exc:
        leave(f"{MISSING}\n(missing: {exc.name})")
    except (TrainingError, ValueError) as exc:
        leave(f"inspector-train: {exc}")
