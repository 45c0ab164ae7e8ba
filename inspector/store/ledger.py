"""Rows on their way to the disk: what a failed commit left goes along with the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import apsw

from inspector.core.errors import StoreError
from inspector.core.types import DeliveryState
from inspector.store import audit, rows
from inspector.store.counts import (
    Begin,
    Heads,
    Scope,
    Tallies,
    begin_period,
    plus_parts,
    read_heads,
    read_tallies,
    stations_of,
)
from inspector.store.database import Database
from plc.registers import Reason, Verdict

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
        self._begins: list[Begin] = []  # wait for the same commit as the rows that they are about
        self._told: set[str] = set()  # stations of which a row that waits changes the counts
        self._heads: dict[str, Heads] = {}
        self._growth: dict[tuple[str, Scope, str], int] = {}
        self._plc_parts: dict[str, int] = {}  # of which no heartbeat has told the disk
        self.tallies: dict[str, Tallies] = {}  # by station, as of the last commit; replaced whole: any thread reads it
        self.plc_parts: dict[str, int] = {}  # PLC_PART_COUNT as the former life saw it last

    def recover(self, utc_ms: int, recent: int) -> Recovered:
        """Begin a life: count it, and settle the rows of the former one.

        After an end without close() some numbers are skipped: the PLC may have been told numbers of rows that no
        commit took, and no number may ever mean two parts.
        """
        with self._database.transaction() as db:
            clean = db.execute("SELECT ended_utc_ms IS NOT NULL FROM boots ORDER BY boot DESC LIMIT 1").get
            newest = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inspections'").get or 0  # ever
            next_no = newest + 1 if clean in (None, 1) else newest + 1 + MAX_WAITING
            if next_no > newest + 1:  # for good: a life without a part that ends in order must not give them out again
                rows.skip_to(db, next_no)
            db.execute("INSERT INTO boots (started_utc_ms) VALUES (?)", (utc_ms,))
            self._boot = db.last_insert_rowid()
            db.execute(
                "UPDATE inspections SET decided_code = ?, decided_reason = ?, delivery = 'unknown'"
                " WHERE decided_code IS NULL",
                (int(Verdict.NOT_INSPECTED), int(Reason.RESTARTED)),
            )
            undecided = db.changes()
            db.execute("UPDATE inspections SET delivery = 'unknown' WHERE delivery IS NULL")
            unstamped = db.changes()
            ids = _newest_ids(db, recent)
            self.plc_parts = dict(list(db.execute("SELECT station, raw FROM plc_parts")))
            self._heads = {station: read_heads(db, station) for station in stations_of(db)}
        self._recount(self._heads)
        return Recovered(self._boot, undecided, unstamped, next_no, ids)

    def keep(self, no: int, columns: rows.Columns, station: str = "", begins: Sequence[Begin] = ()) -> None:
        """Take changes of a row, and the periods that begin with it; they go with the next commit.

        station: of a row whose delivery changes, and with it what is counted.
        """
        if begins:
            self.begin(begins)
        if no not in self._waiting and len(self._waiting) >= MAX_WAITING:
            raise StoreError(f"{MAX_WAITING} rows wait for a commit already")
        self._waiting.setdefault(no, {}).update(columns)
        if "delivery" in columns:
            self._told.add(station)

    def react(self, changes: Iterable[tuple[int, rows.Columns]]) -> None:
        """Take what the PLC did after its results, by row; it goes with the next commit, and gives way to rows."""
        for no, columns in changes:
            if no in self._waiting or len(self._waiting) < MAX_WAITING // 2:
                self.keep(no, columns)

    def begin(self, begins: Sequence[Begin]) -> None:
        """Take periods that begin; they go with the next commit. Of too many the oldest are merged into their next."""
        self._begins = [*self._begins, *begins][-MAX_WAITING:]

    def begin_now(self, begin: Begin) -> None:
        """The same, on the disk on return or not at all."""
        with self._database.transaction() as db:
            begin_period(db, begin)
            what = f"{begin.station}: from row {begin.from_no} on: {begin.why}"
            audit.append(db, begin.utc_ms, begin.actor, "counts.reset", what)
        self._refresh({begin.station})

    def change(self, no: int, columns: rows.Columns) -> None:
        """Take changes of a row and commit all that waits."""
        self.keep(no, columns)
        self.commit()

    def commit(self) -> None:
        """All that waits, in one transaction."""
        if not self._waiting and not self._begins:
            return
        with self._database.transaction() as db:
            for begin in self._begins:
                begin_period(db, begin)
            for no, columns in self._waiting.items():
                rows.write(db, no, columns)
        begun = {begin.station for begin in self._begins}
        told, self._told = self._told, set()
        self._waiting.clear()
        self._begins.clear()
        if begun:
            self._refresh(begun)
        if told - begun:
            self._recount(told - begun)

    def grew(self, station: str, raw: int, grown: Mapping[tuple[Scope, str], int]) -> None:
        """PLC_PART_COUNT now, and the parts by which it grew in each period; in the tallies at once, on the disk with
        the next beat."""
        self._plc_parts[station] = raw
        for (scope, key), parts in grown.items():
            which = (station, scope, key)
            self._growth[which] = self._growth.get(which, 0) + parts
        self._recount([station])

    def beat(self, utc_ms: int) -> None:
        """A write that is sure to reach the disk; then the housekeeping that no part shall wait for."""
        self.commit()
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO heartbeat (id, utc_ms) VALUES (1, ?)", (utc_ms,))
            self._write_growth(db)
        grown = set(self._plc_parts)
        self._growth.clear()
        self._plc_parts.clear()
        if grown:
            self._refresh(grown)
        self._database.checkpoint()

    def _write_growth(self, db: apsw.Connection) -> None:
        db.executemany("INSERT OR REPLACE INTO plc_parts VALUES (?, ?)", list(self._plc_parts.items()))
        db.executemany(
            "UPDATE periods SET plc_parts = plc_parts + ? WHERE (station, kind, key) = (?, ?, ?)",
            [(parts, *which) for which, parts in self._growth.items()],
        )

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

    def _refresh(self, stations: Iterable[str]) -> None:
        """Other periods run, or say more of themselves."""
        with self._database.reading() as db:
            self._heads |= {station: read_heads(db, station) for station in stations}
        self._recount(stations)

    def _recount(self, stations: Iterable[str]) -> None:
        with self._database.reading() as db:
            counted = {name: read_tallies(db, self._heads[name]) for name in stations if name in self._heads}
        self.tallies = {**self.tallies, **{name: self._grown(name, found) for name, found in counted.items()}}

    def _grown(self, station: str, tallies: Tallies) -> Tallies:
        """With the parts that no beat has told the disk yet."""
        waiting = {(scope, key): parts for (name, scope, key), parts in self._growth.items() if name == station}
        return plus_parts(tallies, waiting)

    def end(self, utc_ms: int) -> None:
        """End this life in order: nothing waits, nothing is skipped at the next start."""
        self.commit()
        with self._database.transaction() as db:
            self._write_growth(db)
            db.execute("UPDATE boots SET ended_utc_ms = ? WHERE boot = ?", (utc_ms, self._boot))


def _newest_ids(db: apsw.Connection, recent: int) -> tuple[tuple[str, int, int], ...]:
    """As Recovered.recent; of each station as many, or a busy one would push out those of a slow one."""
    stations = (
        "WITH RECURSIVE names (name) AS (SELECT min(station) FROM inspections UNION ALL"
        " SELECT (SELECT min(station) FROM inspections WHERE station > name) FROM names WHERE name IS NOT NULL)"
        " SELECT name FROM names WHERE name IS NOT NULL"
    )
    of_one = "SELECT station, trigger_id, no FROM inspections WHERE station = ? ORDER BY no DESC LIMIT ?"
    found = [row for (name,) in db.execute(stations) for row in list(db.execute(of_one, (name, recent)))]
    return tuple(sorted(((str(name), int(id_), int(no)) for name, id_, no in found), key=lambda row: row[2]))
