"""A PLC under full control of a test: a scan loop, the contract's function block, and every way to be wrong."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from plc.conformance.checker import Checker
from plc.conformance.p2 import why_not_good
from plc.conformance.ports import Port, PortLost
from plc.images import Image
from plc.registers import CTRL, DIAG, IDENT, SIGNATURE, SIMULATOR_SIGNATURE, STAT, Control, Status

BEAT_S = 0.05
ENABLE, TRIGGER, ACK = Control.TRIGGER_ENABLE, Control.TRIGGER, Control.RESULTS_ACK
SHOWN = Status.RESULTS_VALID | Status.TRIGGER_ACK


@dataclass(frozen=True, slots=True)
class Piece:
    """A part at the camera. good: a right appliance passes it."""

    part_id: int
    good: bool


@dataclass(slots=True)
class Seen:
    """What the PLC made of one part; code 0: it read no result."""

    id: int
    piece: Piece
    code: int = 0
    reason: int = 0
    good: bool = False
    why: list[str] = field(default_factory=list)  # terms of P2 that did not hold
    part_id_echo: int = 0

    def __str__(self) -> str:
        return f"id {self.id}: {self.code}/{self.reason}, taken as {'good' if self.good else 'reject'}"


@dataclass(frozen=True, slots=True)
class PlcSettings:
    """Times in seconds; generous, because two busy cores are no PLC."""

    number: int = 1
    simulator: bool = True  # False: shows a production signature
    scan_s: float = 0.005
    ack_timeout_s: float = 1.0
    result_timeout_s: float = 4.0
    heartbeat_timeout_s: float = 1.5
    ready_timeout_s: float = 15.0


class FakePlc:
    """`async with` runs its scans. Tests change `ctrl` between two scans; each scan reads STAT and writes CTRL.

    stopped: in STOP; the communication goes on, the program does not (heartbeat and echo stand). silent: CTRL is not
    even written. in_view: the part that a camera would see now.
    """

    def __init__(self, cfg: PlcSettings, port: Port, checker: Checker, ids: Iterator[int]) -> None:
        self.cfg, self.port, self.checker, self._ids = cfg, port, checker, ids
        self.ctrl, self.stat = Image(CTRL), Image(STAT)
        base = SIMULATOR_SIGNATURE if cfg.simulator else SIGNATURE
        self.ctrl["SIGNATURE"], self.ctrl["CONTROL"] = base + cfg.number, ENABLE
        self.scan_s, self.stopped, self.silent = cfg.scan_s, False, False
        self.in_view: Piece | None = None
        self.linked = False
        self.scans = 0
        self.seen: list[Seen] = []
        self._exchanging = asyncio.Lock()
        self._tick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._beat_s = self._heard_s = 0.0
        self._heard, self._changes = 0, 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._scan_forever(), name="fake PLC")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.port.close()

    # -- scans ---------------------------------------------------------------------------------------------------------

    async def _scan_forever(self) -> None:
        try:
            while True:
                await self._scan()
                await asyncio.sleep(self.scan_s)
        finally:
            self._tick.set()  # who waits for a scan must see that none comes any more

    async def _scan(self) -> None:
        try:
            async with self._exchanging:
                self.stat = Image(STAT, await self.port.read_stat())
                self._listen()
                if not self.stopped:
                    self._beat()
                if not self.silent:
                    await self.port.write_ctrl(list(self.ctrl.words))
            self.linked = True
        except PortLost:
            self.linked = False
        self.scans += 1
        tick, self._tick = self._tick, asyncio.Event()
        tick.set()

    def _listen(self) -> None:
        if self.stat["HEARTBEAT"] != self._heard:
            self._heard, self._heard_s = self.stat["HEARTBEAT"], time.monotonic()
            self._changes += 1

    def _beat(self) -> None:
        self.ctrl["HB_ECHO"] = self._heard
        if time.monotonic() - self._beat_s >= BEAT_S:
            self._beat_s = time.monotonic()
            self.ctrl["PLC_HEARTBEAT"] += 1

    def between_scans(self) -> asyncio.Lock:
        """`async with` it: nothing is exchanged meanwhile, and the port is the test's."""
        return self._exchanging

    async def scanned(self, scans: int = 1) -> None:
        """Until so many scans have ended: what was set before has been written, and STAT is newer."""
        for _ in range(scans):
            task = self._task
            if task is not None and task.done():
                task.result()
            await self._tick.wait()  # set for good once the scans have ended

    async def until(self, true: Callable[[], bool], within_s: float) -> bool:
        """Scan until `true()`; False where that does not come in time."""
        end = time.monotonic() + within_s
        while not true():
            if time.monotonic() >= end:
                return False
            await self.scanned()
        return True

    async def always(self, true: Callable[[], bool], for_s: float) -> bool:
        """Is `true()` in every scan of this time?"""
        return not await self.until(lambda: not true(), for_s)

    # -- what it reads -------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        return Status(self.stat["STATUS"])

    @property
    def hears(self) -> bool:
        """The appliance's heartbeat is fresh."""
        return self._changes >= 2 and time.monotonic() - self._heard_s < self.cfg.heartbeat_timeout_s

    def has(self, bit: Status) -> bool:
        return bool(self.status & bit)

    def is_ready(self) -> bool:
        return self.linked and self.hears and self.has(Status.TRIGGER_READY) and not self.has(Status.RESULTS_VALID)

    def valid_for(self, id_: int) -> bool:
        return self.has(Status.RESULTS_VALID) and self.stat["RES_TRIGGER_ID"] == id_

    def acked(self, id_: int) -> bool:
        return self.has(Status.TRIGGER_ACK) and self.stat["TRIGGER_ID_ACK"] == id_

    @property
    def answer(self) -> tuple[int, int]:
        """RESULT_CODE and REASON as they stand."""
        return self.stat["RESULT_CODE"], self.stat["REASON"]

    async def diag(self) -> Image:
        """The counters, once they have been written after now (they come at 1 Hz)."""
        await self.until(lambda: False, 1.3)
        return Image(DIAG, await self.port.read_diag())

    # -- what it writes ------------------------------------------------------------------------------------------------

    def set(self, bit: Control, on: bool = True) -> None:
        control = Control(self.ctrl["CONTROL"])
        self.ctrl["CONTROL"] = control | bit if on else control & ~bit

    def next_id(self) -> int:
        return next(self._ids)

    def raise_trigger(self, piece: Piece, id_: int | None = None, *, may_pass: bool = True) -> int:
        """TRIGGER with id and PART_ID, from the next scan on. may_pass: False where even a good part must not pass."""
        id_ = self.next_id() if id_ is None else id_
        self.in_view = piece
        test = bool(Control(self.ctrl["CONTROL"]) & Control.TEST_PART)
        self.checker.trigger(id_, good=piece.good and may_pass, test_part=test)
        self.ctrl["TRIGGER_ID"], self.ctrl["TRIGGER_ID_INV"] = id_, (id_ ^ 0xFFFF) & 0xFFFF
        self.ctrl["PART_ID"], self.ctrl["ENCODER"] = piece.part_id, 1000 + id_
        self.ctrl["PLC_PART_COUNT"] += 1
        self.set(TRIGGER)
        return id_

    async def identify(self, id_: int, lot: str, serial: str) -> None:
        """IDENT for the trigger that comes next. Raises PortLost."""
        ident = Image(IDENT)
        ident["IDENT_ID"] = ident["IDENT_ID_TAIL"] = id_
        ident.set_text("LOT", lot)
        ident.set_text("SERIAL", serial)
        await self.port.write_ident(ident.words)

    async def pulse(self, bit: Control) -> None:
        """Up for some scans, then down."""
        self.set(bit)
        await self.until(lambda: False, max(0.05, 3 * self.scan_s))
        self.set(bit, False)
        await self.scanned(2)

    async def ready(self, within_s: float | None = None) -> bool:
        """Wait for READY, discarding leftovers as the function block does."""
        end = time.monotonic() + (self.cfg.ready_timeout_s if within_s is None else within_s)
        while not self.is_ready():
            self.set(ACK, self.has(Status.RESULTS_VALID))
            if time.monotonic() >= end:
                return False
            await self.scanned()
        return True

    async def answered(self, id_: int, within_s: float | None = None) -> tuple[int, int] | None:
        """(code, reason) once a result for this id is valid; None: none came in time."""
        within_s = self.cfg.result_timeout_s if within_s is None else within_s
        return self.answer if await self.until(lambda: self.valid_for(id_), within_s) else None

    async def release(self, within_s: float = 3.0) -> bool:
        """TRIGGER down, acknowledge until VALID and ACK are gone; False: they stay."""
        self.set(TRIGGER, False)
        end = time.monotonic() + within_s
        while self.status & SHOWN and self.hears and time.monotonic() < end:
            self.set(ACK, self.has(Status.RESULTS_VALID))
            await self.scanned()
        self.set(ACK, False)
        await self.scanned(2)
        return not self.status & SHOWN

    async def inspect(self, piece: Piece, id_: int | None = None, *, may_pass: bool = True) -> Seen:
        """FB_Inspect for one part, to its end; the default is reject."""
        if not await self.ready():
            seen = Seen(self.next_id() if id_ is None else id_, piece)
        else:
            seen = Seen(self.raise_trigger(piece, id_, may_pass=may_pass), piece)
            await self._judge(seen)
        await self.release()
        self.decided(seen)
        return seen

    async def _judge(self, seen: Seen) -> None:
        begun, acked, late = time.monotonic(), False, False
        while time.monotonic() - begun <= self.cfg.result_timeout_s and self.hears:
            await self.scanned()
            if self.acked(seen.id) and not acked:
                acked, late = True, time.monotonic() - begun > self.cfg.ack_timeout_s
                self.set(TRIGGER, False)
            valid = self.has(Status.RESULTS_VALID) and self.stat["RES_SEQ"] == self.stat["RES_SEQ_TAIL"]
            if acked and valid and self.stat["RES_TRIGGER_ID"] == seen.id:
                seen.code, seen.reason = self.answer
                seen.part_id_echo = self.stat["PART_ID_ECHO"]
                seen.why = why_not_good(self.stat, seen.id, self.ctrl["RECIPE_EXPECTED"], self.cfg.number)
                seen.good = not seen.why and not late and self.hears
                return
            self.set(ACK, valid)  # a foreign or late result is discarded, else deadlock

    def decided(self, seen: Seen) -> None:
        """Report what was done with the part: PLC_VERDICT."""
        self.seen.append(seen)
        self.ctrl["PLC_VERDICT_ID"], self.ctrl["PLC_VERDICT"] = seen.id, 1 if seen.good else 2

    def distrust(self) -> None:
        """Whatever STAT shows, two new heartbeats must come before it counts: it may be of a session that is gone."""
        self._changes = 0

    def restart(self) -> None:
        """The PLC's program starts anew: ids from 1, heartbeat from 0, its outputs down; memory is retained."""
        self._ids = counted(1)
        self.set(TRIGGER | ACK, False)
        self.ctrl["PLC_HEARTBEAT"] = 0
        self._changes = 0
        self.ctrl["PLC_SESSION"] += 1


def counted(first: int) -> Iterator[int]:
    """Trigger ids: 1..65535, then 1 again."""
    return (number % 0xFFFF + 1 for number in itertools.count(first - 1))
