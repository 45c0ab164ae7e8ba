"""A month of the record goes: only after an export that a person checked, never a lot on hold, and it is on record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import apsw

from inspector.core.errors import InspectorError
from inspector.store.database import sync_directory
from inspector.store.months import Schema, is_settled, month_path

CHUNK = 1 << 20
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


class FarewellError(InspectorError):
    """The month stays; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month's file as it lies there, at rest."""

    month: str
    path: Path
    sha256: str
    rows: int
    bytes: int
    pictures: tuple[tuple[int, str], ...]  # (number, path) of those that its rows still name
    lots: frozenset[str]


def look(results: Path, month: str, lots: Collection[str] | None, schema: Schema) -> Month:
    """The month, if it may go. lots: on hold; None: not known. Raises FarewellError, apsw.Error, OSError."""
    path = file_of(results, month)
    if not is_settled(path, schema):
        raise FarewellError(f"{path.name} is being written; try again once the filing has come to rest")
    if lots is None:
        raise FarewellError("which lots are on hold is not known yet; try again")
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        here = frozenset(lot for (lot,) in db.execute("SELECT DISTINCT lot FROM inspections WHERE lot <> ''"))
        require_none_held(path, here, lots)
        rows = db.execute("SELECT count(*) FROM inspections").get
        pictures = tuple(db.execute("SELECT no, image FROM inspections WHERE image IS NOT NULL ORDER BY no"))
    finally:
        db.close()
    return Month(month, path, sha256_of(path), rows, path.stat().st_size, pictures, here)


def require_none_held(path: Path, here: Collection[str], held: Collection[str]) -> None:
    """Raises FarewellError: one of the lots of this file is on hold."""
    if both := sorted(set(here) & set(held)):
        raise FarewellError(f"{path.name} has parts of lots on hold: {', '.join(both)}")


def remove(month: Month) -> None:
    """Raises OSError."""
    month.path.unlink()
    sync_directory(month.path.parent)


def note(db: apsw.Connection, month: Month, actor: str, reason: str, utc_ms: int) -> None:
    """Inside the caller's transaction. Raises apsw.Error."""
    db.execute(
        "INSERT INTO months_gone (month, sha256, rows, bytes, actor, reason, utc_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (month.month, month.sha256, month.rows, month.bytes, actor, reason, utc_ms),
    )


def file_of(results: Path, month: str) -> Path:
    """Raises FarewellError: no month, or there is no file of it."""
    if _MONTH.fullmatch(month) is None:
        raise FarewellError(f"{month!r} is no month such as 2026-05")
    path = month_path(results, month)
    if not path.is_file():
        raise FarewellError(f"there is no {path.name}: the running month has no file yet, and one that went is gone")
    return path


def sha256_of(path: Path) -> str:
    """Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
