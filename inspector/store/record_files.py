"""results.db and the months' files beside it, opened read-only as they are asked. Blocking; one thread only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from inspector.store.months import month_files

BUSY_MS = 200
STEPS = 10_000  # of SQLite's machine between two looks at the clock


class RecordFiles:
    """Every method raises apsw.Error or OSError; then call `forget`, and ask again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.not_after_s = 0.0  # on time.monotonic(): no question runs longer
        self._dbs: dict[Path, apsw.Connection] = {}

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
            known = path in self._dbs
            db = self._open(path)
            if known or db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'inspections'").get:
                yield db
            else:  # begun a moment ago, or before a power cut: no row has left results.db for it
                self._dbs.pop(path).close()

    def forget(self) -> None:
        """Close all; they are opened anew when asked."""
        dbs, self._dbs = self._dbs, {}
        for db in dbs.values():
            db.close()

    def _open(self, path: Path) -> apsw.Connection:
        if path not in self._dbs:
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            db.set_busy_timeout(BUSY_MS)
            db.set_progress_handler(lambda: time.monotonic() > self.not_after_s, STEPS)
            self._dbs[path] = db
        return self._dbs[path]
