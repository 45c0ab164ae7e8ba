"""An office.db that is broken: seen when it is opened, set aside whole, and its newest copy taken in its place.

`inspector backup` leaves a copy beside the state, checked when it was made, which the page alone may read. Without one
the page begins anew, as on a new box: its log tells the one-time code that makes the first administrator.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw
import structlog

from inspector.core.errors import StoreError
from inspector.store import audit
from inspector.store.database import sync_directory, take_lock
from inspector.store.regain import own_folder
from inspector.store.rescue import BROKEN, begun, forget_begun, may_be_opened, move_aside, note_of

log = structlog.get_logger(__name__)

CHECK_S = 3.0  # what the check has not read by then counts as whole
_STEPS = 100_000
PAGE = "page"  # the actor: nobody is logged in


def spare_of(results: Path) -> Path:
    """Where the newest copy of office.db lies, if there is one."""
    return own_folder(results.parent) / "office.db"


def mend(path: Path, spare: Path | None, utc_ms: int) -> None:
    """Before `path` is opened. Raises StoreError: another process writes it, or it cannot be set aside."""
    if not path.exists() and not note_of(path).exists():
        return
    try:
        lock = take_lock(path)
    except OSError as exc:
        raise StoreError(f"{path} cannot be opened: {exc}") from exc
    try:
        what: str | None = "a start that had seen it was ended"
        if begun(path) is None and (what := _fault(path)) is None:
            return
        aside = move_aside(path, utc_ms)
        log.error("accounts and labels are broken and were set aside", file=aside.name, fault=what)
        if not path.exists() and spare is not None and spare.exists():
            _take(spare, path, aside.name, utc_ms)
        forget_begun(path)
    finally:
        os.close(lock)


def _fault(path: Path) -> str | None:
    """What is wrong with the file; None: nothing was found. What cannot be read at all is for the opening to tell."""
    if not may_be_opened(path):
        return "file is not a database"
    end_s = time.monotonic() + CHECK_S
    try:
        with closing(apsw.Connection(str(path))) as db:
            db.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS)
            found = str(db.execute("PRAGMA integrity_check(1)").get)
    except BROKEN as exc:
        return str(exc)
    except apsw.Error:
        return None
    return None if found == "ok" else found


def _take(spare: Path, path: Path, aside: str, utc_ms: int) -> None:
    """The copy, without what would let somebody in who was let in then. One that is no good is left alone."""
    staged = path.with_name(f".{path.name}.new")
    try:
        copied = f"{datetime.fromtimestamp(spare.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"
        shutil.copyfile(spare, staged)
        staged.chmod(0o600)
        with closing(apsw.Connection(str(staged))) as db, db:
            db.execute("DELETE FROM sessions")
            db.execute("UPDATE people SET code_hash = NULL, code_until_utc_ms = NULL")
            audit.append(db, utc_ms, PAGE, "office.mended", f"{aside}: {copied}")
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(staged, path)
        sync_directory(path.parent)
    except (apsw.Error, OSError) as exc:
        log.error("the copy of accounts and labels cannot be used: they begin anew", file=str(spare), error=str(exc))
        staged.unlink(missing_ok=True)
        return
    log.error("accounts and labels are those of their newest copy", of=copied)
