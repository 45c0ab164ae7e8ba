"""How long the disk takes the record at the present rate. Rows never go by themselves, so this is the time there is."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import apsw

from inspector.store.months import month_files
from inspector.store.record_files import RecordFiles

DAY_MS = 86_400_000
RATE_DAYS = 7  # that the rate is of
ROW_BYTES = 1500  # with its places in the indexes, until there are enough rows to tell
ENOUGH = 1000
LONGEST_S = 2.0


@dataclass(frozen=True, slots=True)
class Growth:
    """The record's size on the disk, and what it takes more of it each day."""

    bytes: int
    per_day_bytes: float

    def days_in(self, room_bytes: float) -> float:
        """How long `room_bytes` last; inf: nothing is added."""
        return max(0.0, room_bytes) / self.per_day_bytes if self.per_day_bytes > 0 else math.inf


def growth(files: RecordFiles, now_utc_ms: int) -> Growth:
    """Raises apsw.Error, OSError.

    The rate is of the last seven days, or of what there is of them: of a day at least, or the first busy hour of a new
    box would promise a full disk.
    """
    files.not_after_s = time.monotonic() + LONGEST_S
    size = sum(path.stat().st_size for path in (files.path, *month_files(files.path)))
    live = files.live()
    pages = live.pragma("page_count") - live.pragma("freelist_count")
    rows = live.execute("SELECT count(*) FROM inspections").get
    row_bytes = pages * live.pragma("page_size") / rows if rows >= ENOUGH else ROW_BYTES
    first = _first_since(files, now_utc_ms - RATE_DAYS * DAY_MS)
    newest = live.execute("SELECT max(no) FROM inspections").get
    if first is None or newest is None:
        return Growth(size, 0.0)
    no, since_ms = first
    days = min(max((now_utc_ms - since_ms) / DAY_MS, 1.0), RATE_DAYS)
    return Growth(size, (newest - no + 1) * row_bytes / days)


def _first_since(files: RecordFiles, utc_ms: int) -> tuple[int, int] | None:
    """(number, time) of the oldest row since then."""
    sql = "SELECT no, opened_utc_ms FROM inspections WHERE opened_utc_ms >= ? ORDER BY opened_utc_ms, no LIMIT 1"
    found = [row for db in files.every() if (row := _row(db, sql, utc_ms)) is not None]
    return min(found, default=None)


def _row(db: apsw.Connection, sql: str, utc_ms: int) -> tuple[int, int] | None:
    found: tuple[int, int] | None = db.execute(sql, (utc_ms,)).get
    return found
