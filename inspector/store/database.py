"""A database as its only writer holds it: one connection, transactions that are on the disk when they return."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from inspector.core.errors import StoreBroken, StoreError
from inspector.store.migrations import STEPS, migrate

BUSY_MS = 50  # nobody else writes; readers in WAL mode block no writer
CHECKPOINT_PAGES = 256  # 1 MB of WAL: moved into the file between parts
CHECKPOINT_AT_ONCE_PAGES = 8192  # 32 MB: moved inside a commit, so that the WAL stays bounded
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
UNREADABLE = (apsw.Error, OSError, UnicodeDecodeError)  # the last: of a damaged page a text may be none any more


class Database:
    """Blocking; every call on the store's thread. Every method raises StoreError.

    A full disk or a lock is an error of this transaction, and the next may succeed. Anything else (I/O error, read-only
    file system, corruption) is StoreBroken until the process is started again: after a failed fsync the kernel may call
    pages clean that never reached the disk, so a retry that succeeds would prove nothing.
    """

    def __init__(self, path: Path, *, steps: Sequence[str] = STEPS, vfs: str | None = None) -> None:
        self.path, self._steps = path, steps  # the numbered steps of its schema
        self.vfs = vfs  # SQLite's file layer by name; the tests' stalls and loses writes
        self._db: apsw.Connection | None = None
        self._lock_fd: int | None = None
        self._broken: str | None = None
        self._wal_pages = 0

    def open(self) -> None:
        """Open for writing, by one process at a time, and bring the schema up to date."""
        self._broken = None  # of a file that was set aside meanwhile
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = take_lock(self.path)
            db = apsw.Connection(str(self.path), vfs=self.vfs)
            self._db = db
            db.set_busy_timeout(BUSY_MS)
            db.pragma("journal_mode", "wal")
            db.pragma("synchronous", "full")  # fsync in every commit: what was acknowledged survives a power cut
            db.pragma("foreign_keys", False)
            db.pragma("journal_size_limit", 4096 * CHECKPOINT_PAGES)
            flag = ctypes.c_int(1)  # the page opens it read-only, which works only where a WAL is
            db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(flag))
            db.set_wal_hook(self._after_commit)
            migrate(db, self._steps)
            sync_directory(self.path.parent)
        except (apsw.Error, OSError, StoreError) as exc:
            self.close()
            raise StoreError(f"{self.path} cannot be opened: {exc}") from exc

    def close(self) -> None:
        """Close; later calls raise StoreError."""
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(apsw.Error):  # a last checkpoint that fails loses nothing: the WAL stays
                db.close()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """Commit what the body writes, to the disk; all of it or nothing."""
        db = self._usable()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except (apsw.Error, UnicodeDecodeError) as exc:
            raise self._error(exc) from exc
        finally:
            if db.in_transaction:
                with contextlib.suppress(apsw.Error):  # the first error is the one to tell
                    db.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Short questions outside a transaction."""
        try:
            yield self._usable()
        except (apsw.Error, UnicodeDecodeError) as exc:
            raise self._error(exc) from exc

    def checkpoint(self) -> None:
        """Move the WAL into the file if it has grown. Call it between parts."""
        if self._wal_pages < CHECKPOINT_PAGES:
            return
        with self.reading() as db:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._wal_pages = 0

    def free_bytes(self) -> int:
        """Room on the file system."""
        try:
            found = os.statvfs(self.path.parent)
        except OSError as exc:
            raise StoreError(f"{self.path.parent}: {exc.strerror}") from exc
        return found.f_bavail * found.f_frsize

    def _usable(self) -> apsw.Connection:
        if self._broken is not None:
            raise StoreBroken(self._broken)
        if self._db is None:
            raise StoreError(f"{self.path} is not open")
        return self._db

    def _error(self, exc: apsw.Error | UnicodeDecodeError) -> StoreError:
        passing = isinstance(exc, apsw.FullError | apsw.BusyError | apsw.LockedError)
        full = self._db is not None and self._db.system_errno in _NO_ROOM and isinstance(exc, apsw.IOError)
        if passing or full:
            return StoreError(f"{self.path} could not be written: {exc}")
        self._broken = f"{self.path} is out of service until a restart, after: {exc}"
        return StoreBroken(self._broken)

    def _after_commit(self, db: apsw.Connection, _: str, pages: int) -> int:
        self._wal_pages = pages
        if pages >= CHECKPOINT_AT_ONCE_PAGES:
            with contextlib.suppress(apsw.FullError, apsw.BusyError):  # this commit is done; checkpoint() will tell
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return apsw.SQLITE_OK


def take_lock(path: Path) -> int:
    """Be the only one that writes the database at `path`, until the descriptor is closed. Raises StoreError, OSError.

    A lock file of our own: closing any descriptor of the database would drop SQLite's locks. A restore takes it as
    root, in the folder of another user, whose links it must not follow.
    """
    fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(fd)
        raise StoreError("another process writes it: is the daemon running twice?") from exc
    return fd


def sync_directory(folder: Path) -> None:
    """The names in it too must survive a power cut. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
