"""Lots on hold, whose pictures never give way, and pictures that were reviewed: what the archive asks first.

A hold is a row that says who, why and when, and so is its release; both are kept for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import apsw

from inspector.core.errors import InspectorError
from inspector.store.database import Database

MAX_LOT, MAX_REASON = 64, 500


class HoldError(InspectorError):
    """The lot cannot be put on hold or released like this; the text says why."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One entry: a lot was put on hold, or released."""

    n: int
    lot: str
    held: bool
    actor: str
    reason: str
    utc_ms: int


def standing(db: apsw.Connection) -> list[Hold]:
    """The lots that are on hold, newest first; on any open results.db. Raises apsw.Error."""
    sql = (
        "SELECT n, lot, held, actor, reason, utc_ms FROM lot_holds AS h WHERE held = 1"
        " AND n = (SELECT max(n) FROM lot_holds WHERE lot = h.lot) ORDER BY n DESC"
    )
    return [_hold(row) for row in db.execute(sql)]


def newest(db: apsw.Connection, limit: int) -> list[Hold]:
    """The last entries of all lots, newest first. Raises apsw.Error."""
    sql = "SELECT n, lot, held, actor, reason, utc_ms FROM lot_holds ORDER BY n DESC LIMIT ?"
    return [_hold(row) for row in db.execute(sql, (limit,))]


def of_lot(db: apsw.Connection, lot: str) -> list[Hold]:
    """All entries of a lot, newest first. Raises apsw.Error."""
    sql = "SELECT n, lot, held, actor, reason, utc_ms FROM lot_holds WHERE lot = ? ORDER BY n DESC"
    return [_hold(row) for row in db.execute(sql, (lot,))]


class Holds:
    """Blocking; every method on the store's thread but the attributes, which are replaced whole. Raises StoreError.

    lots: on hold as of the last commit; None: not read yet, so that nobody may take a lot for released.
    version: grows with each change that lets more pictures go, or fewer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lots: frozenset[str] | None = None
        self.version = 0

    def load(self) -> None:
        with self._database.reading() as db:
            self.lots = frozenset(hold.lot for hold in standing(db))
        self.version += 1

    def enter(self, lot: str, held: bool, actor: str, reason: str, utc_ms: int) -> None:
        """Put a lot on hold, or release it. Raises HoldError: no lot, no reason, or it is so already."""
        lot, reason = lot.strip(), reason.strip()
        if not 0 < len(lot) <= MAX_LOT or not lot.isprintable():
            raise HoldError(f"a lot is named by 1 to {MAX_LOT} printable characters")
        if not 0 < len(reason) <= MAX_REASON:
            raise HoldError(f"a reason of 1 to {MAX_REASON} characters is needed")
        with self._database.transaction() as db:
            before = next(iter(of_lot(db, lot)), None)
            if (before is not None and before.held) is held:
                raise HoldError(f"lot {lot} is {'on hold already' if held else 'not on hold'}")
            db.execute(
                "INSERT INTO lot_holds (lot, held, actor, reason, utc_ms) VALUES (?, ?, ?, ?, ?)",
                (lot, held, actor, reason, utc_ms),
            )
        self.load()

    def mark_reviewed(self, reviewed: Iterable[int], opened: Iterable[int]) -> None:
        """Note which pictures are settled, and which are to be looked at (again)."""
        with self._database.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO reviewed VALUES (?)", [(no,) for no in reviewed])
            db.executemany("DELETE FROM reviewed WHERE no = ?", [(no,) for no in opened])
        self.version += 1


def _hold(row: Sequence[object]) -> Hold:
    n, lot, held, actor, reason, utc_ms = row
    return Hold(int(str(n)), str(lot), bool(held), str(actor), str(reason), int(str(utc_ms)))
