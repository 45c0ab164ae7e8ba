"""`inspector export dataset`: from a configuration to a dataset, with a progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from inspector.config import AppConfig
from inspector.core.dealing import FRACTIONS
from inspector.office.dataset import Plan, Sources, SplitBy, counts_of, plan
from inspector.office.dataset_files import splits_of, write_dataset
from inspector.office.held_out import SLOTS, golden_pictures, pictures_in


def export_dataset(
    cfg: AppConfig, out: Path, split_by: SplitBy, like: Path | None, leave_out: Sequence[Path], console: Console
) -> None:
    """Write the settled pictures of a box. Raises ExportError, BundleError.

    leave_out: more folders than the configuration names.
    """
    before = splits_of(like) if like is not None else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with golden_pictures(cfg.paths.state / SLOTS, cfg.bundle) as golden, Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as bar:  # fmt: skip
        task = bar.add_task("looking at the pictures", total=None)
        sources = Sources(
            cfg.paths.state / "results.db", cfg.paths.office_folder / "office.db", cfg.paths.state / "pictures", golden,
            tuple(pictures_in((*cfg.review.leave_out, *leave_out))),
        )  # fmt: skip
        planned = plan(
            sources, two_people=cfg.review.two_people, split_by=split_by, before=before,
            watch=lambda done, of: bar.update(task, completed=done, total=of),
        )  # fmt: skip
        bar.update(task, description="writing", completed=0)
        write_dataset(planned, sources.pictures, out, lambda done, of: bar.update(task, completed=done, total=of))
    tell(planned, out, console)


def tell(planned: Plan, out: Path, console: Console) -> None:
    """What was written, and what was not and why."""
    table = Table("class", *FRACTIONS, "may pass")
    may_pass = dict(planned.classes)
    for name, counts in sorted(counts_of(planned.pictures).items()):
        table.add_row(name, *(str(counts[split]) for split in FRACTIONS), "yes" if may_pass[name] else "no")
    console.print(table)
    for why, numbers in planned.left_out.items():
        console.print(f"left out, {why}: {len(numbers)}", markup=False)
    if len(planned.classes) < 2:
        console.print("One class only: train it with inspector-train good-only.", markup=False)
    console.print(f"{len(planned.pictures)} pictures in {out}", markup=False)
