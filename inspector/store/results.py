"""The durable record: SQLite on one thread, every decision on the disk before the PLC may see it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog

from inspector.core.errors import StoreError
from inspector.core.ports import Clock, OpenRow
from inspector.core.types import (
    Delivery,
    DeliveryState,
    Inspection,
    JudgedBy,
    Outcome,
    Prediction,
    Refusal,
    Trigger,
)
from inspector.store import rows
from inspector.store.counts import Counts, begin_period
from inspector.store.database import Database
from inspector.store.ledger import Ledger, Recovered
from inspector.store.recipe_book import RecipeBook
from inspector.threads import DeviceThread
from plc.registers import Reason, Verdict

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

STORAGE = Outcome(Verdict.NOT_INSPECTED, Reason.STORAGE)
GRACE_S = 0.25  # a reject waits so long for its row past the deadline: the PLC's own timer has rejected already
BEHIND_S = 1.0  # a write that takes longer means that the store is behind
RECENT = 1000  # newest rows whose ids a PLC may still hold; ids wrap, so older ones do not count
MIN_FREE_BYTES = 64 * 1024 * 1024  # below it no part is accepted; what is left is for the rows of the refused


class SqliteResults:
    """Implements ports.Results; the only writer of results.db.

    INSPECTION_NO is given out at once, so that a picture or a register can name a row whose commit still runs. A row
    that could not be committed stays in memory, bounded, and goes along with the next commit that succeeds.
    """

    def __init__(
        self, path: Path, station: str, clock: Clock, thread: DeviceThread, *,
        min_free_bytes: int = MIN_FREE_BYTES, vfs: str | None = None,
    ) -> None:  # fmt: skip
        self._station, self._clock, self._thread, self._min_free_bytes = station, clock, thread, min_free_bytes
        self._database = Database(path, vfs=vfs)
        self._ledger = Ledger(self._database)  # on the store's thread only
        self.recipes = RecipeBook(self._database)  # too
        self._next_no = 0
        self._opening: dict[int, Future[float]] = {}
        self._recent: dict[int, int] = {}  # trigger id -> no of its newest row, oldest first
        self._turn: Future[None] | None = None
        self._bug: BaseException | None = None
        self.boot = 0

    async def start(self) -> Recovered:
        """Open, migrate, settle what the former life left open. Raises StoreError."""
        recovered = await self._thread.call(self._start)
        self.boot, self._next_no = recovered.boot, recovered.next_no
        for trigger_id, no in recovered.recent:
            self._remember(trigger_id, no)
        return recovered

    async def close(self) -> None:
        """Commit what waits and close. Bounded; what cannot be done in time is settled at the next start."""
        try:
            await self._until(self._submit(self._close), self._clock.monotonic_s() + BEHIND_S)
        except (StoreError, TimeoutError) as exc:
            log.error("record not closed in order", error=str(exc))

    def open(self, trigger: Trigger) -> OpenRow:
        """Begin the row of an accepted trigger. A failure surfaces in decide()."""
        no = self._new_no(trigger.seq)
        self._opening[no] = self._submit(self._open, no, trigger, self._utc_ms())
        return OpenRow(trigger, no)

    async def decide(
        self,
        opened: OpenRow,
        outcome: Outcome,
        prediction: Prediction | None,
        judged_by: JudgedBy,
        stamps: Mapping[str, float],
    ) -> Inspection:
        """Commit the decision. 4/112 if a commit failed, or was not done by the trigger's deadline."""
        trigger, no = opened.trigger, opened.ticket
        judged = Inspection(no, trigger, outcome, prediction, judged_by, 0.0, dict(stamps))
        writing = self._submit(self._decide, judged, self._opening.pop(no))
        not_after_s = trigger.deadline_mono_s
        if outcome.verdict is Verdict.NOT_INSPECTED:
            not_after_s = max(not_after_s, self._clock.monotonic_s() + GRACE_S)
        try:
            return self._ended(await self._until(writing, not_after_s))
        except (StoreError, TimeoutError) as exc:
            log.error("decision not committed in time", no=no, error=str(exc) or "late")
            self._submit(self._ledger.change, no, rows.outcome_of(STORAGE))  # the row too shall say so, when it can
            return self._ended(replace(judged, outcome=STORAGE))

    async def refuse(self, refusal: Refusal) -> Inspection:
        """Commit a refused row; a standing id that has a row keeps its own. 4/112 if that was not committed."""
        trigger = Trigger(refusal.seq, refusal.part_id, refusal.accepted_mono_s, refusal.accepted_mono_s)
        outcome = Outcome(Verdict.NOT_INSPECTED, refusal.reason)
        standing = self._recent.get(refusal.seq) if refusal.has_row else None
        no = standing if standing is not None else self._new_no(refusal.seq)
        refused = Inspection(no, trigger, outcome, None, JudgedBy(), 0.0)
        if standing is None:
            refused = self._ended(replace(refused, stamps={"trigger": refusal.accepted_mono_s}))
            writing = self._submit(self._refuse, refused, self._utc_ms())
        else:
            writing = self._submit(self._ledger.commit)
        try:
            await self._until(writing, self._clock.monotonic_s() + GRACE_S)
        except (StoreError, TimeoutError) as exc:
            log.error("refusal not committed in time", no=no, error=str(exc) or "late")
            return replace(refused, outcome=STORAGE)
        return refused

    async def stamp(self, decided: Inspection, delivery: Delivery) -> None:
        """Note on the row what the PLC was told. Raises StoreError: not yet; it is tried again with every commit."""
        age_s = self._clock.monotonic_s() - delivery.mono_s
        writing = self._submit(self._stamp, decided, delivery, self._utc_ms() - round(1000 * age_s))
        try:
            await self._until(writing, self._clock.monotonic_s() + BEHIND_S)
        except TimeoutError as exc:
            raise StoreError(f"row {decided.no} was not stamped within {BEHIND_S} s") from exc

    async def alive(self) -> None:
        """A full turn through the thread with a write.

        Raises StoreError: behind, a commit fails, or too little room. A thread that still hangs at the next call makes
        that call hang too, so that the watchdog sees it.
        """
        if self._turn is not None:
            with contextlib.suppress(StoreError):  # told already
                await asyncio.shield(asyncio.wrap_future(self._turn))
        if self._bug is not None:
            raise self._bug
        self._turn = self._submit(self._beat)
        try:
            await self._until(self._turn, self._clock.monotonic_s() + BEHIND_S)
        except TimeoutError as exc:
            raise StoreError(f"the record is behind: no commit within {BEHIND_S} s") from exc
        self._turn = None

    def note_image(self, no: int, name: str | None) -> None:
        """The archive keeps this row's picture under `name`, or dropped it. From any thread; written by and by."""
        self._submit(self._ledger.keep, no, {"image": name})

    async def begin_period(self, actor: str, why: str) -> None:
        """Count anew from the next row on; nothing is deleted. Raises StoreError."""
        await self._thread.call(self._begin_period, self._next_no, actor, why)

    @property
    def counts(self) -> Counts:
        """Of the running period, as of the last commit."""
        return self._ledger.counts

    def known(self, trigger_id: int) -> bool:
        """True if one of the newest rows is of this id."""
        return trigger_id in self._recent

    def last_id(self) -> int:
        """TRIGGER_ID of the newest row; 0 = none yet."""
        return next(reversed(self._recent), 0)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _new_no(self, trigger_id: int) -> int:
        no, self._next_no = self._next_no, self._next_no + 1
        self._remember(trigger_id, no)
        return no

    def _remember(self, trigger_id: int, no: int) -> None:
        self._recent.pop(trigger_id, None)
        self._recent[trigger_id] = no
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    def _submit(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Queue on the store's thread; never raises. What is no StoreError is a bug, and alive() raises it."""
        try:
            future = self._thread.submit(fn, *args, **kwargs)
        except RuntimeError:  # the thread was closed
            future = Future()
            future.set_exception(StoreError("the record is closed"))
        future.add_done_callback(self._note_bug)
        return future

    def _note_bug(self, future: Future[R]) -> None:
        if not future.cancelled() and (exc := future.exception()) and not isinstance(exc, StoreError):
            self._bug = exc

    async def _until(self, writing: Future[R], not_after_s: float) -> R:
        """Wait, but not longer. Raises TimeoutError; the write then goes on by itself."""
        async with self._clock.deadline(not_after_s):
            return await asyncio.shield(asyncio.wrap_future(writing))

    def _ended(self, done: Inspection) -> Inspection:
        now = self._clock.monotonic_s()
        elapsed_ms = (now - done.trigger.accepted_mono_s) * 1000
        return replace(done, elapsed_ms=elapsed_ms, stamps={**done.stamps, "decided": now})

    def _utc_ms(self) -> int:
        return int(self._clock.utc_s() * 1000)

    # -- on the store's thread -----------------------------------------------------------------------------------------

    def _start(self) -> Recovered:
        self._database.open()
        return self._ledger.recover(self._utc_ms(), RECENT)

    def _open(self, no: int, trigger: Trigger, utc_ms: int) -> float:
        self._ledger.change(no, rows.opened(trigger, "accepted", self._station, self.boot, utc_ms))
        return self._clock.monotonic_s()

    def _decide(self, judged: Inspection, opening: Future[float]) -> Inspection:
        """The opening ran before us on this thread; where it failed, the part is 4/112 whatever comes now."""
        failed = opening.exception()
        if failed is None:
            judged = replace(judged, stamps={**judged.stamps, "opened": opening.result()})
        elif isinstance(failed, StoreError):
            judged = replace(judged, outcome=STORAGE)
        else:
            raise failed
        self._ledger.change(judged.no, rows.decided(self._ended(judged)))
        return judged

    def _refuse(self, refused: Inspection, utc_ms: int) -> None:
        row = rows.opened(refused.trigger, "refused", self._station, self.boot, utc_ms)
        self._ledger.change(refused.no, {**row, **rows.decided(refused)})

    def _stamp(self, decided: Inspection, delivery: Delivery, utc_ms: int) -> None:
        if delivery.state is DeliveryState.NONE and self._ledger.was_told(decided.no):
            return  # nothing new reached the PLC: what it was told before stands
        self._ledger.change(decided.no, rows.told(decided, delivery, utc_ms))

    def _beat(self) -> None:
        self._ledger.beat(self._utc_ms())
        free = self._database.free_bytes()
        if free < self._min_free_bytes:
            raise StoreError(f"only {free >> 20} MB free, {self._min_free_bytes >> 20} MB are needed")

    def _begin_period(self, from_no: int, actor: str, why: str) -> None:
        with self._database.transaction() as db:
            begin_period(db, from_no, self._utc_ms(), actor, why)
        self._ledger.recount()

    def _close(self) -> None:
        try:
            self._ledger.end(self._utc_ms())
        finally:
            self._database.close()
