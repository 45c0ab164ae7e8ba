"""Stations that a person took Offline: on the disk, so that no restart brings one back while somebody works at it."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.store import audit
from inspector.store.database import Database

KEPT = "offline.kept"  # the audit's word for a start that finds a station so


@dataclass(frozen=True, slots=True)
class TakenOffline:
    actor: str
    utc_ms: int


class OfflineBook:
    """Blocking; every call on the store's thread. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, station: str, actor: str, utc_ms: int) -> None:
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO set_offline VALUES (?, ?, ?)", (station, actor, utc_ms))

    def give_back(self, station: str) -> None:
        with self._database.transaction() as db:
            db.execute("DELETE FROM set_offline WHERE station = ?", (station,))

    def recall(self, station: str, by: str, utc_ms: int) -> TakenOffline | None:
        """At a start: who took it Offline, which `by` then puts on record; None: nobody did, and nothing is written."""
        with self._database.reading() as db:
            found = db.execute("SELECT actor, utc_ms FROM set_offline WHERE station = ?", (station,)).fetchone()
        if found is None:
            return None
        taken = TakenOffline(*found)
        with self._database.transaction() as db:
            audit.append(db, utc_ms, by, KEPT, f"{station}: as {taken.actor} left it")
        return taken
