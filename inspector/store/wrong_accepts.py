"""Parts that the PLC took as good and that were not passed: on record until a person took note, also over a restart."""

from __future__ import annotations

from inspector.store.database import Database

NEWEST = 16  # that an alarm names


class WrongAccepts:
    """Blocking; every call on the store's thread. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, station: str, trigger_id: int, part_id: int, utc_ms: int) -> None:
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO wrong_accepts (station, trigger_id, part_id, utc_ms) VALUES (?, ?, ?, ?)",
                (station, trigger_id, part_id, utc_ms),
            )

    def acknowledge(self, station: str, utc_ms: int) -> None:
        """All of this station so far."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE wrong_accepts SET acknowledged_utc_ms = ? WHERE station = ? AND acknowledged_utc_ms IS NULL",
                (utc_ms, station),
            )

    def standing(self, station: str) -> list[tuple[int, int]]:
        """(trigger id, part id) that nobody took note of, oldest first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT trigger_id, part_id FROM wrong_accepts WHERE station = ? AND acknowledged_utc_ms IS NULL"
                " ORDER BY n DESC LIMIT ?",
                (station, NEWEST),
            )
            return [(int(trigger_id), int(part_id)) for trigger_id, part_id in rows][::-1]
