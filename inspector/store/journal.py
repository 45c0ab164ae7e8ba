"""The one writer of results.db, shared by all stations: changes of rows that wait are committed together.

A change ends when the commit that holds it is on the disk, never before: no result is published without its record.
Several stations then wait for one fsync, and not each for all that came before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from inspector.core.details import Detail
from inspector.core.errors import StoreBroken, StoreError
from inspector.core.ports import Clock
from inspector.store import regain
from inspector.store.alarm_book import AlarmBook
from inspector.store.database import Database
from inspector.store.farewell import Month, note, require_none_held
from inspector.store.holds import Holds
from inspector.store.ledger import Ledger, Recovered
from inspector.store.line_audit import LineAudit, told
from inspector.store.offline_book import OfflineBook
from inspector.store.recipe_book import RecipeBook
from inspector.store.rescue import MET, RESERVED, rescue, reserve, set_aside
from inspector.store.rows import Filed, Late
from inspector.store.wrong_accepts import WrongAccepts
from inspector.threads import DeviceThread, ended
from plc.registers import Reason

P = ParamSpec("P")
R = TypeVar("R")

BEHIND_S = 1.0  # a write that takes longer means that the store is behind
RECENT = 1000  # newest rows of a station whose ids a PLC may still hold; ids wrap, so older ones do not count
MIN_FREE_BYTES = 64 * 1024 * 1024  # below it no part is accepted; what is left is for the rows of the refused
QUIET_S = 0.02  # nothing was written for so long: the line is between parts
PATIENCE_S = 0.2  # housekeeping waits so long for a quiet moment
_Change = tuple[Callable[[], Any], Future[Any]]


class Holder(Protocol):
    """A station as the journal's housekeeping sees it, from any thread."""

    def held(self) -> Collection[int]:
        """Numbers of rows that it may still write to."""
        ...

    def busy(self) -> bool:
        """True while a part is on its way to its decision."""
        ...


class Journal:
    """Numbers, changes and their commits. The methods with an underscore run on the store's thread."""

    def __init__(
        self, path: Path, clock: Clock, thread: DeviceThread, *,
        min_free_bytes: int = MIN_FREE_BYTES, vfs: str | None = None,
    ) -> None:  # fmt: skip
        self._clock, self._thread, self._min_free_bytes = clock, thread, min_free_bytes
        self._database = Database(path, vfs=vfs)
        self.ledger = Ledger(self._database)  # on the store's thread only
        self.recipes = RecipeBook(self._database)  # too
        self.wrong_accepts = WrongAccepts(self._database)  # too
        self.holds = Holds(self._database)  # too
        self.alarms = AlarmBook(self._database)  # too
        self.audit = LineAudit(self._database)  # too
        self.offline = OfflineBook(self._database)  # too
        self._changes: deque[_Change] = deque()
        self._turn: Future[None] | None = None
        self._bug: BaseException | None = None
        self._next_no = 0
        self._reserved_no = 0
        self.broken: tuple[str, ...] = ()  # records that were set aside and that lie there still
        self._changed_s = 0.0
        self.holders: list[Holder] = []
        self.recovered = Recovered(0, 0, 0, 0, ())

    async def start(self) -> Recovered:
        """Open, migrate, settle what the former life left open. Raises StoreError."""
        self.recovered = await self._thread.call(self._start)
        self._next_no = self.recovered.next_no
        return self.recovered

    async def close(self) -> None:
        """Commit what waits and close. Bounded. Raises StoreError, TimeoutError."""
        await self.until(self.submit(self._close), self._clock.monotonic_s() + BEHIND_S)

    def told(self, station: str) -> list[tuple[int, int, int, int]]:
        """On the store's thread: (trigger id, part id, RESULT_CODE, number) of the newest rows, oldest first.

        A decision of which it is unknown whether the PLC was told counts as told. A repeated id takes nothing back.
        Raises StoreError.
        """
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT trigger_id, part_id, coalesce(published_code, decided_code), no FROM inspections"
                " WHERE station = ? AND decided_code IS NOT NULL AND decided_reason != ? ORDER BY no DESC LIMIT ?",
                (station, int(Reason.DUPLICATE_ID), RECENT),
            )
            return [(int(id_), int(part_id), int(code), int(no)) for id_, part_id, code, no in rows][::-1]

    def new_no(self) -> int:
        """INSPECTION_NO, given out at once: a picture or a register can name a row whose commit still runs."""
        no, self._next_no = self._next_no, self._next_no + 1
        return no

    @property
    def next_no(self) -> int:
        """The number that the next row gets."""
        return self._next_no

    @property
    def boot(self) -> int:
        return self.recovered.boot

    # -- changes -------------------------------------------------------------------------------------------------------

    def change(self, fn: Callable[[], R], *, at_once: bool = True) -> Future[R]:
        """Run `fn`, which takes changes into the ledger, and commit them; the future ends after the commit.

        Changes keep their order. at_once: False where the caller begins something more urgent before it waits, and the
        store's thread shall not take a core, or the interpreter, from that.
        """
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()  # who waits for it may go away; the change stays
        future.add_done_callback(self._note_bug)
        self._changed_s = self._clock.monotonic_s()
        self._changes.append((fn, future))
        if at_once:
            self._begin_turn(future)
        else:
            asyncio.get_running_loop().call_soon(self._begin_turn, future)
        return future

    def submit(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Queue on the store's thread; never raises. What is no StoreError is a bug, and alive() raises it."""
        try:
            future = self._thread.submit(fn, *args, **kwargs)
        except RuntimeError:  # the thread was closed
            future = Future()
            future.set_exception(StoreError("the record is closed"))
        future.add_done_callback(self._note_bug)
        return future

    async def call(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it on the store's thread for whoever waits for it; what it raises is theirs, and no bug of ours."""
        return await self._thread.call(fn, *args, **kwargs)

    async def until(self, writing: Future[R], not_after_s: float) -> R:
        """Wait, but not longer. Raises TimeoutError; the write then goes on by itself."""
        async with self._clock.deadline(not_after_s):
            return await ended(writing)

    async def alive(self) -> None:
        """A full turn through the thread with a write.

        Raises StoreError: behind, a commit fails, or too little room. A thread that still hangs at the next call makes
        that call hang too, so that the watchdog sees it.
        """
        if self._turn is not None:
            with contextlib.suppress(StoreError):  # told already
                await ended(self._turn)
        if self._bug is not None:
            raise self._bug
        self._turn = self.submit(self._beat)
        try:
            await self.until(self._turn, self._clock.monotonic_s() + BEHIND_S)
        except TimeoutError as exc:
            raise StoreError(Detail.BEHIND.of(seconds=BEHIND_S)) from exc
        self._turn = None

    def note(self, actor: str, action: str, what: str) -> Future[None]:
        """Begin to put on record what somebody is about to do."""
        return self.submit(self.audit.note, actor, action, what, self._utc_ms())

    async def command(self, actor: str, method: str, params: Mapping[str, Any], failed: str) -> None:
        """The same of a command over the control socket, in a moment between parts, and wait for the disk.

        failed: why it was not done; "": it is to be done now. Raises StoreError: not on record, so not to be done.
        """
        await self._between_parts()
        noting = self.note(actor, method, _what(failed, params))
        try:
            await self.until(noting, self._clock.monotonic_s() + BEHIND_S)
        except TimeoutError as exc:
            why = f"not on record within {BEHIND_S} s, so not done"
            if not failed and not noting.cancel():  # it is on its way to the disk, and would tell of a deed
                self.note(actor, f"{method}.refused", _what(why, params))
            raise StoreError(why) from exc

    # -- of the filing -------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        return self._database.path

    @property
    def vfs(self) -> str | None:
        """SQLite's file layer by name; None: its own."""
        return self._database.vfs

    @property
    def quiet_s(self) -> float:
        """Since the last change of a row."""
        return self._clock.monotonic_s() - self._changed_s

    async def drop(self, filed: Sequence[Filed]) -> None:
        """Take rows out that a month's file holds; between parts, where there is such a moment. Raises StoreError."""
        await self._between_parts()
        await asyncio.wrap_future(self.submit(self._drop, filed))

    async def images_taken(self, images: Mapping[int, Late]) -> None:
        """Forget what was noted late and stands in the months' files now. Raises StoreError."""
        await self._between_parts()
        await asyncio.wrap_future(self.submit(self.ledger.images_taken, images))

    async def note_gone(self, month: Month, actor: str, reason: str) -> None:
        """Note that a month is about to go, before it does. Raises StoreError, FarewellError."""
        await self.call(self._note_gone, month, actor, reason)

    def check_room(self, for_bytes: int = 0) -> None:
        """Raises StoreError: less is free than the rows of the refused need, and `for_bytes` more."""
        free, needed = self._database.free_bytes(), self._min_free_bytes + for_bytes
        if free < needed:
            raise StoreError(Detail.SHORT_OF_ROOM.of(free=free >> 20, needed=needed >> 20))

    # -- helpers -------------------------------------------------------------------------------------------------------

    async def _between_parts(self) -> None:
        end_s = self._clock.monotonic_s() + PATIENCE_S
        while self._clock.monotonic_s() < end_s:
            if self.quiet_s >= QUIET_S and not any(holder.busy() for holder in self.holders):
                return
            await self._clock.sleep(QUIET_S / 4)

    def _note_bug(self, future: Future[R]) -> None:
        if not future.cancelled() and (exc := future.exception()) and not isinstance(exc, StoreError):
            self._bug = exc

    def _begin_turn(self, future: Future[Any]) -> None:
        turn = self.submit(self._commit_waiting)
        turn.add_done_callback(lambda done: self._never_ran(done, future))

    def _never_ran(self, turn: Future[None], future: Future[R]) -> None:
        """The thread was closed before this change's turn came: whoever waits for it must be told."""
        if (turn.cancelled() or isinstance(turn.exception(), StoreError)) and not future.done():
            future.set_exception(StoreError("the record is closed"))

    # -- on the store's thread -----------------------------------------------------------------------------------------

    def _start(self) -> Recovered:
        rescue(self._database, self._utc_ms())
        try:
            recovered = self._open()
        except StoreBroken as exc:
            if not isinstance(exc.__cause__, MET):
                raise
            self._database.close()
            rescue(self._database, self._utc_ms(), met=str(exc.__cause__))
            recovered = self._open()
        self._reserved_no = reserve(self.path, recovered.next_no)
        self.broken = tuple(set_aside(self.path))
        self.holds.load()
        if not self.broken:
            regain.forget(self.path)
        return recovered

    def _open(self) -> Recovered:
        self._database.open()
        return self.ledger.recover(self._utc_ms(), RECENT)

    def _commit_waiting(self) -> None:
        """All changes that wait now, in one transaction; each future ends as its own change or the commit did."""
        taken: list[tuple[Future[Any], Any]] = []
        for _ in range(len(self._changes)):  # who comes later is in the next one
            fn, future = self._changes.popleft()
            try:
                taken.append((future, fn()))
            except BaseException as exc:  # this caller's alone
                future.set_exception(exc)
        if not taken:
            return
        try:
            self.ledger.commit()
        except StoreError as exc:
            for future, _ in taken:
                future.set_exception(exc)
            return
        for future, result in taken:
            future.set_result(result)

    def _beat(self) -> None:
        self.ledger.beat(self._utc_ms())
        self.check_room()
        if self._next_no > self._reserved_no - RESERVED // 2:
            self._reserved_no = reserve(self.path, self._next_no)

    def _drop(self, filed: Sequence[Filed]) -> None:
        self.ledger.drop(filed, {no for holder in self.holders for no in holder.held()})

    def _note_gone(self, month: Month, actor: str, reason: str) -> None:
        require_none_held(month.path, month.lots, self.holds.lots or ())  # one may have been put on hold since the look
        with self._database.transaction() as db:
            note(db, month, actor, reason, self._utc_ms())

    def _close(self) -> None:
        try:
            self.ledger.end(self._utc_ms())
        finally:
            self._database.close()

    def _utc_ms(self) -> int:
        return int(self._clock.utc_s() * 1000)


def _what(failed: str, params: Mapping[str, Any]) -> str:
    """Of a command, for its entry."""
    return " ".join(part for part in (failed, told(params)) if part)
