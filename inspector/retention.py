"""What is kept and what goes, while the line runs: pictures by watermarks, lots on hold, orphans, the disk's reserve.

Pictures are removed on the archive's thread, a few at a time; whatever takes longer has a thread of its own.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from inspector.control import ControlError, Handler, Params
from inspector.core.alarm_kinds import Kind as Alarm
from inspector.core.errors import StoreError
from inspector.core.ports import Clock
from inspector.health import Health
from inspector.store.database import UNREADABLE
from inspector.store.farewell import FarewellError, Month, require_none_held
from inspector.store.filing import Filing
from inspector.store.holds import Holds
from inspector.store.images import ImageArchive
from inspector.store.journal import Journal
from inspector.store.reconcile import Findings, Reconciler
from inspector.store.record_files import BROKEN, RecordFiles
from inspector.store.regain import is_pending
from inspector.store.reserve import Growth, growth
from inspector.store.results import MISSING, ROOM, SqliteResults
from inspector.store.shelf import MIN_FREE_INODES, Bounds, Kind, Shelf
from inspector.threads import DeviceThread

log = structlog.get_logger(__name__)

IDLE_S, BUSY_S = 1.0, 0.05  # between two turns of the archive, and while pictures give way
GROWTH_EVERY_S, NO_GROWTH_YET_S = 600.0, 20.0  # the latter: on a box without parts, whose first may come at any time
FIRST_LOOK_S, LOOK_EVERY_S, LOOK_LATER_S = 900.0, 86_400.0, 3600.0  # for orphans; later: after one that failed
ALARM_DAYS, SHORT_DAYS = 30, 7
END_S = 1.0
FEW_INODES = 4 * MIN_FREE_INODES
AT_ONCE = 8  # orphans that are set aside in one turn of the archive's thread
NOTED, NOTES_S = 100, 1.0  # notes on rows, and the pause after them: few may wait for the next commit
MOST_NUMBERS = 2000  # of one message
MESSAGE = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """Where things are, and how much there may be."""

    pictures: Path
    aside: Path  # pictures that no row names
    bounds: Bounds
    aside_days: float
    record_min_free_bytes: int


@dataclass(frozen=True, slots=True)
class Look:
    """What the last look for orphans found, and did. doubt: why nothing was done."""

    utc_ms: int
    pictures: int
    rows: int
    set_aside: int = 0
    missing: int = 0
    noted: int = 0
    doubt: str | None = None
    later: int = 0  # that do not fit either, and are too young to be believed


class Retention:
    """On the event loop; what blocks is on `thread`, or on the archive's."""

    def __init__(
        self, settings: RetentionSettings, journal: Journal, results: SqliteResults, archive: ImageArchive,
        filing: Filing, clock: Clock, thread: DeviceThread,
    ) -> None:  # fmt: skip
        self._settings, self._journal, self._results = settings, journal, results
        self._archive, self._filing, self._clock, self._thread = archive, filing, clock, thread
        self._files = RecordFiles(journal.path)
        self._reconciler = Reconciler(settings.pictures, settings.aside, self._files)
        self._looking = asyncio.Lock()
        self._going = asyncio.Lock()  # a month, from the word that it goes until it is gone
        self._growth: Growth | None = None
        self._look: Look | None = None
        self._aside = 0  # pictures that are set aside
        self._fault: str | None = None
        self.damaged: tuple[str, ...] = ()  # names of months' files, as far as a look has met it

    async def run_forever(self) -> None:
        """Turn after turn: pictures that must go, then what is to be measured or looked for."""
        now = self._clock.monotonic_s()
        growth_s, look_s = now, now + FIRST_LOOK_S
        while True:
            await self._tend()
            now = self._clock.monotonic_s()
            if now >= growth_s:
                await self._measure()
                growth_s = now + (GROWTH_EVERY_S if self._growth and self._growth.per_day_bytes else NO_GROWTH_YET_S)
            if now >= look_s:
                look_s = now + (LOOK_EVERY_S if await self._look_again() else LOOK_LATER_S)
            await self._clock.sleep(BUSY_S if self._archive.stock.giving_way else IDLE_S)

    async def _tend(self) -> None:
        """What fails in it is the archive's own alarm, and no reason to end the line."""
        turn = asyncio.wrap_future(self._archive.tend())
        await asyncio.wait([turn])
        if not turn.cancelled():
            turn.exception()

    def close(self) -> None:
        """End the thread; a look for orphans that runs is left."""
        with suppress(TimeoutError):
            self._thread.submit(self._files.forget).result(timeout=END_S)
        self._thread.close()

    # -- what others ask -----------------------------------------------------------------------------------------------

    def handlers(self) -> Mapping[str, Handler]:
        """For the control socket."""
        return {
            "hold_lot": self._hold, "release_lot": self._release, "reviewed": self._reviewed,
            "reconcile": self._reconcile, "forget_month": self._forget_month, "salvage_month": self._salvage,
            "storage": lambda *_: self.figures(),
        }  # fmt: skip

    async def _hold(self, params: Params, actor: str) -> bool:
        """Once this is answered no picture of the lot is removed any more, and no month that has rows of it."""
        async with self._going:
            await self._enter(params, True, actor)
        await asyncio.wrap_future(self._archive.begin(lambda _: None))  # whatever it was about to remove is done
        return True

    async def _release(self, params: Params, actor: str) -> bool:
        await self._enter(params, False, actor)
        return True

    async def _enter(self, params: Params, held: bool, actor: str) -> None:
        lot, reason = params.get("lot"), params.get("reason")
        if not isinstance(lot, str) or not isinstance(reason, str):
            raise ControlError("a lot and a reason are needed")
        utc_ms = int(self._clock.utc_s() * 1000)
        await self._journal.call(self._journal.holds.enter, lot, held, actor, reason, utc_ms)
        log.info("lot put on hold" if held else "lot released", lot=lot, actor=actor, reason=reason)

    async def _reviewed(self, params: Params, actor: str) -> bool:
        """Not in the audit: who labelled what stands in the labels' own history."""
        reviewed, opened = _numbers(params.get("reviewed")), _numbers(params.get("open"))
        await self._journal.call(self._journal.holds.mark_reviewed, reviewed, opened)
        log.info("told what was reviewed", actor=actor, reviewed=len(reviewed), open=len(opened))
        return True

    async def _reconcile(self, params: Params, actor: str) -> MESSAGE:
        """Look now; accept: do it, however many there are."""
        accept = params.get("accept") is True
        log.info("look for orphans", actor=actor, accept=accept)
        async with self._looking:
            return _look_message(await self._reconciled(accept))

    async def _forget_month(self, params: Params, actor: str) -> MESSAGE:
        """A month of the record goes, after its export; its pictures with it, where that is said."""
        month, sha256, reason = (params.get(key) for key in ("month", "sha256", "reason"))
        if not isinstance(month, str) or not isinstance(sha256, str) or not isinstance(reason, str) or not reason:
            raise ControlError("a month, the checksum of its export, and a reason are needed")
        found = await self._filing.may_go(month, sha256, with_pictures=params.get("with_pictures") is True)
        pictures = await self._let_pictures_go(found)
        async with self._going:
            await self._filing.forget(found, actor, reason)
        return {"rows": found.rows, "bytes": found.bytes, "pictures": pictures}

    async def _salvage(self, params: Params, actor: str) -> MESSAGE:
        """A damaged month is set aside, and what can be read of it takes its place."""
        done = await self._filing.salvage(str(params.get("month")))
        await self._see_damage()
        return {"rows": done.rows, "lost": done.lost, "aside": done.aside.name}

    async def _see_damage(self) -> None:
        """A look that met a damaged page does not say in which file."""
        self.damaged = tuple(await self._filing.damaged())

    async def _let_pictures_go(self, month: Month) -> int:
        """Before its rows, so that a hold that comes meanwhile keeps what is left of both; how many there were.

        Raises FarewellError: a lot in it was put on hold.
        """
        pictures, gone = sorted({(Kind(path.split("/")[0]), no) for no, path in month.pictures}), 0
        for gone in range(0, len(pictures), AT_ONCE):
            some = pictures[gone : gone + AT_ONCE]
            try:
                await asyncio.wrap_future(self._archive.begin(partial(_let_go, some, month, self._journal.holds)))
            except FarewellError as exc:
                await self._note([(no, None) for _, no in pictures[:gone]], ROOM)
                raise FarewellError(f"{exc}; {gone} of its pictures had gone before") from exc
            await self._clock.sleep(BUSY_S)
        return len(pictures)

    def figures(self) -> MESSAGE:
        """For the page."""
        bounds, stock, fs = self._settings.bounds, self._archive.stock, os.statvfs(self._journal.path.parent)
        begin, stop = bounds.marks(fs.f_blocks * fs.f_frsize)
        days = self._days_left()
        return {
            "disk_bytes": fs.f_blocks * fs.f_frsize, "free_bytes": fs.f_bavail * fs.f_frsize,
            "floor_bytes": bounds.min_free_bytes, "begin_bytes": begin, "stop_bytes": stop,
            "max_bytes": bounds.max_bytes, "sample_bytes": bounds.sample_bytes,
            "free_inodes": fs.f_favail if fs.f_files else None,
            "kinds": {str(kind): [pile.count, pile.bytes] for kind, pile in stock.piles.items()},
            "giving_way": stock.giving_way, "stuck": stock.stuck, "removed": stock.removed, "counted": stock.loaded,
            "record_bytes": self._growth.bytes if self._growth else None,
            "per_day_bytes": round(self._growth.per_day_bytes) if self._growth else None,
            "days_left": round(days, 1) if math.isfinite(days) else None, "damaged": self.damaged,
            "aside": self._aside, "look": _look_message(self._look) if self._look else None, "fault": self._fault,
        }  # fmt: skip

    def warn(self, health: Health) -> None:
        """Alarms of what takes READY from nobody."""
        look, days, inodes, stuck = self._look, self._days_left(), self._free_inodes(), self._archive.stock.stuck
        reserve = Alarm.STORAGE_RESERVE_SHORT if days < SHORT_DAYS else Alarm.STORAGE_RESERVE
        aside: Mapping[str, str | int] = {
            "count": self._aside,
            "days": f"{self._settings.aside_days:g}",
            "folder": str(self._settings.aside),
        }
        health.warn(Alarm.STORAGE_STUCK, {} if stuck else None)
        health.warn(reserve, {"days": f"{days:.0f}"} if days < ALARM_DAYS else None)
        health.warn(Alarm.STORAGE_INODES, {"count": int(inodes)} if inodes < FEW_INODES else None)
        health.warn(Alarm.STORAGE_DOUBT, {"detail": look.doubt} if look is not None and look.doubt else None)
        health.warn(Alarm.STORAGE_ASIDE, aside if self._aside else None)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _days_left(self) -> float:
        """Until the record has taken all that it may: what is free, and what pictures beyond the sample would leave."""
        if self._growth is None:
            return math.inf
        stock, bounds = self._archive.stock, self._settings.bounds
        piles = stock.piles
        fixed = piles[Kind.TEST].bytes + min(piles[Kind.PASS].bytes, bounds.sample_bytes)
        pictures = 0 if stock.stuck else sum(pile.bytes for pile in piles.values()) - fixed
        fs = os.statvfs(self._journal.path.parent)
        free = fs.f_bavail * fs.f_frsize - self._settings.record_min_free_bytes
        return self._growth.days_in(free + pictures)

    def _free_inodes(self) -> float:
        fs = os.statvfs(self._journal.path.parent)
        return fs.f_favail if fs.f_files else math.inf

    async def _measure(self) -> None:
        try:
            self._growth = await self._thread.call(growth, self._files, int(self._clock.utc_s() * 1000))
        except UNREADABLE as exc:
            await self._failed("how fast the record grows is not known", exc)

    async def _look_again(self) -> bool:
        """False: it could not be done now."""
        async with self._looking:
            try:
                await self._reconciled(False)
            except StoreError:  # told already
                return False
        return True

    async def _reconciled(self, accept: bool) -> Look:
        """Raises StoreError: the record or the folder cannot be read now."""
        if is_pending(self._journal.path):  # a picture whose row is still to come back is no orphan
            raise StoreError("rows of a record that broke are still coming back: orphans are looked for after that")
        now_s = self._clock.utc_s()
        try:
            found = await self._thread.call(self._reconciler.look, now_s)
            doubt = None if accept else found.doubt
            look = Look(int(now_s * 1000), found.pictures, found.rows, doubt=doubt, later=found.later)
            if look.doubt is None:
                look = await self._do(found, look, now_s)
                await self._thread.call(self._reconciler.sweep, now_s, self._settings.aside_days)
            else:
                log.error("orphans: too many to be believed", found=look.doubt)
            self._aside = await self._thread.call(self._reconciler.set_aside)
        except UNREADABLE as exc:
            await self._failed("orphans were not looked for", exc)
            if isinstance(exc, BROKEN):
                await self._see_damage()
            raise StoreError(f"orphans were not looked for: {exc}") from exc
        self._look, self._fault = look, None
        return look

    async def _do(self, found: Findings, look: Look, now_s: float) -> Look:
        await self._take_out(found.orphans, self._reconciler.aside_day(now_s))
        await self._note([*found.unnoted.items(), *((no, None) for no in found.missing)], MISSING)
        shards = {(path.split("/")[0], no // 1000) for no, path in found.missing.items()}
        for kind, shard in sorted(shards):
            await asyncio.wrap_future(self._archive.begin(partial(_recount, Kind(kind), shard)))
        done = (len(found.orphans), len(found.missing), len(found.unnoted))
        if any(done):
            log.warning("orphans", set_aside=done[0], missing=done[1], noted=done[2])
        return Look(look.utc_ms, look.pictures, look.rows, *done, later=look.later)

    async def _note(self, notes: Sequence[tuple[int, str | None]], why: str) -> None:
        """Number -> where its picture lies; None: it is gone, and why."""
        for at in range(0, len(notes), NOTED):
            for no, name in notes[at : at + NOTED]:
                self._results.note_image(no, name, why)
            await self._clock.sleep(NOTES_S)

    async def _take_out(self, pictures: Sequence[tuple[Kind, int]], to: Path) -> None:
        """To another folder, a few at a time, on the archive's thread."""
        for at in range(0, len(pictures), AT_ONCE):
            some = pictures[at : at + AT_ONCE]
            await asyncio.wrap_future(self._archive.begin(partial(_take_out, some, to)))
            await self._clock.sleep(BUSY_S)

    async def _failed(self, what: str, exc: Exception) -> None:
        self._fault = f"{what}: {exc}"
        log.warning(what, error=str(exc))
        await self._thread.call(self._files.forget)


def _take_out(pictures: Sequence[tuple[Kind, int]], to: Path, shelf: Shelf) -> None:
    for kind, no in pictures:
        shelf.take_out(kind, no, to / kind)


def _let_go(pictures: Sequence[tuple[Kind, int]], month: Month, holds: Holds, shelf: Shelf) -> None:
    """Raises FarewellError: a lot of their month is on hold. Whoever answers a hold waits for this to end."""
    require_none_held(month.path, month.lots, holds.lots or ())
    for kind, no in pictures:
        shelf.take_out(kind, no, None)


def _recount(kind: Kind, shard: int, shelf: Shelf) -> None:
    shelf.recount(kind, shard)


def _look_message(look: Look) -> MESSAGE:
    return {
        "utc_ms": look.utc_ms, "pictures": look.pictures, "rows": look.rows, "set_aside": look.set_aside,
        "missing": look.missing, "noted": look.noted, "doubt": look.doubt, "later": look.later,
    }  # fmt: skip


def _numbers(sent: object) -> Sequence[int]:
    if not isinstance(sent, list) or len(sent) > MOST_NUMBERS or not all(type(no) is int for no in sent):
        raise ControlError(f"at most {MOST_NUMBERS} numbers of inspections are needed")
    return sent
