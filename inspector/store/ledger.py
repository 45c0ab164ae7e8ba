"""Rows on their way to the disk: what a failed commit left goes along with the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from inspector.core.errors import StoreError
from inspector.core.types import DeliveryState
from inspector.store import rows
from inspector.store.counts import Counts, begin_period, read_counts
from inspector.store.database import Database
from plc.registers import Reason, Verdict

MAX_STATIONS = 8
MAX_WAITING = 1000  # rows in memory that no commit has taken yet


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found."""

    boot: int
    undecided: int  # rows that the former life left open: now 4/108
    unstamped: int  # decisions of which it is unknown whether the PLC was told
    next_no: int
    recent: tuple[tuple[str, int, int], ...]  # (station, trigger id, no) of each station's newest rows, oldest first


class Ledger:
    """Blocking; every call on the store's thread. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[int, rows.Columns] = {}
        self._boot = 0
        self.counts = Counts(0)  # as of the last commit; replaced whole, so that any thread may read it

    def recover(self, utc_ms: int, recent: int) -> Recovered:
        """Begin a life: count it, and settle the rows of the former one.

        After an end without close() some numbers are skipped: the PLC may have been told numbers of rows that no
        commit took, and no number may ever mean two parts.
        """
        with self._database.transaction() as db:
            clean = db.execute("SELECT ended_utc_ms IS NOT NULL FROM boots ORDER BY boot DESC LIMIT 1").get
            newest = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inspections'").get or 0  # ever
            next_no = newest + 1 if clean in (None, 1) else newest + 1 + MAX_WAITING
            db.execute("INSERT INTO boots (started_utc_ms) VALUES (?)", (utc_ms,))
            self._boot = db.last_insert_rowid()
            if db.execute("SELECT count(*) FROM periods").get == 0:
                begin_period(db, 1, utc_ms, "inspector", "first start")
            db.execute(
                "UPDATE inspections SET decided_code = ?, decided_reason = ?, delivery = 'unknown'"
                " WHERE decided_code IS NULL",
                (int(Verdict.NOT_INSPECTED), int(Reason.RESTARTED)),
            )
            undecided = db.changes()
            db.execute("UPDATE inspections SET delivery = 'unknown' WHERE delivery IS NULL")
            unstamped = db.changes()
            ids = list(db.execute(
                "SELECT station, trigger_id, no FROM inspections ORDER BY no DESC LIMIT ?", (MAX_STATIONS * recent,)
            ))  # fmt: skip
        self.recount()
        return Recovered(self._boot, undecided, unstamped, next_no, tuple(reversed(ids)))

    def keep(self, no: int, columns: rows.Columns) -> None:
        """Take changes of a row; they go with the next commit."""
        if no not in self._waiting and len(self._waiting) >= MAX_WAITING:
            raise StoreError(f"{MAX_WAITING} rows wait for a commit already")
        self._waiting.setdefault(no, {}).update(columns)

    def change(self, no: int, columns: rows.Columns) -> None:
        """Take changes of a row and commit all that waits."""
        self.keep(no, columns)
        self.commit()

    def commit(self) -> None:
        """All that waits, in one transaction."""
        if not self._waiting:
            return
        with self._database.transaction() as db:
            for no, columns in self._waiting.items():
                rows.write(db, no, columns)
        told = any("delivery" in columns for columns in self._waiting.values())
        self._waiting.clear()
        if told:
            self.recount()

    def beat(self, utc_ms: int) -> None:
        """A write that is sure to reach the disk; then the housekeeping that no part shall wait for."""
        self.commit()
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO heartbeat (id, utc_ms) VALUES (1, ?)", (utc_ms,))
        self._database.checkpoint()

    def was_told(self, no: int) -> bool:
        """True if the PLC was told something of this row, or may have been."""
        waiting = self._waiting.get(no, {}).get("delivery")
        with self._database.reading() as db:
            delivery = waiting or db.execute("SELECT delivery FROM inspections WHERE no = ?", (no,)).get
        return delivery in (DeliveryState.CONFIRMED, DeliveryState.UNKNOWN)

    def drop(self, filed: Sequence[rows.Filed], held: Set[int]) -> None:
        """Take out what a month's file holds, but no row in `held` or of which changes wait. Counts stay."""
        with self._database.transaction() as db:
            for row in filed:
                if row.no not in held and row.no not in self._waiting:
                    rows.drop(db, row)

    def images_taken(self, images: Mapping[int, rows.Late]) -> None:
        """What was noted late stands in the months' files now."""
        with self._database.transaction() as db:
            taken = [(no, image) for no, (image, *_) in images.items()]
            db.executemany("DELETE FROM late_images WHERE no = ? AND image IS ?", taken)

    def recount(self) -> None:
        with self._database.reading() as db:
            self.counts = read_counts(db)

    def end(self, utc_ms: int) -> None:
        """End this life in order: nothing waits, nothing is skipped at the next start."""
        self.commit()
        with self._database.transaction() as db:
            db.execute("UPDATE boots SET ended_utc_ms = ? WHERE boot = ?", (utc_ms, self._boot))
