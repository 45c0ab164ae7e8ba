"""Parts for tests of a record over several months."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from inspector.core.clock import SystemClock
from inspector.store.filing import Filing
from inspector.store.history import SqliteHistory
from inspector.store.months import month_files
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from inspector.web.records import Filters
from tests.support.invariants import rows_of
from tests.support.store import FAIL, PASS, part

HELD = 2  # newest rows of a station that stay


def keep_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small numbers in place of those of a real line."""
    monkeypatch.setattr("inspector.store.filing.RECENT", HELD)
    monkeypatch.setattr("inspector.store.results.RECENT", HELD)
    monkeypatch.setattr("inspector.store.filing.BATCH", 4)
    monkeypatch.setattr("inspector.store.filing.DROPPED", 3)
    monkeypatch.setattr("inspector.store.filing.ROOM_BYTES", 0)
    monkeypatch.setattr("inspector.store.journal.QUIET_S", 0.0)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


class Calendar(SystemClock):
    """Time runs as ever, the date is what the test says."""

    def __init__(self, date: str = "2026-01-10") -> None:
        super().__init__()
        self.date = date

    def utc_s(self) -> float:
        return ms(self.date) / 1000


@asynccontextmanager
async def filed(path: Path, clock: Calendar, **options: Any) -> AsyncIterator[tuple[SqliteResults, Filing]]:
    thread = DeviceThread("store")
    results = SqliteResults.of_file(path, "st1", clock, thread, min_free_bytes=0, **options)
    await results.start()
    filing = Filing(results._journal, clock, DeviceThread("filing"))
    try:
        yield results, filing
    finally:
        filing.close()
        await results.close()
        thread.close()


async def file_all(filing: Filing) -> int:
    moved = 0
    while done := await filing.turn():
        moved += done
    return moved


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[SqliteHistory]:
    history = SqliteHistory(path, DeviceThread("records"))
    try:
        yield history
    finally:
        history.close()


async def numbers(history: SqliteHistory, **filters: Any) -> list[int]:
    return [row["no"] for row in await history.page(Filters(**filters), None, 1000)]


async def parts(results: SqliteResults, clock: Calendar, dates: list[str]) -> None:
    for seq, clock.date in enumerate(dates, results.last_id() + 1):
        await part(results, seq, FAIL if seq % 3 == 0 else PASS)


def all_rows(path: Path) -> dict[int, Any]:
    """Of every file, results.db last: while a row is in two, that one counts."""
    return {row["no"]: row for file in [*month_files(path), path] if _is_begun(file) for row in rows_of(file)}


def _is_begun(file: Path) -> bool:
    db = apsw.Connection(str(file))  # for writing: what a cut left half-written is taken back
    tables = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'inspections'").get
    db.close()
    return bool(tables)


def names(path: Path) -> list[str]:
    return [file.name for file in month_files(path)]
