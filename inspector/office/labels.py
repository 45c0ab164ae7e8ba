"""What people said about parts, in office.db: a history that only grows, each entry on the disk when it is answered."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import apsw

from inspector.core.errors import InspectorError
from inspector.office.settling import Box, Label, NewLabel, NewTruth, Queue, Source, Truth
from inspector.store import audit
from inspector.threads import DeviceThread


def _kept(*tables: str) -> str:
    return "\n".join(
        f"""    CREATE TRIGGER {table}_stay BEFORE UPDATE ON {table}
    BEGIN SELECT RAISE(ABORT, 'what a person said is kept as it was'); END;
    CREATE TRIGGER {table}_remain BEFORE DELETE ON {table}
    BEGIN SELECT RAISE(ABORT, 'what a person said is kept for good'); END;"""
        for table in tables
    )


STEP = f"""
    CREATE TABLE labels (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        no INTEGER NOT NULL,  -- inspections.no of results.db
        station TEXT NOT NULL,
        label TEXT NOT NULL, acceptable INTEGER,  -- NULL: unsure
        note TEXT NOT NULL, x INTEGER, y INTEGER, w INTEGER, h INTEGER,  -- box in pixels of the kept picture
        queue TEXT NOT NULL CHECK (queue IN ('reject', 'near', 'sample', 'collect')),
        person TEXT NOT NULL, ticket TEXT NOT NULL, utc_ms INTEGER NOT NULL,
        UNIQUE (person, ticket)
    );
    CREATE INDEX labels_by_no ON labels (no);
    CREATE TABLE label_undos (
        undone INTEGER PRIMARY KEY REFERENCES labels (n), person TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
    CREATE TABLE truths (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        serial TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('reinspection', 'later_test', 'complaint')),
        good INTEGER NOT NULL, note TEXT NOT NULL, person TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
    CREATE INDEX truths_by_serial ON truths (serial, n);
{_kept("labels", "label_undos", "truths")}
"""
UNDO_STEP = f"""
    CREATE TABLE truth_undos (
        undone INTEGER PRIMARY KEY REFERENCES truths (n), person TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
{_kept("truth_undos")}
"""
_LABELS = (
    "SELECT labels.n, labels.no, station, label, acceptable, note, x, y, w, h, queue, labels.person, ticket,"
    " labels.utc_ms, label_undos.person FROM labels LEFT JOIN label_undos ON label_undos.undone = labels.n"
)
_TRUTHS = (
    "SELECT n, serial, source, good, note, truths.person, truths.utc_ms, truth_undos.person"
    " FROM truths LEFT JOIN truth_undos ON undone = n"
)


class NothingToUndo(InspectorError):
    """The person gave no such label, or nobody such a truth."""


class Transactions(Protocol):
    """What labels need of office.db: as inspector.store.database.Database. Both raise StoreError."""

    def transaction(self) -> AbstractContextManager[apsw.Connection]: ...

    def reading(self) -> AbstractContextManager[apsw.Connection]: ...


class Labels:
    """Labels and truths of one office.db, which its owner opened and closes. Every method raises StoreError."""

    def __init__(
        self, database: Transactions, thread: DeviceThread, utc_s: Callable[[], float] = time.time
    ) -> None:  # fmt: skip
        self._database, self._thread, self._utc_s = database, thread, utc_s

    async def add(self, said: NewLabel) -> Label:
        """Keep a label; it is on the disk on return. The same ticket once more gives the label that is there."""
        return await self._thread.call(self._add, said)

    async def undo(self, person: str, n: int) -> Label:
        """Take back a label of `person`; once more, it is as it was. Raises NothingToUndo.

        n: of the label, as a browser that hears no answer asks again, and another one may have labelled meanwhile.
        """
        return await self._thread.call(self._undo, person, n)

    async def last(self, person: str) -> int | None:
        """n of the newest label of `person` that stands; None: there is none."""
        return await self._thread.call(self._last, person)

    async def of(self, no: int) -> tuple[Label, ...]:
        """All that was ever said of one inspection, oldest first."""
        return (await self.between(no, no)).get(no, ())

    async def between(self, first_no: int, last_no: int) -> Mapping[int, tuple[Label, ...]]:
        """The labels of the inspections `first_no` to `last_no`, both included, by number, oldest first."""
        return await self._thread.call(self._between, first_no, last_no)

    async def changed(self, labels: int, undos: int) -> tuple[tuple[int, int], tuple[int, ...]]:
        """What to call it with the next time, and the inspections that were labelled, or not any more, since then."""
        return await self._thread.call(self._changed, labels, undos)

    async def in_queue(self, queue: Queue, after_n: int = 0) -> Mapping[int, tuple[Label, ...]]:
        """All that was said in one queue, by the number of the inspection, oldest first.

        after_n: only of those inspections that got a label after this one.
        """
        return await self._thread.call(self._in_queue, queue, after_n)

    async def state(self) -> tuple[int, int]:
        """The newest label's n, and how many were taken back: while both are the same, nothing was said."""
        return await self._thread.call(self._state)

    async def classes(self) -> tuple[str, ...]:
        """Every label that was ever given, in the order in which they came up."""
        return await self._thread.call(self._classes)

    async def add_truth(self, said: NewTruth) -> Truth:
        """Keep what a part really was; on the disk on return."""
        return await self._thread.call(self._add_truth, said)

    async def bad_serials(self) -> tuple[str, ...]:
        """Serials of the parts that were not good, by the newest truth of each that stands."""
        return await self._thread.call(self._bad_serials)

    async def undo_truth(self, person: str, n: int) -> Truth:
        """Take back a truth, whoever told it; once more, it is as it was. Raises NothingToUndo.

        Anybody may, as anybody may tell a newer one: who mistyped a serial may be on another shift.
        """
        return await self._thread.call(self._undo_truth, person, n)

    async def newest_truths(self, limit: int, before_n: int | None = None) -> tuple[Truth, ...]:
        """The last ones that people told, of any serial, newest first. before_n: only older ones than this."""
        return await self._thread.call(self._newest_truths, limit, before_n)

    async def truths(self, serials: Iterable[str]) -> Mapping[str, tuple[Truth, ...]]:
        """All that was ever told of these serials, oldest first, also what was taken back."""
        return await self._thread.call(self._truths, tuple(serials))

    # -- on the thread -------------------------------------------------------------------------------------------------

    def _add(self, said: NewLabel) -> Label:
        box: tuple[int | None, ...] = (None,) * 4 if said.box is None else _sides(said.box)
        values = (
            said.no, said.station, said.label, said.acceptable, said.note, *box, str(said.queue), said.person,
            said.ticket, self._utc_ms(),
        )  # fmt: skip
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO labels (no, station, label, acceptable, note, x, y, w, h, queue, person, ticket, utc_ms)"
                f" VALUES ({', '.join('?' * len(values))}) ON CONFLICT (person, ticket) DO NOTHING",
                values,
            )
            row = db.execute(f"{_LABELS} WHERE labels.person = ? AND ticket = ?", (said.person, said.ticket)).get
        return _label(row)

    def _undo(self, person: str, n: int) -> Label:
        with self._database.transaction() as db:
            row = db.execute(f"{_LABELS} WHERE labels.person = ? AND labels.n = ?", (person, n)).get
            if row is not None:
                values = (n, person, self._utc_ms())
                db.execute("INSERT INTO label_undos VALUES (?, ?, ?) ON CONFLICT (undone) DO NOTHING", values)
        if row is None:
            raise NothingToUndo(f"{person} gave no label {n}")
        return _label((*row[:-1], person))

    def _last(self, person: str) -> int | None:
        stand = "WHERE person = ? AND n NOT IN (SELECT undone FROM label_undos)"
        with self._database.reading() as db:
            found: int | None = db.execute(f"SELECT max(n) FROM labels {stand}", (person,)).get
        return found

    def _between(self, first_no: int, last_no: int) -> dict[int, tuple[Label, ...]]:
        with self._database.reading() as db:
            return labels_between(db, first_no, last_no)

    def _changed(self, labels: int, undos: int) -> tuple[tuple[int, int], tuple[int, ...]]:
        with self._database.reading() as db:
            newest, undone = db.execute(
                "SELECT (SELECT coalesce(max(n), 0) FROM labels), (SELECT count(*) FROM label_undos)"
            ).get
            found = {no for (no,) in db.execute("SELECT no FROM labels WHERE n > ? AND n <= ?", (labels, newest))}
            if undone != undos:  # few ever are, and any of them may be the new one
                found |= {no for (no,) in db.execute("SELECT no FROM label_undos JOIN labels ON n = undone")}
        return (newest, undone), tuple(sorted(found))

    def _in_queue(self, queue: Queue, after_n: int) -> dict[int, tuple[Label, ...]]:
        of = "queue = ? AND labels.no IN (SELECT no FROM labels WHERE n > ?)" if after_n else "queue = ?"
        values = (str(queue), after_n) if after_n else (str(queue),)
        with self._database.reading() as db:
            return _by_number(db.execute(f"{_LABELS} WHERE {of} ORDER BY labels.n", values))

    def _state(self) -> tuple[int, int]:
        with self._database.reading() as db:
            labels, undos = db.execute("SELECT (SELECT max(n) FROM labels), (SELECT count(*) FROM label_undos)").get
        return labels or 0, undos

    def _classes(self) -> tuple[str, ...]:
        with self._database.reading() as db:
            return tuple(name for (name,) in db.execute("SELECT label FROM labels GROUP BY label ORDER BY min(n)"))

    def _add_truth(self, said: NewTruth) -> Truth:
        utc_ms = self._utc_ms()
        values = (said.serial, str(said.source), said.good, said.note, said.person, utc_ms)
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO truths (serial, source, good, note, person, utc_ms) VALUES (?, ?, ?, ?, ?, ?)", values
            )
            return Truth(db.last_insert_rowid(), said, utc_ms)

    def _undo_truth(self, person: str, n: int) -> Truth:
        utc_ms = self._utc_ms()
        with self._database.transaction() as db:
            row = db.execute(f"{_TRUTHS} WHERE n = ?", (n,)).get
            if row is None:
                raise NothingToUndo(f"there is no truth {n}")
            found = _truth(row)
            if found.undone_by is None:
                db.execute("INSERT INTO truth_undos VALUES (?, ?, ?)", (n, person, utc_ms))
                audit.append(db, utc_ms, person, "truth.undone", found.said.serial)
        return replace(found, undone_by=found.undone_by or person)

    def _newest_truths(self, limit: int, before_n: int | None) -> tuple[Truth, ...]:
        upto = 2**63 - 1 if before_n is None else before_n
        with self._database.reading() as db:
            return tuple(map(_truth, db.execute(f"{_TRUTHS} WHERE n < ? ORDER BY n DESC LIMIT ?", (upto, limit))))

    def _bad_serials(self) -> tuple[str, ...]:
        sql = (
            "SELECT serial FROM truths AS t WHERE NOT good AND n = (SELECT max(n) FROM truths WHERE serial = t.serial"
            " AND n NOT IN (SELECT undone FROM truth_undos))"
        )
        with self._database.reading() as db:
            return tuple(serial for (serial,) in db.execute(sql))

    def _truths(self, serials: tuple[str, ...]) -> dict[str, tuple[Truth, ...]]:
        with self._database.reading() as db:
            return truths_of(db, serials)

    def _utc_ms(self) -> int:
        return int(self._utc_s() * 1000)


def labels_between(db: apsw.Connection, first_no: int, last_no: int) -> dict[int, tuple[Label, ...]]:
    """As Labels.between, on an open office.db. Raises apsw.Error."""
    return _by_number(
        db.execute(f"{_LABELS} WHERE labels.no BETWEEN ? AND ? ORDER BY labels.n", (first_no, last_no))
    )  # fmt: skip


def _by_number(rows: Iterable[tuple[Any, ...]]) -> dict[int, tuple[Label, ...]]:
    found: defaultdict[int, list[Label]] = defaultdict(list)
    for row in rows:
        found[row[1]].append(_label(row))
    return {no: tuple(labels) for no, labels in found.items()}


def truths_of(db: apsw.Connection, serials: Iterable[str]) -> dict[str, tuple[Truth, ...]]:
    """As Labels.truths, on an open office.db. Raises apsw.Error."""
    found: defaultdict[str, list[Truth]] = defaultdict(list)
    asked = json.dumps(sorted({serial for serial in serials if serial}))
    for row in db.execute(f"{_TRUTHS} WHERE serial IN (SELECT value FROM json_each(?)) ORDER BY n", (asked,)):
        truth = _truth(row)
        found[truth.said.serial].append(truth)
    return {serial: tuple(truths) for serial, truths in found.items()}


def _truth(row: tuple[Any, ...]) -> Truth:
    n, serial, source, good, note, person, utc_ms, undone_by = row
    return Truth(n, NewTruth(serial, Source(source), bool(good), person, note), utc_ms, undone_by)


def _label(row: tuple[Any, ...]) -> Label:
    n, no, station, label, acceptable, note, x, y, w, h, queue, person, ticket, utc_ms, undone_by = row
    box = None if x is None else Box(x, y, w, h)
    may_pass = None if acceptable is None else bool(acceptable)
    said = NewLabel(no, station, label, may_pass, Queue(queue), person, ticket, note, box)
    return Label(n, said, utc_ms, undone_by)


def _sides(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.w, box.h
