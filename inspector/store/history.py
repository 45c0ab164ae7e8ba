"""The record as other processes read it: short read-only questions on a thread of their own, over all its files."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

from inspector.store.database import UNREADABLE
from inspector.store.named_rows import rows_of
from inspector.store.record_files import BROKEN, RecordFiles
from inspector.store.search import search
from inspector.threads import DeviceThread
from inspector.web.records import Filters, Found, Row, Unreadable

R = TypeVar("R")

LONGEST_S = 2.0  # a longer question would hold the WAL, and with it the disk
SEARCH_S = 0.6  # then a search begins no further window, and says how far it came
EXPORTED = 500  # rows of an export in one question


class SqliteHistory:
    """Implements the page's Records. Opens when asked, and anew after any error: the daemon may be restarting.

    results.db and the months' files beside it are one record. Every method raises Unreadable.
    """

    def __init__(self, path: Path, thread: DeviceThread) -> None:
        self._path, self._thread = path, thread
        self._files = RecordFiles(path, without_broken=True)

    async def page(self, filters: Filters, before_no: int | None, limit: int) -> Found:
        """Rows older than `before_no`, newest first. What the PLC was told counts; before that, what was decided."""
        return await self._call(
            lambda: search(self._files.every, filters, before_no, limit, time.monotonic() + SEARCH_S)
        )

    async def export(self, filters: Filters) -> AsyncIterator[Row]:
        """All rows that match as of now, newest first, a page at a time; between two pages nothing is held."""
        before_no: int | None = None
        while True:
            found = await self.page(filters, before_no, EXPORTED)
            for row in found:
                yield row
            if len(found) == EXPORTED:
                before_no = found[-1]["no"]
            elif found.searched_to_no is not None:
                before_no = found.searched_to_no
            else:
                return

    async def row(self, no: int) -> Row | None:
        """One inspection, whole."""
        return await self._call(lambda: self._row(no))

    async def earlier_deliveries(self, no: int) -> Sequence[tuple[Any, ...]]:
        """(code, reason, utc_ms, delivery) of what the PLC was told of a row before its last, oldest first."""
        return await self._call(lambda: self._earlier(no))

    async def neighbours(self, no: int) -> tuple[int | None, int | None]:
        """The numbers just before and just after `no`."""
        return await self._call(lambda: self._neighbours(no))

    async def left_out(self) -> Sequence[str]:
        """Names of the months' files that are damaged, as far as questions met them: no row of them is found."""
        return sorted(await self.ask_all(RecordFiles.broken))

    async def ask(self, question: Callable[[apsw.Connection], R]) -> R:
        """A short question of another subject to results.db."""
        return await self._ask(question)

    async def ask_all(self, question: Callable[[RecordFiles], R]) -> R:
        """A short question to all files, such as those of review_queue.py."""
        return await self._call(lambda: question(self._files))

    def close(self) -> None:
        """Ends the thread; waits for a question that still runs."""
        self._thread.submit(self._files.forget).result(timeout=2 * LONGEST_S)
        self._thread.close()

    # -- on the thread -------------------------------------------------------------------------------------------------

    async def _ask(self, question: Callable[[apsw.Connection], R]) -> R:
        """Of results.db alone."""
        return await self._call(lambda: question(self._files.live()))

    async def _call(self, question: Callable[[], R]) -> R:
        try:
            return await self._thread.call(self._answer, question)
        except RuntimeError as exc:
            raise Unreadable("the record was closed") from exc

    def _answer(self, question: Callable[[], R]) -> R:
        self._files.not_after_s = time.monotonic() + LONGEST_S
        try:
            try:
                return question()
            except BROKEN:
                self._files.not_after_s = time.monotonic() + LONGEST_S
                if not self._files.leave_broken():
                    raise
            return question()
        except UNREADABLE as exc:
            self._files.forget()
            raise Unreadable(f"{self._path} cannot be read: {exc}") from exc

    def _row(self, no: int) -> Row | None:
        sql = "SELECT * FROM inspections WHERE no = ?"
        return next((row for db in self._files.every() for row in rows_of(db, sql, (no,))), None)

    def _earlier(self, no: int) -> list[tuple[Any, ...]]:
        """From the one file that has the row."""
        sql = "SELECT code, reason, utc_ms, delivery FROM earlier_deliveries WHERE no = ? ORDER BY rowid"
        for db in self._files.every():
            if db.execute("SELECT count(*) FROM inspections WHERE no = ?", (no,)).get:
                return list(db.execute(sql, (no,)))
        return []

    def _neighbours(self, no: int) -> tuple[int | None, int | None]:
        sql = "SELECT (SELECT max(no) FROM inspections WHERE no < ?1), (SELECT min(no) FROM inspections WHERE no > ?1)"
        older, newer = zip(*(db.execute(sql, (no,)).get for db in self._files.every()), strict=True)
        return max((n for n in older if n is not None), default=None), min(
            (n for n in newer if n is not None), default=None
        )
