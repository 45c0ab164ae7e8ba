"""Months of the record: rows that nobody changes any more, a file each beside results.db.

A month's file is a mirror of results.db's table of inspections: same columns, same indexes, no triggers. It is written
by the filing alone and read-only in between. A month is one of UTC.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from inspector.core.errors import StoreError
from inspector.store.database import sync_directory
from inspector.store.rows import Late

BUSY_MS = 500  # a reader looks at it; nobody waits for us
_TABLES = ("inspections", "earlier_deliveries")
_MONTH = re.compile(r"-[0-9]{4}-[0-9]{2}\.db", re.ASCII)
Row = Mapping[str, Any]


def month_of(utc_ms: int) -> str:
    """YYYY-MM in UTC. Raises ValueError: no calendar has it."""
    return f"{_date(utc_ms):%Y-%m}".rjust(7, "0")


def begin_of_month_ms(utc_ms: int) -> int:
    """Of the month that `utc_ms` lies in. Raises ValueError: no calendar has it."""
    when = _date(utc_ms)
    return round(datetime(when.year, when.month, 1, tzinfo=UTC).timestamp() * 1000)


def _date(utc_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(utc_ms / 1000, UTC)
    except (OverflowError, OSError) as exc:
        raise ValueError(f"{utc_ms} ms is no date") from exc


def month_path(results: Path, month: str) -> Path:
    return results.with_name(f"{results.stem}-{month}.db")


def month_files(results: Path) -> list[Path]:
    """Of the record whose live file is `results`, newest month first. Raises OSError."""
    names = sorted(os.listdir(results.parent), reverse=True)
    stem = results.stem
    return [results.with_name(n) for n in names if n.startswith(stem) and _MONTH.fullmatch(n.removeprefix(stem))]


def damaged_months(results: Path) -> list[str]:
    """Names of the months' files whose head or schema cannot be read; a look at two pages of each."""
    found = []
    for path in month_files(results):
        with contextlib.suppress(OSError, apsw.CantOpenError, apsw.BusyError):  # gone meanwhile, or being written
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                db.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018  # it is the asking that tells
            except (apsw.NotADBError, apsw.CorruptError):
                found.append(path.name)
            finally:
                db.close()
    return found


@dataclass(frozen=True, slots=True)
class Schema:
    """What a month's file mirrors. columns: name -> SQL type of inspections; tables, indexes: name -> SQL."""

    columns: Mapping[str, str]
    tables: Mapping[str, str]
    indexes: Mapping[str, str]

    @classmethod
    def of(cls, db: apsw.Connection) -> Schema:
        """Raises apsw.Error."""
        columns = {name: kind for _, name, kind, *_ in db.execute("PRAGMA table_info(inspections)")}
        sql = "SELECT name, sql FROM sqlite_schema WHERE type = ? AND tbl_name IN (?, ?) AND sql IS NOT NULL"
        return cls(columns, *(dict(list(db.execute(sql, (what, *_TABLES)))) for what in ("table", "index")))

    def lacks(self, other: Schema) -> bool:
        """True if `other` has something that we have not."""
        return any(set(theirs) - set(ours) for ours, theirs in (
            (self.columns, other.columns), (self.tables, other.tables), (self.indexes, other.indexes)
        ))  # fmt: skip


class MonthFile:
    """A month's file while it is written. Blocking; one thread. Every method raises StoreError.

    A rollback journal and no WAL: at rest it is one file, which a reader opens without write access to anything.
    TRUNCATE with a sync, since an unlinked journal may be back after a power cut and take the last commit with it.
    """

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self.path, self._vfs = path, vfs
        self._db: apsw.Connection | None = None

    def open(self, schema: Schema) -> None:
        """Open or begin it, and bring it up to `schema`; what a crash left half-written is taken back."""
        with self._errors():
            if self.path.exists():
                self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) | stat.S_IWUSR)
            db = self._db = apsw.Connection(str(self.path), vfs=self._vfs)
            db.set_busy_timeout(BUSY_MS)
            db.pragma("journal_mode", "truncate")
            db.pragma("synchronous", "extra")
            db.pragma("foreign_keys", False)
            if (have := Schema.of(db)).lacks(schema):
                _grow(db, have, schema)
            sync_directory(self.path.parent)  # its name is on the disk before any row leaves results.db

    def put(self, rows: Sequence[Row], earlier: Iterable[Sequence[Any]]) -> None:
        """Rows with their earlier deliveries, on the disk on return. A row that is there already is replaced."""
        names = ", ".join(rows[0])
        marks = ", ".join("?" * len(rows[0]))
        with self._errors(), self._usable() as db:
            db.executemany("DELETE FROM earlier_deliveries WHERE no = ?", [(row["no"],) for row in rows])
            db.executemany(
                f"INSERT OR REPLACE INTO inspections ({names}) VALUES ({marks})", [tuple(r.values()) for r in rows]
            )
            db.executemany("INSERT INTO earlier_deliveries VALUES (?, ?, ?, ?, ?)", earlier)

    def note_images(self, images: Mapping[int, Late]) -> None:
        """number -> where its picture lies now; numbers of other files do nothing."""
        sql = "UPDATE inspections SET (image, picture_gone_utc_ms, picture_gone_why) = (?, ?, ?) WHERE no = ?"
        with self._errors(), self._usable() as db:
            db.executemany(sql, [(*late, no) for no, late in images.items()])

    def close(self) -> None:
        """Make it one read-only file."""
        db, self._db = self._db, None
        if db is None:
            return
        with self._errors():
            try:
                db.pragma("journal_mode", "delete")
            finally:
                db.close()
            self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) & ~0o222)
            sync_directory(self.path.parent)

    def _usable(self) -> apsw.Connection:
        if self._db is None:
            raise StoreError(f"{self.path} is not open")
        return self._db

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (apsw.Error, OSError) as exc:
            raise StoreError(f"{self.path} could not be written: {exc}") from exc


def is_settled(path: Path, schema: Schema) -> bool:
    """True if it lies there as close() left it, with all of `schema`. Raises apsw.Error, OSError."""
    if path.stat().st_mode & 0o222 or path.with_name(f"{path.name}-journal").exists():
        return False
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return not Schema.of(db).lacks(schema)
    finally:
        db.close()


def _grow(db: apsw.Connection, have: Schema, wanted: Schema) -> None:
    """Add what is missing; a column that an old file lacks is NULL in its rows."""
    with db:
        for name, sql in wanted.tables.items():
            if name not in have.tables:
                db.execute(sql)
        if have.columns:
            for name in set(wanted.columns) - set(have.columns):
                db.execute(f'ALTER TABLE inspections ADD COLUMN "{name}" {wanted.columns[name]}')
        for name, sql in wanted.indexes.items():
            if name not in have.indexes:
                db.execute(sql)
