"""The durable record: SQLite on one thread, every decision on the disk before the PLC may see it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import time
from pathlib import Path

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
from inspector.store.counting import Counting
from inspector.store.counts import Begin, Counts, Scope, Tallies, plus_parts
from inspector.store.journal import BEHIND_S, MIN_FREE_BYTES, RECENT, Journal
from inspector.store.ledger import Recovered
from inspector.store.recipe_book import RecipeBook
from inspector.threads import DeviceThread
from plc.reactions import Reaction, Reported
from plc.registers import Reason, Verdict

log = structlog.get_logger(__name__)

STORAGE = Outcome(Verdict.NOT_INSPECTED, Reason.STORAGE)
ROOM, MISSING = "room", "missing"  # why a picture is gone: it gave way, or others than we removed it
GRACE_S = 0.25  # a reject waits so long for its row past the deadline: the PLC's own timer has rejected already


class _Opening:
    """The commit of a row's beginning, and when it ended."""

    def __init__(self, commit: Future[None], clock: Clock) -> None:
        self.commit, self.ended_s = commit, math.inf
        commit.add_done_callback(lambda _: setattr(self, "ended_s", clock.monotonic_s()))


class SqliteResults:
    """Implements ports.Results for one station; all stations of a box write through one journal.

    A row that could not be committed stays in memory, bounded, and goes along with the next commit that succeeds.
    """

    def __init__(self, journal: Journal, station: str, clock: Clock, shifts: Sequence[time] = ()) -> None:
        """shifts: local times at which one begins, for the counts."""
        self._journal, self._station, self._clock, self._shifts = journal, station, clock, shifts
        self._opening: dict[int, _Opening] = {}
        self._recent: dict[int, int] = {}  # trigger id -> no of its newest row, oldest first
        self._plc_told: int | None = None  # PLC_PART_COUNT as the ledger knows it
        self.recall()
        journal.holders.append(self)

    @classmethod
    def of_file(
        cls, path: Path, station: str, clock: Clock, thread: DeviceThread, *,
        min_free_bytes: int = MIN_FREE_BYTES, vfs: str | None = None, shifts: Sequence[time] = (),
    ) -> SqliteResults:  # fmt: skip
        """A station with a journal of its own; `start` it."""
        return cls(Journal(path, clock, thread, min_free_bytes=min_free_bytes, vfs=vfs), station, clock, shifts)

    async def start(self) -> Recovered:
        """Open the journal where this station is its only one. Raises StoreError."""
        recovered = await self._journal.start()
        self.recall()
        return recovered

    def recall(self) -> None:
        """Take from what the journal found at its start: the ids that a PLC may still hold, and what is counted."""
        ledger = self._journal.ledger
        self.counting = Counting(self._station, self._shifts, ledger.tallies.get(self._station, {}))
        if self._station in ledger.plc_parts:
            self.counting.plc.recall(ledger.plc_parts[self._station])
        for station, trigger_id, no in self._journal.recovered.recent:
            if station == self._station:
                self._remember(trigger_id, no)

    async def close(self) -> None:
        """Commit what waits and close. Bounded; what cannot be done in time is settled at the next start."""
        try:
            await self._journal.close()
        except (StoreError, TimeoutError) as exc:
            log.error("record not closed in order", error=str(exc))

    def open(self, trigger: Trigger) -> OpenRow:
        """Begin the row of an accepted trigger, on the event loop. A failure surfaces in decide()."""
        no = self._new_no(trigger.seq)
        utc_ms = self._utc_ms()
        begins = self.counting.row(no, utc_ms, trigger.lot)
        # not at once: the camera begins first
        commit = self._journal.change(lambda: self._open(no, trigger, utc_ms, begins), at_once=False)
        self._opening[no] = _Opening(commit, self._clock)
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
        opening = self._opening.pop(no)
        writing = self._journal.change(lambda: self._decide(judged, opening))
        not_after_s = trigger.deadline_mono_s
        if outcome.verdict is Verdict.NOT_INSPECTED:
            not_after_s = max(not_after_s, self._clock.monotonic_s() + GRACE_S)
        try:
            return self._ended(await self._journal.until(writing, not_after_s))
        except (StoreError, TimeoutError) as exc:
            log.error("decision not committed in time", no=no, error=str(exc) or "late")
            self._journal.change(lambda: self._keep(no, rows.outcome_of(STORAGE)))  # the row too shall say so
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
            utc_ms = self._utc_ms()
            begins = self.counting.row(no, utc_ms)
            writing = self._journal.change(lambda: self._refuse(refused, utc_ms, begins))
        else:
            writing = self._journal.change(lambda: None)
        try:
            await self._journal.until(writing, self._clock.monotonic_s() + GRACE_S)
        except (StoreError, TimeoutError) as exc:
            log.error("refusal not committed in time", no=no, error=str(exc) or "late")
            return replace(refused, outcome=STORAGE)
        return refused

    async def stamp(self, decided: Inspection, delivery: Delivery) -> None:
        """Note on the row what the PLC was told. Raises StoreError: not yet; it is tried again with every commit."""
        told_utc_ms = self._utc_ms() - round(1000 * (self._clock.monotonic_s() - delivery.mono_s))
        writing = self._journal.change(lambda: self._stamp(decided, delivery, told_utc_ms))
        try:
            await self._journal.until(writing, self._clock.monotonic_s() + BEHIND_S)
        except TimeoutError as exc:
            raise StoreError(f"row {decided.no} was not stamped within {BEHIND_S} s") from exc

    async def alive(self) -> None:
        await self._journal.alive()

    def note_image(self, no: int, name: str | None, why: str = ROOM) -> None:
        """The archive keeps this row's picture under `name`; None: it is gone, and why.

        From any thread; written by and by.
        """
        self._journal.submit(self._journal.ledger.keep, no, rows.picture(name, why, self._utc_ms()))

    def react(self, reactions: Iterable[Reaction]) -> None:
        """Note on rows what the PLC did after their results; written with the next commit, and none is made for it."""
        now_s, utc_ms = self._clock.monotonic_s(), self._utc_ms()

        def seen_utc_ms(done: Reaction) -> int:
            return utc_ms - round(1000 * (now_s - done.seen_s)) if isinstance(done, Reported) else utc_ms

        changes = [(done.inspection_no, rows.reaction(done, seen_utc_ms(done))) for done in reactions]
        if changes:
            self._journal.submit(self._journal.ledger.react, changes)

    async def begin_period(self, actor: str, why: str) -> None:
        """Count anew from the next row on; nothing is deleted. Raises StoreError."""
        begin, undo = self.counting.reset(self._journal.next_no, self._utc_ms(), actor, why)
        try:
            await asyncio.wrap_future(self._journal.submit(self._journal.ledger.begin_now, begin))
        except StoreError:
            undo()
            raise

    def turn(self) -> None:
        """From time to time: a shift may have begun, and the PLC may have counted parts; written by and by."""
        ledger, counting = self._journal.ledger, self.counting
        if begins := counting.turn(self._journal.next_no, self._utc_ms()):
            self._journal.change(lambda: ledger.begin(begins))
        raw, grown = counting.plc.raw, counting.take_growth()
        if raw is not None and (grown or raw != self._plc_told):
            self._plc_told = raw
            self._journal.submit(ledger.grew, self._station, raw, grown)

    @property
    def recipes(self) -> RecipeBook:
        return self._journal.recipes

    @property
    def boot(self) -> int:
        return self._journal.boot

    @property
    def tallies(self) -> Tallies:
        """Of this station's counting periods that run, as of the last commit; the PLC's own parts as of now."""
        return plus_parts(self._journal.ledger.tallies.get(self._station, {}), self.counting.waiting())

    @property
    def counts(self) -> Counts:
        """Since the last reset."""
        return self.tallies.get(Scope.RESET, Counts())

    def held(self) -> list[int]:
        """Numbers of rows that a PLC may still ask for, whatever their age; from any thread."""
        return [*self._recent.values(), *self._opening]

    def busy(self) -> bool:
        """True while a part is on its way to its decision."""
        return bool(self._opening)

    def known(self, trigger_id: int) -> bool:
        """True if one of the newest rows is of this id."""
        return trigger_id in self._recent

    def last_id(self) -> int:
        """TRIGGER_ID of the newest row; 0 = none yet."""
        return next(reversed(self._recent), 0)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _new_no(self, trigger_id: int) -> int:
        no = self._journal.new_no()
        self._remember(trigger_id, no)
        return no

    def _remember(self, trigger_id: int, no: int) -> None:
        self._recent.pop(trigger_id, None)
        self._recent[trigger_id] = no
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    def _ended(self, done: Inspection) -> Inspection:
        now = self._clock.monotonic_s()
        elapsed_ms = (now - done.trigger.accepted_mono_s) * 1000
        return replace(done, elapsed_ms=elapsed_ms, stamps={**done.stamps, "decided": now})

    def _utc_ms(self) -> int:
        return int(self._clock.utc_s() * 1000)

    # -- on the store's thread -----------------------------------------------------------------------------------------

    def _open(self, no: int, trigger: Trigger, utc_ms: int, begins: Sequence[Begin]) -> None:
        self._keep(no, rows.opened(trigger, "accepted", self._station, self.boot, utc_ms), begins)

    def _decide(self, judged: Inspection, opening: _Opening) -> Inspection:
        """The opening ran before us on this thread; where it failed, the part is 4/112 whatever comes now.

        Where it has not ended it is in this very commit, and fails or succeeds with us.
        """
        failed = opening.commit.exception() if opening.commit.done() else None
        if isinstance(failed, StoreError):
            judged = replace(judged, outcome=STORAGE)
        elif failed is not None:
            raise failed
        opened_s = min(opening.ended_s, self._clock.monotonic_s())
        judged = replace(judged, stamps={**judged.stamps, "opened": opened_s} if failed is None else judged.stamps)
        self._keep(judged.no, rows.decided(self._ended(judged)))
        return judged

    def _refuse(self, refused: Inspection, utc_ms: int, begins: Sequence[Begin]) -> None:
        row = rows.opened(refused.trigger, "refused", self._station, self.boot, utc_ms)
        self._keep(refused.no, {**row, **rows.decided(refused)}, begins)

    def _stamp(self, decided: Inspection, delivery: Delivery, utc_ms: int) -> None:
        if delivery.state is DeliveryState.NONE and self._journal.ledger.was_told(decided.no):
            return  # nothing new reached the PLC: what it was told before stands
        self._keep(decided.no, rows.told(decided, delivery, utc_ms))

    def _keep(self, no: int, columns: rows.Columns, begins: Sequence[Begin] = ()) -> None:
        self._journal.ledger.keep(no, columns, self._station, begins)
