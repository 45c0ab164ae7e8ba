"""One state of a database that another process goes on writing, as one file at rest.

The source is held in one read transaction, which holds up no writer in WAL mode. Without it SQLite's backup would begin
anew with every commit of the line, and never end. Meanwhile the WAL grows by what the line commits, no more.
"""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from inspector.backup.errors import BackupError
from inspector.backup.opening import open_database
from inspector.backup.pace import Pace

PAGES = 64  # in one step: 256 KiB
BUSY_MS = 5000
SYNC_BYTES = 8 << 20  # written back piece by piece, so that no fsync of the line has to wait for all of it


def snapshot(source: Path, target: Path, pace: Pace) -> None:
    """Copy `source` to the new file `target`, checked and on the disk. Raises BackupError: not readable, or damaged."""
    try:
        reading = open_database(source)
        try:
            reading.set_busy_timeout(BUSY_MS)
            hold_state(reading)
            _copy(reading, target, pace)
        finally:
            reading.close()
        _settle(target)
    except (apsw.Error, OSError) as exc:
        raise BackupError(f"{source} cannot be copied: {exc}") from exc


def hold_state(db: apsw.Connection) -> None:
    """From here on it is one state that is read, whoever writes meanwhile. Raises apsw.Error."""
    db.execute("BEGIN")
    list(db.execute("SELECT count(*) FROM sqlite_schema"))  # BEGIN alone holds nothing


def _copy(reading: apsw.Connection, target: Path, pace: Pace) -> None:
    page = int(reading.pragma("page_size"))
    writing = apsw.Connection(str(target))
    fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing.pragma("synchronous", "off")
        writing.pragma("journal_mode", "off")
        unsynced = 0
        with writing.backup("main", reading, "main") as copying:
            while not copying.done:
                copying.step(PAGES)
                pace.took(PAGES * page)
                unsynced += PAGES * page
                if unsynced >= SYNC_BYTES:
                    os.fdatasync(fd)
                    unsynced = 0
    finally:
        os.close(fd)
        writing.close()


def _settle(target: Path) -> None:
    """No WAL is expected beside it any more, and all of it can be read: a backup of a broken record helps nobody."""
    db = apsw.Connection(str(target))
    try:
        db.pragma("journal_mode", "delete")
        found = db.execute("PRAGMA quick_check(1)").get
    finally:
        db.close()
    if found != "ok":
        raise BackupError(f"the record is damaged, and no backup of it was made: {found}")
    fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
