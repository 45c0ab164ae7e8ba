"""A PLC without a scan: it answers at once, and its program runs inside each write that it takes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from plc.images import Image
from plc.registers import CTRL, SIGNATURE, STAT, Control, Status, Verdict
from plc.server import Memory, RegisterServer
from plc.sim import good
from plc.station import SPAN

BEAT_S = 0.02  # its own heartbeat
FRESH_S = 0.25  # an appliance's heartbeat, every 100 ms, that is older than this was missed


@dataclass(slots=True, eq=False)
class Place:
    """One station of the PLC: its program, and what came of its parts."""

    number: int
    memory: Memory
    ctrl: Image = field(default_factory=lambda: Image(CTRL))
    cycles_s: list[float] = field(default_factory=list)  # edge to RESULTS_VALID
    returns_s: list[float] = field(default_factory=list)  # edge to READY
    wrong: int = 0  # bad parts taken as good
    overkills: int = 0  # good parts that were rejected
    gap_s: float = 0.0  # the longest between two heartbeats
    _edge_s: float = 0.0
    _done: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _beat: tuple[int, float] = (0, 0.0)
    _judged: bool = True

    def __post_init__(self) -> None:
        self.ctrl["SIGNATURE"] = SIGNATURE + self.number
        self.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        self.put()

    @property
    def base(self) -> int:
        return SPAN * (self.number - 1)

    def put(self) -> None:
        self.memory.words[self.base : self.base + CTRL.size] = self.ctrl.words

    def stat(self) -> Image:
        start = self.base + STAT.base
        return Image(STAT, self.memory.words[start : start + STAT.size])

    async def part(self, part_id: int) -> None:
        """Wait for READY, raise TRIGGER, and wait until the result was read. An odd PART_ID is a bad part."""
        await self.ready.wait()
        ctrl = self.ctrl
        self.ready.clear()
        self._done.clear()
        ctrl["TRIGGER_ID"] = ctrl["TRIGGER_ID"] % 0xFFFF + 1
        ctrl["PART_ID"], ctrl["CONTROL"] = part_id, Control.TRIGGER_ENABLE | Control.TRIGGER
        self._judged = False
        self.put()
        self._edge_s = time.monotonic()
        await self._done.wait()

    def beat(self) -> None:
        self.ctrl["PLC_HEARTBEAT"] += 1
        self.put()

    def wrote(self, now_s: float) -> None:
        """The program: one scan for each write of STAT."""
        ctrl, stat = self.ctrl, self.stat()
        status, control = Status(stat["STATUS"]), Control(ctrl["CONTROL"])
        self._heartbeat(stat["HEARTBEAT"], now_s)
        if control & Control.TRIGGER and status & Status.TRIGGER_ACK and stat["TRIGGER_ID_ACK"] == ctrl["TRIGGER_ID"]:
            control &= ~Control.TRIGGER
        valid = bool(status & Status.RESULTS_VALID)
        if valid and not self._judged and stat["RES_TRIGGER_ID"] == ctrl["TRIGGER_ID"]:
            self._take(stat, now_s)
        control = control | Control.RESULTS_ACK if valid else control & ~Control.RESULTS_ACK
        if status & Status.TRIGGER_READY and self._judged and not control & Control.RESULTS_ACK:
            if not self.ready.is_set() and self.cycles_s:
                self.returns_s.append(now_s - self._edge_s)
            self.ready.set()
            self._done.set()
        ctrl["CONTROL"], ctrl["HB_ECHO"] = control, stat["HEARTBEAT"]
        self.put()

    def _take(self, stat: Image, now_s: float) -> None:
        self._judged = True
        self.cycles_s.append(now_s - self._edge_s)
        bad = self.ctrl["PART_ID"] % 2 == 1
        accepted = good(stat, self.ctrl["TRIGGER_ID"], self.ctrl, self.number)
        self.wrong += accepted and (bad or stat["RESULT_CODE"] != Verdict.PASS)
        self.overkills += not accepted and not bad

    def _heartbeat(self, value: int, now_s: float) -> None:
        seen, at_s = self._beat
        if value != seen:
            if at_s:
                self.gap_s = max(self.gap_s, now_s - at_s)
            self._beat = value, now_s


class IdealPlc:
    """Stations 1 to `stations` behind one address."""

    def __init__(self, stations: int) -> None:
        memory = Memory()
        self.places = [Place(number, memory) for number in range(1, stations + 1)]
        self._by_stat = {place.base + STAT.base: place for place in self.places}
        self.server = RegisterServer(memory, on_write=self._wrote)
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Returns the port."""
        await self.server.start()
        self._beating = asyncio.create_task(self._beat_forever(), name="ideal-plc")
        return self.server.port

    async def close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self.server.close()

    def _wrote(self, address: int, words: list[int]) -> None:
        place = self._by_stat.get(address)
        if place is not None and len(words) == STAT.size:
            place.wrote(time.monotonic())

    async def _beat_forever(self) -> None:
        while True:
            for place in self.places:
                place.beat()
            await asyncio.sleep(BEAT_S)
