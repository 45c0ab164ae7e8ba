"""`inspector export rows`: the record as a CSV file, while the daemon goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from inspector.config import AppConfig
from inspector.core.errors import InspectorError
from inspector.store.history import SqliteHistory
from inspector.threads import DeviceThread
from inspector.web.export import csv_pages, keys, walk
from inspector.web.filters import BadFilter, Form, filters_of
from inspector.web.records import Filters, Row
from inspector.web.settings import settings_of


class ExportError(InspectorError):
    """The file cannot be written, is not all of the record, or a filter cannot be read; the text says which."""


def export_rows(cfg: AppConfig, file: Path, form: Form, console: Console) -> int:
    """Write the rows that match, newest first; returns how many. Raises ExportError, Unreadable.

    form: as the fields of the history page. The header is the columns' keys alone: the same in every language. Where a
    month is damaged the others are written all the same, and ExportError says that it is missing.
    """
    try:
        filters = filters_of(form)
    except BadFilter as exc:
        raise ExportError(f"this filter cannot be read: {exc}") from exc
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    history = SqliteHistory(settings_of(cfg).results_db, DeviceThread("records"))
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            rows, damaged = asyncio.run(_write(history, filters, file, progress))
    except OSError as exc:
        raise ExportError(f"{file} cannot be written: {exc.strerror}") from exc
    finally:
        history.close()
    console.print(f"{rows} rows in {file}")
    if damaged:
        raise ExportError(
            f"{file} is not all of the record: {', '.join(damaged)} is damaged, and rows of it are missing. Put the "
            "file of a backup in its place, or run `inspector salvage`; then export again"
        )
    return rows


async def _write(history: SqliteHistory, filters: Filters, file: Path, progress: Progress) -> tuple[int, Sequence[str]]:
    """How many rows, and which months' files were met that are damaged."""
    staged = file.with_name(f".{file.name}.new")
    seen = _Seen(progress)
    try:
        with staged.open("wb") as out:
            async for piece in csv_pages(seen.through(walk(history, filters)), keys()):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        os.replace(staged, file)
    finally:
        staged.unlink(missing_ok=True)
    return seen.rows, await history.left_out()


class _Seen:
    """Counts rows as they pass, and shows how far back the walk is."""

    def __init__(self, progress: Progress) -> None:
        self.rows, self._newest = 0, 0
        self._progress = progress
        self._task = progress.add_task("rows", total=None)

    async def through(self, pages: AsyncIterator[Sequence[Row]]) -> AsyncIterator[Sequence[Row]]:
        async for page in pages:
            self.rows += len(page)
            if page:
                self._newest = self._newest or page[0]["no"]
                done = self._newest - page[-1]["no"] + 1
                self._progress.update(self._task, total=self._newest, completed=done, description=f"{self.rows} rows")
            yield page
