"""An audit: who did what, as a hash chain in a table that only grows.

office.db holds that of accounts, which the page writes, and results.db that of the line, which the daemon writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import structlog

from inspector.core.chain import NO_HEAD, Entry, Flaw, Head, flaws, following
from inspector.core.errors import StoreError

log = structlog.get_logger(__name__)

STEP = """
    CREATE TABLE audit (  -- a hash chain, see chain.py
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        utc_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, what TEXT NOT NULL,
        before TEXT NOT NULL, hash TEXT NOT NULL
    );
    CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'an entry of the audit never changes'); END;
    CREATE TRIGGER audit_remains BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'an entry of the audit is kept for good'); END;
    """
BUSY_MS = 1000
_COLUMNS = "number, utc_ms, actor, action, what, before, hash"


def append(db: apsw.Connection, utc_ms: int, actor: str, action: str, what: str) -> Entry:
    """Add an entry, inside the transaction of the deed itself: no deed without its entry.

    The log has its hash too: that is the head to compare with, in a place that this database's owner does not write.
    """
    entry = following(head(db), utc_ms, actor, action, what)
    db.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.number, utc_ms, actor, action, what, entry.before, entry.hash),
    )
    log.info("audit", number=entry.number, hash=entry.hash, actor=actor, action=action, what=what)
    return entry


def head(db: apsw.Connection) -> Head:
    """The newest entry."""
    for number, hash_ in db.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"):
        return Head(int(number), str(hash_))
    return NO_HEAD


def latest(db: apsw.Connection, action: str, begin: str = "") -> Entry | None:
    """The newest entry of this action whose `what` begins so."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE action = ? AND substr(what, 1, ?) = ? ORDER BY number DESC LIMIT 1",
        (action, len(begin), begin),
    )
    return next((Entry(*row) for row in rows), None)


def hash_at(db: apsw.Connection, number: int) -> str | None:
    """Of an entry; None: there is none."""
    found: str | None = db.execute("SELECT hash FROM audit WHERE number = ?", (number,)).get
    return found


def newest(db: apsw.Connection, before: int | None, most: int) -> list[Entry]:
    """Entries below number `before`, newest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE ?1 IS NULL OR number < ?1 ORDER BY number DESC LIMIT ?2", (before, most)
    )
    return [Entry(*row) for row in rows]


def check(db: apsw.Connection, noted: Collection[Head] = ()) -> tuple[int, list[Flaw]]:
    """How many entries there are, and what does not fit."""
    counted = 0

    def entries() -> Iterator[Entry]:
        nonlocal counted
        for row in db.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY number"):
            counted += 1
            yield Entry(*row)

    found = list(flaws(entries(), _written(db), noted))
    return counted, found


def check_file(path: Path, noted: Collection[Head] = ()) -> tuple[int, list[Flaw], Head]:
    """The same of a database that another process may be writing, with its head. Raises StoreError."""
    with reading(path) as db:
        counted, found = check(db, noted)
        return counted, found, head(db)


@contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """One state of such a database, for all questions. Raises StoreError."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as exc:
        raise StoreError(f"{path} cannot be opened: {exc}") from exc
    try:
        db.set_busy_timeout(BUSY_MS)
        db.execute("BEGIN")
        yield db
    except (apsw.Error, UnicodeDecodeError) as exc:
        raise StoreError(f"{path} cannot be read: {exc}") from exc
    finally:
        db.close()


def _written(db: apsw.Connection) -> int:
    """The highest number that SQLite ever gave."""
    for (number,) in db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'"):
        return int(number)
    return 0
