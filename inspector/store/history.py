"""The record as other processes read it: short read-only questions on a thread of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from inspector.store.counts import Counts, read_counts
from inspector.threads import DeviceThread
from inspector.web.records import Filters, Row, Unreadable
from plc.registers import TEST_AS_EXPECTED, Verdict

R = TypeVar("R")

BUSY_MS = 200
LONGEST_S = 2.0  # a longer question would hold the WAL, and with it the disk
STEPS = 10_000  # of SQLite's machine between two looks at the clock

_CODE = "coalesce(published_code, decided_code)"  # as in the index
_REASON = "iif(published_code IS NULL, decided_reason, published_reason)"
_WHERE = {
    "from_utc_ms": "opened_utc_ms >= ?",
    "to_utc_ms": "opened_utc_ms <= ?",
    "verdict": f"{_CODE} = ?",
    "reason": f"{_REASON} = ?",
    "label": "label = ?",
    "part_id": "part_id = ?",
    "trigger_id": "trigger_id = ?",
}


class SqliteHistory:
    """Implements the page's Records. Opens when asked, and anew after any error: the daemon may be restarting.

    Every method raises Unreadable.
    """

    def __init__(self, path: Path, thread: DeviceThread) -> None:
        self._path, self._thread = path, thread
        self._db: apsw.Connection | None = None
        self._not_after_s = 0.0

    async def page(self, filters: Filters, before_no: int | None, limit: int) -> Sequence[Row]:
        """Rows older than `before_no`, newest first. What the PLC was told counts; before that, what was decided."""
        wanted = {name: value for name in _WHERE if (value := getattr(filters, name)) is not None}
        where = [_WHERE[name] for name in wanted] + ([] if before_no is None else ["no < ?"])
        values = [*wanted.values(), *([] if before_no is None else [before_no])]
        sql = f"SELECT * FROM inspections WHERE {' AND '.join(where) or 'TRUE'} ORDER BY no DESC LIMIT ?"
        return await self._ask(lambda db: _rows(db, sql, (*values, limit)))

    async def row(self, no: int) -> Row | None:
        """One inspection, whole."""
        found = await self._ask(lambda db: _rows(db, "SELECT * FROM inspections WHERE no = ?", (no,)))
        return found[0] if found else None

    async def neighbours(self, no: int) -> tuple[int | None, int | None]:
        """The numbers just before and just after `no`."""
        sql = (
            "SELECT (SELECT max(no) FROM inspections WHERE no < ?1) AS older,"
            " (SELECT min(no) FROM inspections WHERE no > ?1) AS newer"
        )
        (found,) = await self._ask(lambda db: _rows(db, sql, (no,)))
        return found["older"], found["newer"]

    async def top_reasons(self, since_utc_ms: int, limit: int) -> Sequence[tuple[int, int]]:
        """(reason, count) of what was rejected in the counting periods begun since then, most frequent first."""
        sql = (
            "SELECT reason, sum(n) AS total FROM counts JOIN periods USING (period)"
            " WHERE since_utc_ms >= ? AND code != ? AND code < ? GROUP BY reason HAVING total > 0"
            " ORDER BY total DESC, reason LIMIT ?"
        )
        values = (since_utc_ms, int(Verdict.PASS), TEST_AS_EXPECTED, limit)
        return [(r["reason"], r["total"]) for r in await self._ask(lambda db: _rows(db, sql, values))]

    async def counts(self) -> Counts:
        """Of the running counting period."""
        return await self._ask(read_counts)

    async def ask(self, question: Callable[[apsw.Connection], R]) -> R:
        """A short question of another subject, on one connection, such as those of review_queue.py."""
        return await self._ask(question)

    def close(self) -> None:
        """Ends the thread; waits for a question that still runs."""
        self._thread.submit(self._forget).result(timeout=2 * LONGEST_S)
        self._thread.close()

    # -- on the thread -------------------------------------------------------------------------------------------------

    async def _ask(self, question: Callable[[apsw.Connection], R]) -> R:
        try:
            return await self._thread.call(self._answer, question)
        except RuntimeError as exc:
            raise Unreadable("the record was closed") from exc

    def _answer(self, question: Callable[[apsw.Connection], R]) -> R:
        self._not_after_s = time.monotonic() + LONGEST_S
        try:
            return question(self._open())
        except apsw.Error as exc:
            self._forget()
            raise Unreadable(f"{self._path} cannot be read: {exc}") from exc

    def _open(self) -> apsw.Connection:
        if self._db is None:
            db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            db.set_busy_timeout(BUSY_MS)
            db.set_progress_handler(lambda: time.monotonic() > self._not_after_s, STEPS)
            self._db = db
        return self._db

    def _forget(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()


def _rows(db: apsw.Connection, sql: str, values: Sequence[object]) -> list[Row]:
    cursor = db.execute(sql, tuple(values))
    return [dict(zip(_names(cursor), row, strict=True)) for row in cursor]


def _names(cursor: apsw.Cursor) -> list[str]:
    return [column[0] for column in cursor.get_description()]
