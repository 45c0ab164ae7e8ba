"""The journal of alarms: every change of each, with who made it. Its last line of an alarm is that alarm's state."""

from __future__ import annotations

import json
from collections.abc import Sequence

import apsw

from inspector.core.alarms import Change, Event, Phase
from inspector.store.database import Database

KEPT = 100_000  # lines; a box that chatters all day long writes some thousand
TIDIED_EVERY = 1000  # lines
_COLUMNS = (
    "alarm, event, phase, key, params, cause, priority, since_utc_ms, shelved_until_utc_ms, utc_ms, actor,"
    " shelved_by, shelved_why"
)
_LASTS = "SELECT max(n) FROM alarm_changes GROUP BY alarm"


class AlarmBook:
    """Blocking; every call on the store's thread. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, changes: Sequence[Change]) -> None:
        """All of them or none. The oldest lines go, but never the last one of an alarm."""
        with self._database.transaction() as db:
            for c in changes:
                db.execute(
                    f"INSERT INTO alarm_changes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        c.id, str(c.event), str(c.phase), c.key, json.dumps(dict(c.params), ensure_ascii=False),
                        c.cause, c.priority, c.since_utc_ms, c.shelved_until_utc_ms, c.utc_ms, c.actor,
                        c.shelved_by, c.shelved_why,
                    ),
                )  # fmt: skip
            last = db.last_insert_rowid()
            if last // TIDIED_EVERY != (last - len(changes)) // TIDIED_EVERY:
                db.execute(f"DELETE FROM alarm_changes WHERE n <= ? AND n NOT IN ({_LASTS})", (last - KEPT,))

    def lasts(self) -> list[Change]:
        """The last change of every alarm that there ever was."""
        with self._database.reading() as db:
            return changes_of(db, f"WHERE n IN ({_LASTS})")


def changes_of(db: apsw.Connection, where: str, values: Sequence[int] = ()) -> list[Change]:
    """Lines of the journal. where: SQL of ours."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM alarm_changes {where}", values)
    return [
        Change(id_, Event(event), Phase(phase), key, json.loads(params), *others)
        for id_, event, phase, key, params, *others in rows
    ]
