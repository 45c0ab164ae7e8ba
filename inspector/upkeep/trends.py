"""How the figures of the box went: a value a minute for a week, then one an hour for three months.

Rings of a fixed number of places, whatever the clock does, in a file of their own. Written without a single sync: the
line never waits for them, a power cut may cost the trend, and a file that it broke is begun anew.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import apsw
import structlog

from inspector.core.errors import StoreError
from inspector.upkeep.measures import Measure

log = structlog.get_logger(__name__)

FILE = "health.db"
MINUTES, HOURS = 7 * 1440, 90 * 24  # places in the rings of each figure
MOST_KEYS = 96  # figures; those that were not seen for longest go
BUSY_MS = 500
STALE_S = 180.0  # what is older was written by a daemon that no longer runs
Span = Literal["day", "week", "quarter"]
SPANS: tuple[Span, ...] = ("day", "week", "quarter")

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS now (
        place INTEGER PRIMARY KEY, key TEXT NOT NULL, value REAL, unit TEXT NOT NULL, low REAL, high REAL,
        text TEXT NOT NULL, fault TEXT NOT NULL, off INTEGER NOT NULL, utc_ms INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS turns (id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL);  -- minutes so far
    INSERT OR IGNORE INTO turns VALUES (1, 0);
    CREATE TABLE IF NOT EXISTS minutes (
        key TEXT NOT NULL, slot INTEGER NOT NULL, utc_ms INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (key, slot)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS hours (
        key TEXT NOT NULL, slot INTEGER NOT NULL, utc_ms INTEGER NOT NULL,
        low REAL NOT NULL, mean REAL NOT NULL, high REAL NOT NULL, PRIMARY KEY (key, slot)
    ) WITHOUT ROWID;
    """


@dataclass(frozen=True, slots=True)
class Reading:
    """A measure as the daemon wrote it down."""

    measure: Measure
    utc_ms: int


class TrendBook:
    """The one writer. Blocking; on one thread. What cannot be written is told once, and costs nothing but the trend."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: apsw.Connection | None = None
        self._told = False

    def put(self, measures: Sequence[Measure], utc_ms: int) -> None:
        """A minute's values."""
        try:
            with self._open() as db:
                self._put(db, measures, utc_ms)
            self._told = False
        except (apsw.Error, OSError) as exc:
            self._forget(broken=isinstance(exc, apsw.CorruptError | apsw.NotADBError))
            if not self._told:
                log.warning("the trend of the box's state is not written", error=str(exc))
            self._told = True

    def close(self) -> None:
        self._forget(broken=False)

    def _put(self, db: apsw.Connection, measures: Sequence[Measure], utc_ms: int) -> None:
        n = int(db.execute("UPDATE turns SET n = n + 1 RETURNING n").get)
        db.execute("DELETE FROM now")
        db.executemany(
            "INSERT INTO now VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(i, m.key, m.value, m.unit, m.low, m.high, m.text, m.fault, m.off, utc_ms)
             for i, m in enumerate(measures)],
        )  # fmt: skip
        db.executemany(
            "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?)",
            [(m.key, n % MINUTES, utc_ms, m.value) for m in measures if m.value is not None],
        )
        if n % 60 == 0:
            newest = [(n - back) % MINUTES for back in range(60)]
            db.execute(
                "INSERT OR REPLACE INTO hours SELECT key, ?, ?, min(value), avg(value), max(value) FROM minutes"
                f" WHERE slot IN ({', '.join('?' * 60)}) GROUP BY key",
                (n // 60 % HOURS, utc_ms, *newest),
            )
            self._bound(db)

    def _bound(self, db: apsw.Connection) -> None:
        """Zones and stations come and go with configurations."""
        keys = [key for (key,) in db.execute("SELECT key FROM hours GROUP BY key ORDER BY max(utc_ms) DESC")]
        for key in keys[MOST_KEYS:]:
            db.execute("DELETE FROM minutes WHERE key = ?", (key,))
            db.execute("DELETE FROM hours WHERE key = ?", (key,))

    def _open(self) -> apsw.Connection:
        if self._db is None:
            db = self._db = apsw.Connection(str(self._path))
            db.set_busy_timeout(BUSY_MS)
            db.pragma("journal_mode", "truncate")  # a reader needs to write nothing then
            db.pragma("synchronous", "off")
            db.execute(_SCHEMA)
        return self._db

    def _forget(self, *, broken: bool) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(apsw.Error):
                db.close()
        if broken:
            log.warning("the trend of the box's state is damaged and begun anew", file=str(self._path))
            with contextlib.suppress(OSError):
                self._path.unlink()


class Trends:
    """What others read: opened for each question, and never for writing. Every method raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self) -> list[Reading]:
        """In their order; none: the daemon has not written yet."""
        sql = "SELECT key, value, unit, low, high, text, fault, off, utc_ms FROM now ORDER BY place"
        return [
            Reading(Measure(key, value, unit, low, high, text, fault, bool(off)), int(utc_ms))
            for key, value, unit, low, high, text, fault, off, utc_ms in self._ask(sql)
        ]

    def series(self, key: str, span: Span) -> list[tuple[int, float]]:
        """(utc_ms, value) of one figure, oldest first; of a quarter the mean of each hour."""
        if span == "quarter":
            sql, most = "SELECT utc_ms, mean FROM hours WHERE key = ? ORDER BY utc_ms DESC LIMIT ?", HOURS
        else:
            sql = "SELECT utc_ms, value FROM minutes WHERE key = ? ORDER BY utc_ms DESC LIMIT ?"
            most = 1440 if span == "day" else MINUTES
        return [(int(ms), float(value)) for ms, value in self._ask(sql, (key, most))][::-1]

    def _ask(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        try:
            db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                db.set_busy_timeout(BUSY_MS)
                return list(db.execute(sql, values))
            finally:
                db.close()
        except apsw.Error as exc:
            raise StoreError(f"{self._path} cannot be read: {exc}") from exc


def is_stale(reading: Reading, utc_ms: int | None = None) -> bool:
    """The daemon writes every minute; this is older, or of a time to come."""
    now = time.time_ns() // 1_000_000 if utc_ms is None else utc_ms
    return not -60_000 <= now - reading.utc_ms <= STALE_S * 1000
