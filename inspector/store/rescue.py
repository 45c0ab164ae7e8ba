"""A record that is broken: seen at the start, set aside whole, and a new one begun in its place.

Rows of past months lie in files of their own and are not touched. What the small tables say (recipes, MODEL_REV,
counts) is taken over as far as it can be read; numbers go on above all that may ever have been given out.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import structlog

from inspector.core.errors import StoreError
from inspector.store import regain
from inspector.store.database import UNREADABLE, Database, sync_directory, take_lock
from inspector.store.migrations import STEPS, migrate
from inspector.store.months import month_files

log = structlog.get_logger(__name__)

CHECK_S = 3.0  # of a start are for looking whether the file is whole; what it has not read by then counts as whole
RESERVED = 100_000  # numbers beyond the next one that are noted as given out, each time
_STEPS = 100_000
_ROWS = {"inspections", "earlier_deliveries"}  # stay in what was set aside: there may be a million
_HOLDS = "lot_holds"  # one that is lost lets pictures go
_HEAD = b"SQLite format 3\0"
BROKEN = (apsw.NotADBError, apsw.CorruptError)
MET = (*BROKEN, UnicodeDecodeError)  # the last: a flipped bit made a text none, and no look at the file finds it


def rescue(database: Database, utc_ms: int, met: str | None = None) -> None:
    """Before `database` is opened: where its file is broken, begin a new one. Raises StoreError.

    met: what a start came upon that the look had passed over; the look is spared.

    A disk that cannot be read is another matter: that is an error of the opening, and nothing is set aside.
    """
    path = database.path
    if not path.exists() and not note_of(path).exists():
        return
    try:
        lock = take_lock(path)
    except OSError as exc:
        raise StoreError(f"{path} cannot be opened: {exc}") from exc
    try:
        what: str | None = "a start that had seen it was ended"
        if begun(path) is None and (what := met or _fault(path, database.vfs)) is None:
            return
        aside = move_aside(path, utc_ms)
        log.error("the record is broken and was set aside", file=aside.name, fault=what)
        if not path.exists():
            _begin_anew(path, aside, database.vfs)
        forget_begun(path)
    finally:
        os.close(lock)


def _begin_anew(path: Path, aside: Path, vfs: str | None) -> None:
    """The new record, whole or not at all: one without the numbers of the former would give them out again."""
    staged = path.with_name(f".{path.name}.new")
    try:
        for end in ("-journal", ""):  # of a start that was ended
            staged.with_name(staged.name + end).unlink(missing_ok=True)
        with contextlib.closing(apsw.Connection(str(staged), vfs=vfs)) as db:
            migrate(db, STEPS)
            with db:
                highest = highest_given(path, [aside])
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('inspections', ?)", (highest,))
                comes_back = regain.begin(path, highest)
                _take_over([aside, regain.copy_of(path)] if comes_back else [aside], db)
        os.rename(staged, path)
        sync_directory(path.parent)
    except (apsw.Error, OSError) as exc:
        raise StoreError(f"{path} cannot be begun anew: {exc}") from exc


def set_aside(path: Path) -> list[str]:
    """Names of the records that lie there broken, oldest first: a person has not dealt with them yet."""
    return sorted(p.name for p in path.parent.glob(f"{path.stem}.broken-*.db"))


def reserve(path: Path, next_no: int) -> int:
    """Note that all numbers up to the one returned may have been given out, on the disk. Raises StoreError."""
    highest = next_no + RESERVED
    file = _numbers(path)
    try:
        _write_whole(file, f"{highest}\n")
    except OSError as exc:
        raise StoreError(f"{file} could not be written: {exc}") from exc
    return highest


def _numbers(path: Path) -> Path:
    return path.with_suffix(".numbers")


def _fault(path: Path, vfs: str | None) -> str | None:
    """What is wrong with the file; None: nothing was found."""
    end_s = time.monotonic() + CHECK_S
    if not may_be_opened(path):
        return "file is not a database"
    try:
        db = apsw.Connection(str(path), vfs=vfs)
        try:
            if db.execute("SELECT count(*) FROM sqlite_schema").get == 0 or _ended_in_order(db):
                return None
            db.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS)
            found: str | None = db.execute("PRAGMA quick_check(1)").get
        finally:
            db.close()
    except BROKEN as exc:
        return str(exc)
    except apsw.InterruptError:
        return None
    except apsw.Error as exc:
        raise StoreError(f"{path} cannot be opened: {exc}") from exc
    return None if found in ("ok", None) else found


def may_be_opened(path: Path) -> bool:
    """False: its head is none of SQLite's, which would remove the WAL of such a file, and with it the newest rows."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HEAD)) in (_HEAD, b"")
    except OSError as exc:
        raise StoreError(f"{path} cannot be opened: {exc}") from exc


def _ended_in_order(db: apsw.Connection) -> bool:
    """A life that met a broken page never does."""
    return bool(db.execute("SELECT ended_utc_ms IS NOT NULL FROM boots ORDER BY boot DESC LIMIT 1").get)


def move_aside(path: Path, utc_ms: int) -> Path:
    """Rename it with what belongs to it, under a note that stands until `forget_begun`: who is killed meanwhile goes on
    at the next start, under the same name. Without it a database would be taken for whole whose WAL has gone ahead.

    Returns its new place. Raises StoreError.
    """
    try:
        aside = begun(path) or _begin(path, utc_ms)
        if not aside.exists():  # the database last: where it lies there, all does
            for end in ("-shm", "-wal", ""):
                if (file := path.with_name(path.name + end)).exists():
                    os.rename(file, aside.with_name(aside.name + end))
                    sync_directory(path.parent)
    except OSError as exc:
        raise StoreError(f"{path} is broken and cannot be set aside: {exc}") from exc
    return aside


def begun(path: Path) -> Path | None:
    """Where it is being set aside to, as a start noted that was ended; None: there is no note. Raises StoreError."""
    try:
        name = note_of(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise StoreError(f"{note_of(path)} cannot be read: {exc}") from exc
    if not re.fullmatch(rf"{re.escape(path.stem)}\.broken-[0-9]{{8}}T[0-9]{{6}}Z\.db", name, re.ASCII):
        raise StoreError(f"{note_of(path)} names no record that was set aside")
    return path.with_name(name)


def forget_begun(path: Path) -> None:
    """What takes its place is there, or nothing will. Raises StoreError."""
    try:
        note_of(path).unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as exc:
        raise StoreError(f"{note_of(path)} cannot be removed: {exc}") from exc


def note_of(path: Path) -> Path:
    """Lies there while the database at `path` is being set aside."""
    return path.with_suffix(".aside")


def _begin(path: Path, utc_ms: int) -> Path:
    while True:
        when = datetime.fromtimestamp(utc_ms / 1000, UTC)
        aside = path.with_name(f"{path.stem}.broken-{when:%Y%m%dT%H%M%SZ}.db")
        if not aside.exists():
            break
        utc_ms += 1000  # another one of this second
    _write_whole(note_of(path), aside.name)
    return aside


def _write_whole(file: Path, text: str) -> None:
    """To the disk. Raises OSError."""
    staged = file.with_name(f"{file.name}.new")
    with staged.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(staged, file)
    sync_directory(file.parent)


def highest_given(path: Path, files: Sequence[Path]) -> int:
    """No number above it was ever given out, by all that is left to tell: `files`, and what lies beside `path`."""
    found, records = [0], [*(one for one in files if one.exists()), *month_files(path)]
    try:
        found.append(int(_numbers(path).read_text(encoding="ascii")))
    except (OSError, ValueError) as exc:
        if records or not isinstance(exc, FileNotFoundError):  # a folder that never had a record gave none out
            log.warning("which numbers were given out is not on record", error=str(exc))
    for file in records:
        for sql in ("SELECT max(no) FROM inspections", "SELECT seq FROM sqlite_sequence WHERE name = 'inspections'"):
            found += [int(no) for (no,) in _readable(file, sql) if no is not None]
    return max(found)


def _take_over(sources: Sequence[Path], new: apsw.Connection) -> None:
    """Table by table, each as far as it can be read and the new schema takes it.

    sources: the broken record, and its copy where there is one, for the tables of which nothing can be read; of holds,
    which only ever grow, the copy has those that are lost in the middle.
    """
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    for (table,) in list(new.execute(sql)):
        if table in _ROWS:
            continue
        names = [name for _, name, *_ in new.execute(f"PRAGMA table_info({table})")]
        marks = ", ".join("?" * len(names))
        for source in sources:
            taken = 0
            for row in _readable(source, f"SELECT {', '.join(names)} FROM {table}"):
                try:
                    new.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})", row)
                except apsw.ConstraintError as exc:  # a row before it is lost: what counts one by one ends there
                    log.error("a row of the broken record is not taken over", table=table, error=str(exc))
                    break
                taken += 1
            log.warning("taken over", file=source.name, table=table, rows=taken)
            if taken and table != _HOLDS:
                break


def _opened_for_reading(file: Path) -> apsw.Connection:
    """A WAL beside it can be read where we may write; a copy that another user made has none."""
    try:
        return apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.CantOpenError:
        return apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)


def _readable(file: Path, sql: str) -> Iterator[tuple[Any, ...]]:
    """Rows until the first that cannot be read."""
    if not may_be_opened(file):
        return
    db: apsw.Connection | None = None
    try:
        db = _opened_for_reading(file)
        yield from db.execute(sql)
    except UNREADABLE as exc:
        log.warning("cannot be read any further", file=file.name, error=str(exc))
    finally:
        if db is not None:
            with contextlib.suppress(apsw.Error):
                db.close()
