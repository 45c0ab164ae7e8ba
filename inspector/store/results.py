"""The durable record: SQLite by apsw on one thread, every decision committed before the PLC may see it."""

from __future__ import annotations

import asyncio
import ctypes
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import apsw

from inspector.core.errors import StoreError
from inspector.core.ports import Clock, OpenRow
from inspector.core.types import Delivery, Inspection, JudgedBy, Outcome, Prediction, Refusal, Trigger
from inspector.store.migrations import migrate
from inspector.threads import DeviceThread
from plc.registers import Reason, Verdict

STORAGE = Outcome(Verdict.NOT_INSPECTED, Reason.STORAGE)
BUSY_MS = 1000  # the page reads in short transactions; WAL readers never block us longer


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found: rows that the former life left open, and decisions it never stamped."""

    boot: int
    undecided: int
    unstamped: int


class SqliteResults:
    """Implements ports.Results. The only writer of results.db."""

    def __init__(self, path: Path, station: str, clock: Clock, thread: DeviceThread) -> None:
        self._path, self._station, self._clock, self._thread = path, station, clock, thread
        self._db: apsw.Connection | None = None
        self._boot = 0
        self._opening: dict[int, Future[int]] = {}
        self._tickets = 0

    async def start(self) -> Recovered:
        """Open, migrate and recover. Raises StoreError."""
        try:
            return await self._thread.call(self._start)
        except (apsw.Error, OSError, RuntimeError) as exc:
            raise StoreError(f"{self._path} cannot be opened: {exc}") from exc

    async def close(self) -> None:
        await self._thread.call(self._close)

    def open(self, trigger: Trigger) -> OpenRow:
        """Queue the row's insert; a failure surfaces in decide()."""
        self._tickets += 1
        row = OpenRow(trigger, self._tickets)
        self._opening[row.ticket] = self._thread.submit(self._insert, trigger, "accepted")
        return row

    async def decide(
        self,
        opened: OpenRow,
        outcome: Outcome,
        prediction: Prediction | None,
        judged_by: JudgedBy,
        stamps: Mapping[str, float],
    ) -> Inspection:
        """Commit the decision. 4/112 if the commit failed, or was not done by the trigger's deadline."""
        trigger = opened.trigger
        inserted = self._opening.pop(opened.ticket)
        done = Inspection(0, trigger, outcome, prediction, judged_by, 0.0, dict(stamps))
        writing = asyncio.wrap_future(self._thread.submit(self._decide, inserted, done))
        rejected = outcome.verdict is Verdict.NOT_INSPECTED
        try:
            wait_s = max(trigger.deadline_mono_s - self._clock.monotonic_s(), 0.25 if rejected else 0.0)
            no = await asyncio.wait_for(asyncio.shield(writing), wait_s)
        except (apsw.Error, OSError):
            return replace(done, outcome=STORAGE, elapsed_ms=self._elapsed_ms(trigger))
        except TimeoutError:
            writing.add_done_callback(_seen)  # it goes on; a failure shows in alive()
            no = inserted.result() if inserted.done() and inserted.exception() is None else 0
            return replace(done, no=no, outcome=STORAGE, elapsed_ms=self._elapsed_ms(trigger))
        return replace(done, no=no, elapsed_ms=self._elapsed_ms(trigger))

    async def refuse(self, refusal: Refusal) -> Inspection:
        """Commit a refused row; a standing id that has a row keeps its own. 4/112 if the commit failed."""
        trigger = Trigger(refusal.seq, refusal.part_id, refusal.accepted_mono_s, refusal.accepted_mono_s)
        outcome = Outcome(Verdict.NOT_INSPECTED, refusal.reason)
        try:
            no = await self._thread.call(self._refuse, refusal, trigger)
        except (apsw.Error, OSError):
            return Inspection(0, trigger, STORAGE, None, JudgedBy(), 0.0)
        return Inspection(no, trigger, outcome, None, JudgedBy(), self._elapsed_ms(trigger))

    async def stamp(self, decided: Inspection, delivery: Delivery) -> None:
        """Note what the PLC was told. Raises StoreError."""
        if not decided.no:
            return
        try:
            await self._thread.call(self._stamp, decided, delivery)
        except (apsw.Error, OSError) as exc:
            raise StoreError(f"row {decided.no} could not be stamped: {exc}") from exc

    async def alive(self) -> None:
        """A write transaction through the thread. Raises StoreError."""
        try:
            await self._thread.call(self._beat)
        except (apsw.Error, OSError) as exc:
            raise StoreError(f"results.db cannot be written: {exc}") from exc

    def known(self, trigger_id: int) -> bool:
        """True if one of the newest rows is of this id (ids wrap, so old rows do not count). Raises StoreError."""
        try:
            return self._thread.submit(self._find, trigger_id).result(timeout=2) is not None
        except (apsw.Error, OSError, TimeoutError) as exc:
            raise StoreError(f"results.db cannot be read: {exc}") from exc

    # -- on the store's thread -----------------------------------------------------------------------------------------

    @property
    def _open_db(self) -> apsw.Connection:
        if self._db is None:
            raise apsw.ConnectionClosedError("results.db is not open")
        return self._db

    def _start(self) -> Recovered:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = apsw.Connection(str(self._path))
        db.set_busy_timeout(BUSY_MS)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        flag = ctypes.c_int(1)
        db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(flag))  # the page reads it read-only
        migrate(db)
        self._db = db
        with db:
            db.execute("INSERT INTO boots (started_utc_ms) VALUES (?)", (self._utc_ms(),))
            self._boot = db.last_insert_rowid()
            db.execute(
                "UPDATE inspections SET decided_code = ?, decided_reason = ?, delivery = 'unknown'"
                " WHERE decided_code IS NULL",
                (int(Verdict.NOT_INSPECTED), int(Reason.RESTARTED)),
            )
            undecided = db.changes()
            db.execute("UPDATE inspections SET delivery = 'unknown' WHERE delivery IS NULL")
            unstamped = db.changes()
        return Recovered(self._boot, undecided, unstamped)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _insert(self, trigger: Trigger, kind: str) -> int:
        with self._open_db as db:
            db.execute(
                "INSERT INTO inspections (station, boot, kind, trigger_id, part_id, encoder, lot, serial, test_part,"
                " opened_utc_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (self._station, self._boot, kind, trigger.seq, trigger.part_id, trigger.encoder, trigger.lot,
                 trigger.serial, int(trigger.test_part), self._utc_ms()),
            )  # fmt: skip
        return db.last_insert_rowid()

    def _decide(self, inserted: Future[int], done: Inspection) -> int:
        no = inserted.result()  # ran before us on this thread; raises what it raised
        p, by = done.prediction, done.judged_by
        with self._open_db as db:
            db.execute(
                "UPDATE inspections SET decided_code = ?, decided_reason = ?, label = ?, class_id = ?, confidence = ?,"
                " novelty_score = ?, anomaly_score = ?, bundle_id = ?, recipe = ?, recipe_revision = ?, model_rev = ?,"
                " elapsed_ms = ?, stages = ? WHERE no = ?",
                (int(done.outcome.verdict), int(done.outcome.reason), p and p.label, p and p.class_id,
                 p and p.confidence, p and p.novelty_score, p and p.anomaly_score, by.bundle_id, by.recipe,
                 by.recipe_revision, by.model_rev, self._elapsed_ms(done.trigger), _stages(done), no),
            )  # fmt: skip
        return no

    def _refuse(self, refusal: Refusal, trigger: Trigger) -> int:
        if refusal.has_row and (no := self._find(refusal.seq)) is not None:
            return no
        no = self._insert(trigger, "refused")
        with self._open_db as db:
            db.execute(
                "UPDATE inspections SET decided_code = ?, decided_reason = ? WHERE no = ?",
                (int(Verdict.NOT_INSPECTED), int(refusal.reason), no),
            )
        return no

    def _stamp(self, decided: Inspection, delivery: Delivery) -> None:
        with self._open_db as db:
            db.execute(
                "UPDATE inspections SET published_code = ?, published_reason = ?, published_utc_ms = ?, delivery = ?"
                " WHERE no = ?",
                (int(delivery.code), int(delivery.reason), self._utc_ms(), str(delivery.state), decided.no),
            )

    def _find(self, trigger_id: int) -> int | None:
        newest = "SELECT no, trigger_id FROM inspections ORDER BY no DESC LIMIT 1000"
        found = self._open_db.execute(f"SELECT no FROM ({newest}) WHERE trigger_id = ? LIMIT 1", (trigger_id,)).get
        return None if found is None else int(found)

    def _beat(self) -> None:
        with self._open_db as db:
            db.execute("INSERT OR REPLACE INTO alive (id, utc_ms) VALUES (1, ?)", (self._utc_ms(),))

    def _utc_ms(self) -> int:
        return int(self._clock.utc_s() * 1000)

    def _elapsed_ms(self, trigger: Trigger) -> float:
        return (self._clock.monotonic_s() - trigger.accepted_mono_s) * 1000


def _stages(done: Inspection) -> str:
    """Milliseconds since accept at the end of each stage, as JSON."""
    begun = done.trigger.accepted_mono_s
    return json.dumps({stage: round((at - begun) * 1000, 3) for stage, at in done.stamps.items()})


def _seen(task: asyncio.Future[int]) -> None:
    if not task.cancelled():
        task.exception()
