"""The record with what stands beside its rows: earlier deliveries, what judged, and where the PLC did not obey."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from inspector.store.history import SqliteHistory
from inspector.store.holds import Hold, newest, of_lot, standing
from inspector.store.month_list import GoneMonth, KeptMonth, months
from inspector.web.records import Row
from inspector.web.traces import Revision, Told, Trace


class TracedHistory(SqliteHistory):
    """Implements the page's TracedRecords."""

    async def trace(self, row: Row) -> Trace:
        """Raises Unreadable."""
        told = [Told(*found) for found in await self.earlier_deliveries(row["no"])]
        if row["published_code"] is not None:
            told.append(Told(row["published_code"], row["published_reason"], row["published_utc_ms"], row["delivery"]))
        return await self._ask(lambda db: _trace(db, row, tuple(told)))

    async def holds(self, limit: int) -> tuple[list[Hold], list[Hold]]:
        return await self._ask(lambda db: (standing(db), newest(db, limit)))

    async def months(self) -> tuple[Sequence[KeptMonth], Sequence[GoneMonth]]:
        return await self.ask_all(months)

    async def hold_of(self, lot: str) -> Hold | None:
        entries = await self._ask(lambda db: of_lot(db, lot)) if lot else []
        return entries[0] if entries and entries[0].held else None


def _trace(db: apsw.Connection, row: Row, told: tuple[Told, ...]) -> Trace:
    return Trace(told, _settings(db, row), _revision(db, row), _taken_as_good(db, row))


def _settings(db: apsw.Connection, row: Row) -> str | None:
    """Of the row's MODEL_REV, and only where it names the same bundle and recipe revision."""
    key = (row["model_rev"], row["bundle_id"], row["recipe"], row["recipe_revision"])
    found: str | None = db.execute(
        "SELECT settings FROM model_revs WHERE (model_rev, bundle_id, recipe, recipe_revision) = (?, ?, ?, ?)", key
    ).get
    return found


def _revision(db: apsw.Connection, row: Row) -> Revision | None:
    sql = "SELECT content, created_utc_ms, actor, reason FROM recipe_revisions WHERE (number, revision) = (?, ?)"
    found = db.execute(sql, (row["recipe"], row["recipe_revision"])).get
    return None if found is None else Revision(*found)


def _taken_as_good(db: apsw.Connection, row: Row) -> tuple[int, ...]:
    """Ids come again: what was noted after the next row of the same id and part is not of this one."""
    same = "station = ?1 AND trigger_id = ?2 AND part_id = ?3"
    sql = (
        f"SELECT utc_ms FROM wrong_accepts WHERE {same} AND utc_ms >= ?4 AND NOT EXISTS"
        f" (SELECT 1 FROM inspections WHERE {same} AND no > ?5 AND opened_utc_ms <= wrong_accepts.utc_ms) ORDER BY n"
    )
    key = (row["station"], row["trigger_id"], row["part_id"], row["opened_utc_ms"], row["no"])
    return tuple(utc_ms for (utc_ms,) in db.execute(sql, key))
