"""A month's file that is damaged: set aside whole, and what can be read of it in its place. A person asks for it.

Its pages have no checksums: one that was overwritten may still read as rows. So the file that was set aside is kept
until a person moves it away, and the month of a backup is the better one where there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from inspector.core.errors import InspectorError, StoreError
from inspector.store.database import sync_directory
from inspector.store.months import MonthFile, Schema
from inspector.store.named_rows import rows_of

FINEST = 16  # numbers: about a page; smaller pieces of a page that cannot be read are not looked for
CHUNK = 2048  # numbers looked at in one go
BUSY_MS = 5000
_BROKEN = (apsw.NotADBError, apsw.CorruptError, apsw.IOError, apsw.SQLError)  # the last: the schema has lost the table
Row = Mapping[str, Any]


class NotDamaged(InspectorError):
    """The month is whole, and stays."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """rows: that could be read; lost: that could not, by what an index still names, else at most so many."""

    rows: int
    lost: int
    aside: Path


def fault_of(path: Path) -> str | None:
    """What is wrong with a month's file; all of it is read. None: it is whole. Raises apsw.Error, OSError."""
    try:
        with closing(_opened(path)) as db:
            found = str(db.execute("PRAGMA quick_check(1)").get)
    except (apsw.NotADBError, apsw.CorruptError) as exc:
        return str(exc)
    return None if found == "ok" else found


def aside_of(results: Path) -> list[str]:
    """Names of the months that were set aside and lie there still."""
    return sorted(path.name for path in results.parent.glob(f"{results.stem}-[0-9]*-[0-9]*.broken-*.db"))


def salvage(path: Path, schema: Schema, highest: int, utc_ms: int) -> Salvaged:
    """Put what can be read in the place of the month's file at `path`. highest: no number above it was given out.

    Killed at any moment, the damaged file still lies under its own name or the one it is set aside as. Raises
    NotDamaged, StoreError.
    """
    if fault_of(path) is None:
        raise NotDamaged(f"{path.name} is whole: nothing to salvage")
    aside = path.with_name(f"{path.stem}.broken-{datetime.fromtimestamp(utc_ms / 1000, UTC):%Y%m%dT%H%M%SZ}.db")
    staged = path.with_name(f".{path.name}.new")
    try:
        for end in ("-journal", ""):
            staged.with_name(staged.name + end).unlink(missing_ok=True)
        rows, lost = _copy(path, staged, schema, highest)
        os.link(path, aside)
        os.replace(staged, path)
        sync_directory(path.parent)
    except OSError as exc:
        raise StoreError(f"{path} cannot be salvaged: {exc}") from exc
    return Salvaged(rows, lost, aside)


def _copy(path: Path, staged: Path, schema: Schema, highest: int) -> tuple[int, int]:
    month, copied, lost = MonthFile(staged), _Numbers(highest), 0
    month.open(schema)
    try:
        with closing(_opened(path)) as db:
            for begin in range(0, highest, CHUNK):
                for piece in _pieces(db, begin, min(begin + CHUNK, highest)):
                    lost += piece if isinstance(piece, int) else _put(month, db, schema, piece, copied)
            lost = _fetch_missed(month, db, schema, copied, lost)
    finally:
        month.close()
    return copied.count, lost


def _put(month: MonthFile, db: apsw.Connection, schema: Schema, rows: Sequence[Row], copied: _Numbers) -> int:
    """Take rows over; how many of them are none: of a lost sector all is 0, and a row without a station is no row."""
    some = [{name: row[name] for name in schema.columns if name in row} for row in rows]
    try:
        month.put(some, _earlier(db, [row["no"] for row in some]))
    except StoreError as exc:
        if not isinstance(exc.__cause__, apsw.ConstraintError):
            raise
        if len(rows) == 1:
            return 1
        middle = len(rows) // 2
        return sum(_put(month, db, schema, half, copied) for half in (rows[:middle], rows[middle:]))
    for row in some:
        copied.add(row["no"])
    return 0


def _fetch_missed(month: MonthFile, db: apsw.Connection, schema: Schema, copied: _Numbers, lost: int) -> int:
    """A page out of order ends a search before its end, silently. The rows that an index names and that were not found
    are asked for one by one; returns how many are lost. lost: what is known of it where no index can be read."""
    missed: list[int] = []
    try:
        for (no,) in db.execute("SELECT no FROM inspections INDEXED BY inspections_by_time"):
            if copied.lacks(no):
                missed.append(no)
    except _BROKEN:
        return max(lost, len(missed))
    for no in missed:
        for piece in _pieces(db, no - 1, no):
            if not isinstance(piece, int):
                _put(month, db, schema, piece, copied)
    return sum(map(copied.lacks, missed))


class _Numbers:
    """A set of numbers from 1 to `highest`, a bit each."""

    def __init__(self, highest: int) -> None:
        self._bits, self._highest, self.count = bytearray(highest // 8 + 1), highest, 0

    def add(self, no: int) -> None:
        if self.lacks(no):
            self._bits[no >> 3] |= 1 << (no & 7)
            self.count += 1

    def lacks(self, no: int) -> bool:
        """True for one that may be of a row, and was not added."""
        return 0 < no <= self._highest and not self._bits[no >> 3] >> (no & 7) & 1


def _opened(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    db.set_busy_timeout(BUSY_MS)
    return db


def _pieces(db: apsw.Connection, after: int, to: int) -> Iterator[Sequence[Row] | int]:
    """Rows with after < no <= to; a number: of so many numbers nothing can be read."""
    try:
        if found := _rows(db, after, to):
            yield found
    except _BROKEN:
        if to - after <= FINEST:
            yield to - after
            return
        middle = (after + to) // 2
        yield from _pieces(db, after, middle)
        yield from _pieces(db, middle, to)


def _rows(db: apsw.Connection, after: int, to: int) -> Sequence[Row]:
    sql = "SELECT * FROM inspections NOT INDEXED WHERE no > ? AND no <= ? ORDER BY no"
    return rows_of(db, sql, (after, to))


def _earlier(db: apsw.Connection, numbers: Sequence[int]) -> list[Sequence[Any]]:
    """What was told of these parts before; none of it where it cannot be read."""
    marks = ", ".join("?" * len(numbers))
    try:
        return list(db.execute(f"SELECT * FROM earlier_deliveries WHERE no IN ({marks}) ORDER BY rowid", numbers))
    except _BROKEN:
        return []
