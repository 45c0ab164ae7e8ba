"""The journal of alarms: every change of each, with who made it. Its last line of an alarm is that alarm's state."""

from __future__ import annotations

from collections.abc import Sequence

from inspector.core.alarms import Change, Event, Phase
from inspector.store.database import Database

_COLUMNS = "alarm, event, phase, cause, priority, since_utc_ms, shelved_until_utc_ms, utc_ms, actor, why"


class AlarmBook:
    """Blocking; every call on the store's thread. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, changes: Sequence[Change]) -> None:
        """All of them or none."""
        with self._database.transaction() as db:
            for c in changes:
                db.execute(
                    f"INSERT INTO alarm_changes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        c.id, str(c.event), str(c.phase), c.cause, c.priority, c.since_utc_ms, c.shelved_until_utc_ms,
                        c.utc_ms, c.actor, c.why,
                    ),
                )  # fmt: skip

    def lasts(self) -> list[Change]:
        """The last change of every alarm that there ever was."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM alarm_changes WHERE n IN (SELECT max(n) FROM alarm_changes GROUP BY alarm)"
            )
            return [
                Change(id_, Event(event), Phase(phase), cause, priority, since, until, utc_ms, actor, why)
                for id_, event, phase, cause, priority, since, until, utc_ms, actor, why in rows
            ]
