"""results.db and the months' files beside it, opened read-only as they are asked. Blocking; one thread only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import structlog

from inspector.store.months import month_files

log = structlog.get_logger(__name__)

BUSY_MS = 200
STEPS = 10_000  # of SQLite's machine between two looks at the clock
BROKEN = (apsw.NotADBError, apsw.CorruptError)
Seen = tuple[int, int]  # bytes and time of a file: another one in its place is looked at anew


class RecordFiles:
    """Every method raises apsw.Error or OSError; then call `forget`, and ask again.

    without_broken: a month that is damaged is left out and told in the log, and the others are read on. Only for who
    shows the record: whoever removes what no row names must not mistake a damaged file for one without rows.
    """

    def __init__(self, path: Path, *, without_broken: bool = False) -> None:
        self.path, self._without_broken = path, without_broken
        self._broken: dict[Path, Seen] = {}
        self.not_after_s = 0.0  # on time.monotonic(): no question runs longer
        self._dbs: dict[Path, apsw.Connection] = {}
        self._files: dict[Path, tuple[int, int]] = {}  # device and inode of each that is open

    def live(self) -> apsw.Connection:
        """results.db."""
        return self._open(self.path)

    def every(self) -> Iterator[apsw.Connection]:
        """results.db, and what months there are by the time that it was asked; newest first.

        A row moves from results.db to its month in that order: asked like this, none is missed, and one may come twice.
        """
        yield self.live()
        months = month_files(self.path)
        for gone in set(self._dbs) - {self.path, *months}:
            self._dbs.pop(gone).close()
        for path in months:
            if (db := self._month(path)) is not None:
                yield db

    def broken(self) -> set[str]:
        """Names of the months' files that are damaged, as far as was seen."""
        return {path.name for path in self._broken}

    def leave_broken(self) -> bool:
        """After a question met a damaged page: look which month's file has it. True: one is left out from now on."""
        before = len(self._broken)
        for path in month_files(self.path) if self._without_broken else ():
            try:
                found = "ok" if path in self._broken else self._open(path).execute("PRAGMA quick_check(1)").get
                if found != "ok":
                    self._leave(path, str(found))
            except BROKEN as exc:
                self._leave(path, str(exc))
            except apsw.InterruptError:
                continue  # not a word of it within the time there is
        return len(self._broken) > before

    def _month(self, path: Path) -> apsw.Connection | None:
        """None: no row is in it, or none can be read."""
        if path in self._broken:
            if self._broken[path] == seen(path):
                return None
            del self._broken[path]
        known = path in self._dbs
        try:
            db = self._open(path)
            if known or db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'inspections'").get:
                return db
        except BROKEN as exc:
            if not self._without_broken:
                raise
            self._leave(path, str(exc))
            return None
        self._dbs.pop(path).close()  # begun a moment ago, or before a power cut: no row has left results.db for it
        return None

    def _leave(self, path: Path, what: str) -> None:
        if (db := self._dbs.pop(path, None)) is not None:
            db.close()
        self._broken[path] = seen(path)
        log.error("a month of the record is damaged and is left out", file=path.name, fault=what)

    def forget(self) -> None:
        """Close all; they are opened anew when asked."""
        dbs, self._dbs = self._dbs, {}
        for db in dbs.values():
            db.close()

    def _open(self, path: Path) -> apsw.Connection:
        found = path.stat() if path in self._dbs else None
        if found is not None and (found.st_dev, found.st_ino) != self._files[path]:
            self._dbs.pop(path).close()  # another file took its place: a record that broke, a month that went
        if path not in self._dbs:
            found = path.stat()
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            db.set_busy_timeout(BUSY_MS)
            db.set_progress_handler(lambda: time.monotonic() > self.not_after_s, STEPS)
            self._dbs[path], self._files[path] = db, (found.st_dev, found.st_ino)
        return self._dbs[path]


def seen(path: Path) -> Seen:
    """Bytes and time of a file: what tells it from another in its place. Raises OSError."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns
