"""Settled rows of past months leave results.db for their month's file, a few at a time, while the line runs.

A row goes into the month's file and onto the disk, and only then out of results.db. An end between the two leaves it in
both, the same row: readers show it once, and the next turn takes it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import apsw
import structlog

from inspector.core.errors import StoreError
from inspector.core.ports import Clock
from inspector.store import regain
from inspector.store.database import UNREADABLE
from inspector.store.farewell import FarewellError, Month, file_of, look, remove
from inspector.store.journal import RECENT, Journal
from inspector.store.months import MonthFile, Schema, begin_of_month_ms, is_settled, month_files, month_of, month_path
from inspector.store.rows import Filed, Late
from inspector.store.salvage import Salvaged, fault_of, salvage
from inspector.threads import DeviceThread

log = structlog.get_logger(__name__)

BATCH = 500  # rows of one turn: one commit into the month's file
DROPPED = 50  # of them in one transaction out of results.db: a few milliseconds
LATE = 500  # pictures noted on filed rows, in one turn
PAUSE_S = 0.02  # between two turns while the line stands still
IDLE_S = 1.0  # it does where nothing was recorded for so long
SHARE = 0.01  # of the time is for turns while it runs: their syncs are on the disk that the line waits for
EVERY_S = 60.0  # between two looks whether anything is due
PATIENT = 3  # failures in a row that a person is told of; a reader may have held a file once
ROOM_BYTES = 64 << 20  # that must be free beyond what the line's own rows need
END_S = 2.0
Row = Mapping[str, Any]
V = TypeVar("V")


class Filing:
    """Moves what is due. A thread and a connection of its own: the line waits for none of it but the short removal."""

    def __init__(self, journal: Journal, clock: Clock, thread: DeviceThread) -> None:
        self._journal, self._clock, self._thread = journal, clock, thread
        self._db: apsw.Connection | None = None  # reads results.db
        self._month: MonthFile | None = None  # the one that is written
        self._looked_to = 0  # numbers up to here were looked at in this round
        self._keep_from: dict[str, int] = {}  # station -> its newest rows begin here; in this round
        self._begun = False
        self._copied_s = 0.0  # what the last copy took
        self.regained: regain.Regained | None = None  # of a record that broke
        self.fault: str | None = None  # why nothing is moved now

    async def run_forever(self) -> None:
        """A turn after the other while something is due, and a look every minute."""
        failed = 0
        while True:
            moved = 0
            try:
                moved = await self.turn()
                failed, self.fault = 0, None
            except StoreError as exc:
                failed += 1
                if failed == PATIENT:
                    log.error("rows of past months stay in results.db", error=str(exc))
                if failed >= PATIENT:
                    self.fault = str(exc)
            await self._clock.sleep(self._pause_s() if moved else EVERY_S)

    def _pause_s(self) -> float:
        """The removals do not count: they wait for a quiet moment, and that takes longer than they do."""
        idle = self._journal.quiet_s >= IDLE_S
        return PAUSE_S if idle else min(max(PAUSE_S, self._copied_s / SHARE), EVERY_S)

    async def turn(self) -> int:
        """Move one batch; how much was done. 0: nothing more is due, and the months' files are at rest.

        Raises StoreError: it could not be moved now; nothing is lost, the next turn tries again.
        """
        begun_s = self._clock.monotonic_s()
        filed = await self._thread.call(self._guarded_file)
        self._copied_s = self._clock.monotonic_s() - begun_s
        if filed:
            for begin in range(0, len(filed), DROPPED):
                await self._journal.drop(filed[begin : begin + DROPPED])
            return len(filed)
        if late := await self._thread.call(self._guarded_late):
            await self._journal.images_taken(late)
            return len(late)
        regained = await self._thread.call(self._guarded_regain)
        self._copied_s = self._clock.monotonic_s() - begun_s
        return regained

    async def may_go(self, month: str, sha256: str, *, with_pictures: bool) -> Month:
        """The month, if there is an export with this checksum. Raises FarewellError, StoreError."""
        found = await self._thread.call(self._look, month)
        if found.sha256 != sha256:
            raise FarewellError(f"the export is not what {found.path.name} is now: export it again")
        if found.pictures and not with_pictures:
            raise FarewellError(
                f"{len(found.pictures)} pictures of {month} are still kept: let them go with it, or not"
            )
        return found

    async def forget(self, month: Month, actor: str, reason: str) -> None:
        """Let it go. Raises FarewellError: a lot in it is on hold, or it is not what it was; StoreError."""
        await self.may_go(month.month, month.sha256, with_pictures=True)  # its pictures took their time
        await self._journal.note_gone(month, actor, reason)
        await self._thread.call(self._remove, month)
        log.warning("a month of the record went", month=month.month, rows=month.rows, sha256=month.sha256, actor=actor)

    async def salvage(self, month: str) -> Salvaged:
        """Set a damaged month aside, and what can be read of it in its place. Raises NotDamaged, FarewellError,
        StoreError."""
        done = await self._thread.call(self._salvage, file_of(self._journal.path, month))
        log.warning("a damaged month was salvaged", month=month, rows=done.rows, lost=done.lost, aside=done.aside.name)
        return done

    async def damaged(self) -> dict[str, str]:
        """Of each month's file that is damaged anywhere: what is wrong. All of them are read. Raises StoreError."""
        return await self._thread.call(self._damaged)

    def close(self) -> None:
        """Bring the files to rest and end the thread. A file that is left open is brought to rest at the next start."""
        try:
            self._thread.submit(self._rest).result(timeout=END_S)
        except (StoreError, TimeoutError) as exc:
            log.error("a month's file was not closed in order", error=str(exc))
        self._thread.close()

    # -- on the thread -------------------------------------------------------------------------------------------------

    def _guarded_file(self) -> list[Filed]:
        try:
            return self._file()
        except (*UNREADABLE, StoreError) as exc:
            raise self._failed(exc) from exc

    def _guarded_late(self) -> dict[int, Late]:
        try:
            return self._take_late_images()
        except (*UNREADABLE, StoreError) as exc:
            raise self._failed(exc) from exc

    def _look(self, month: str) -> Month:
        try:
            self._rest()
            return look(self._journal.path, month, self._journal.holds.lots, Schema.of(self._reading()))
        except UNREADABLE as exc:
            raise self._failed(exc) from exc

    def _salvage(self, path: Path) -> Salvaged:
        try:
            self._rest()
            self._journal.check_room(path.stat().st_size)
            schema = Schema.of(self._reading())
            return salvage(path, schema, self._journal.next_no, int(self._clock.utc_s() * 1000))
        except (*UNREADABLE, StoreError) as exc:
            raise self._failed(exc) from exc

    def _damaged(self) -> dict[str, str]:
        try:
            self._rest()
            found = {path.name: fault_of(path) for path in month_files(self._journal.path)}
        except UNREADABLE as exc:
            raise self._failed(exc) from exc
        return {name: fault for name, fault in found.items() if fault is not None}

    def _remove(self, month: Month) -> None:
        try:
            remove(month)
        except OSError as exc:
            raise StoreError(f"{month.path} cannot be removed: {exc.strerror}") from exc

    def _guarded_regain(self) -> int:
        try:
            return self._regain()
        except (*UNREADABLE, StoreError) as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: Exception) -> StoreError:
        """Forget all that is open, so that the next turn begins anew."""
        try:
            self._rest()
        except StoreError as worse:
            log.error("a month's file was not closed in order", error=str(worse))
        return exc if isinstance(exc, StoreError) else StoreError(f"past months cannot be filed: {exc}")

    def _file(self) -> list[Filed]:
        """Put the next rows that are due into their month's file; none: the files are at rest."""
        self._journal.check_room(ROOM_BYTES)
        db = self._reading()
        if not self._begun:
            self._settle(db)
        month, batch = self._due(db)
        if not batch:
            self._rest()
            return []
        numbers = [row["no"] for row in batch]
        earlier = list(db.execute(
            f"SELECT * FROM earlier_deliveries WHERE no IN ({', '.join('?' * len(numbers))}) ORDER BY rowid", numbers
        ))  # fmt: skip
        self._writing(month_path(self._journal.path, month), db).put(batch, earlier)
        names = ("no", "image", "published_utc_ms", "delivery", "ack", "plc_verdict")
        return [Filed(*(row[name] for name in names)) for row in batch]

    def _due(self, db: apsw.Connection) -> tuple[str, list[Row]]:
        """(month, rows) of the next batch: from before this month, settled, and of no PLC's concern any more.

        The clock may have jumped. All rows up to the number of the newest one from before this month are due, whatever
        date they bear; a date of this month or of the future among them counts as the month before this one.
        """
        try:
            begin_ms = begin_of_month_ms(int(self._clock.utc_s() * 1000))
            last = month_of(begin_ms - 1)
        except ValueError as exc:
            raise StoreError(f"the clock shows no date: {exc}") from exc
        newest = db.execute(
            "SELECT no FROM inspections WHERE opened_utc_ms < ? ORDER BY opened_utc_ms DESC LIMIT 1", (begin_ms,)
        ).get
        batch: list[Row] = []
        month = last
        while newest is not None and not batch:
            looked = list(_settled(db, self._looked_to, newest))
            if not looked:
                break
            for row in looked:
                if row["no"] < self._newest_of(db, row["station"]):
                    own = _month_of_row(row, last)
                    if batch and own != month:
                        break
                    month = own
                    batch.append(row)
                self._looked_to = row["no"]
        return month, batch

    def _newest_of(self, db: apsw.Connection, station: str) -> int:
        """Where the newest rows of a station begin, whose ids a PLC may hold: they stay whatever their age."""
        if station not in self._keep_from:
            self._keep_from[station] = (
                db.execute(
                    "SELECT no FROM inspections WHERE station = ? ORDER BY no DESC LIMIT 1 OFFSET ?",
                    (station, RECENT - 1),
                ).get
                or 0
            )
        return self._keep_from[station]

    def _take_late_images(self) -> dict[int, Late]:
        """Note on filed rows where their pictures are now."""
        db = self._reading()
        sql = "SELECT no, image, gone_utc_ms, gone_why FROM late_images LIMIT ?"
        late: dict[int, Late] = {no: (image, since, why) for no, image, since, why in db.execute(sql, (LATE,))}
        for path in month_files(self._journal.path) if late else []:
            if here := _those_in(path, late):
                self._writing(path, db).note_images(here)
        self._rest()
        return late

    def _regain(self) -> int:
        """Take the next rows of a record that broke from its copy; 0: there are none, or no more."""
        results = self._journal.path
        batch = regain.next_batch(results)
        if batch is None:
            self.regained = regain.state_of(results)
            return 0
        self._journal.check_room(ROOM_BYTES)
        if batch.rows:
            path = month_path(results, batch.month)
            have = _those_in(path, dict.fromkeys(row["no"] for row in batch.rows)) if path.exists() else {}
            rows = [row for row in batch.rows if row["no"] not in have]
            if rows:
                earlier = [one for one in batch.earlier if one[0] not in have]
                self._writing(path, self._reading()).put(rows, earlier)
        regain.note(results, batch)
        self._rest()
        self.regained = batch.then
        return max(1, len(batch.rows))

    def _settle(self, db: apsw.Connection) -> None:
        """What a former life left half-written or an older version wrote is brought up to date and to rest."""
        schema = Schema.of(db)
        for path in month_files(self._journal.path):
            if not is_settled(path, schema):
                self._writing(path, db)
        self._rest_month()
        self._begun = True

    def _writing(self, path: Path, db: apsw.Connection) -> MonthFile:
        if self._month is None or self._month.path != path:
            self._rest_month()
            self._month = MonthFile(path, vfs=self._journal.vfs)
            self._month.open(Schema.of(db))
        return self._month

    def _reading(self) -> apsw.Connection:
        if self._db is None:
            self._db = apsw.Connection(
                str(self._journal.path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._journal.vfs
            )  # fmt: skip
        return self._db

    def _rest(self) -> None:
        """The end of a round, or of all: no file is open."""
        self._looked_to, self._keep_from = 0, {}
        db, self._db = self._db, None
        if db is not None:
            db.close()
        self._rest_month()

    def _rest_month(self) -> None:
        month, self._month = self._month, None
        if month is not None:
            month.close()


def _settled(db: apsw.Connection, after_no: int, to_no: int) -> Iterator[Row]:
    cursor = db.execute(
        "SELECT * FROM inspections WHERE no > ? AND no <= ? AND decided_code IS NOT NULL AND delivery IS NOT NULL"
        " ORDER BY no LIMIT ?",
        (after_no, to_no, BATCH),
    )
    for row in cursor:
        yield dict(zip((name for name, *_ in cursor.get_description()), row, strict=True))


def _month_of_row(row: Row, last: str) -> str:
    try:
        return min(month_of(row["opened_utc_ms"]), last)
    except ValueError:
        return last


def _those_in(path: Path, late: Mapping[int, V]) -> dict[int, V]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        marks = ", ".join("?" * len(late))
        here = {no for (no,) in db.execute(f"SELECT no FROM inspections WHERE no IN ({marks})", list(late))}
        return {no: image for no, image in late.items() if no in here}
    finally:
        db.close()
