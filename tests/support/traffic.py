"""The real daemon and its PLC with a proxy between them that breaks their traffic at a chosen moment of a part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inspector.cameras.faults import Fault
from plc.fault_proxy import FaultProxy, Side
from plc.registers import STAT, Control, Status
from plc.sim import SimConfig, SimPlc, SimResult
from plc.sim_client import SimClientPlc
from plc.wire import Wire
from tests.support.live_line import START_S, LiveLine, broken, standing

DEADLINE_MS = 1200
SLOWLY = ("acknowledged", "judged")  # points at which the camera is slow: a new session stands before the verdict
JUDGED_AFTER_S = 0.05  # after the acknowledge
SETTLED_S = 0.15  # health is told, and what is on its way has come
PLC = SimConfig(ack_timeout_s=1, result_timeout_s=1.6, heartbeat_timeout_s=1, ready_timeout_s=START_S)
NOTHING = (0, 0, 0)
CLIENT_LINK = "request_timeout_ms = 800\nheartbeat_timeout_ms = 1500\nreconnect_max_ms = 400"
SERVER_LINK = 'mode = "server"\ncomm_timeout_ms = 800\nheartbeat_timeout_ms = 1500'


def _nothing() -> None:
    return


@dataclass
class WatchedPlc(SimPlc):
    """after_scan: before anybody may read what the scan left."""

    after_scan: Callable[[], None] = _nothing

    def _write(self) -> None:
        super()._write()
        self.after_scan()


@dataclass
class WatchedClientPlc(SimClientPlc):
    """The PLC as the client; what it reads of STAT counts as written there."""

    after_scan: Callable[[], None] = _nothing

    def _write(self) -> None:
        super()._write()
        self.after_scan()

    async def _pull(self, wire: Wire) -> None:
        await super()._pull(wire)
        first = self.base + STAT.base
        if self.server._on_write is not None:
            self.server._on_write(STAT.base, self.memory.words[first : first + STAT.size])


@dataclass(frozen=True)
class TrafficFault:
    """severs: whoever talks on this connection gets no answer any more. lasts_s: until the proxy is whole again."""

    begin: Callable[[FaultProxy, Side], None]
    lasts_s: float = 0.0
    severs: bool = True


@dataclass(frozen=True)
class Hit:
    """What became of the part in which the traffic was broken."""

    result: SimResult
    told_before: list[tuple[int, int]]  # (code, reason) that stood valid as the fault began
    told_still: list[tuple[int, int]]  # in the same session: what the PLC's socket had taken already
    told_after: list[tuple[int, int]]  # where the fault severs: in a session after it; else: after it began
    broken: int  # frames and connections that the proxy did something to, and connections that were made anew
    ready_again_s: float  # after the program was done with it and the fault was over

    @property
    def told_anew(self) -> list[tuple[int, int]]:
        """What had not stood before: in the same session after the fault, or in another one at all."""
        return [told for told in self.told_still if told not in self.told_before] + self.told_after


class Traffic:
    """One line, its proxy, and the side whose power fails when a connection is left half open."""

    def __init__(self, line: LiveLine, proxy: FaultProxy, dies: Side) -> None:
        self.line, self.proxy, self._dies = line, proxy, dies
        self._came: Callable[[], bool] | None = None
        self._begin: Callable[[], None] = _nothing
        self._there = asyncio.Event()
        self._began = 0  # how much had been told when the fault began
        self._anew: int | None = None  # and when somebody wrote in a session after it
        self._connections = 0  # made until then
        self._wrote = line.sim.server._on_write
        line.sim.server._on_write = self._on_write
        sim: Any = line.sim
        sim.after_scan = self._look

    async def hit(self, fault: TrafficFault, point: str, part_id: int) -> Hit:
        """Break the traffic of this part at `point`, and mend it after the fault's time."""
        line, id_ = self.line, self.line.sim.next_id
        await self.settled()
        first, untouched, slow = len(line.told), self._touched(), line.folder / Fault.SLOW
        self._arm(fault, point, id_)
        if point in SLOWLY:
            slow.touch()
        playing = asyncio.create_task(line.play(part_id))
        try:
            await asyncio.wait_for(self._there.wait(), START_S)
            if point == "judged":
                await asyncio.sleep(JUDGED_AFTER_S)
                self._break(fault)
            await asyncio.sleep(fault.lasts_s)
        finally:
            self._came = None
            self.proxy.heal()
            result = await playing
            slow.unlink(missing_ok=True)
        ready_again_s = await self.settled()
        assert result.trigger_id == id_ and result.edge_s, "the part was never triggered"
        anew = len(line.told) if self._anew is None else self._anew
        told = [[(c, r) for i, c, r in line.told[since:to] if i == id_] for since, to in (
            (first, self._began), (self._began, anew), (anew, None)
        )]  # fmt: skip
        return Hit(result, told[0], told[1], told[2], self._touched() - untouched, ready_again_s)

    def _arm(self, fault: TrafficFault, point: str, id_: int) -> None:
        """The fault begins when the point comes: the edge finds it there already, and the judge is given a moment."""
        self._there.clear()
        self._came = self._of(point, id_)
        self._begin = _nothing
        if point == "edge":
            self._break(fault)
        elif point != "judged":
            self._begin = partial(self._break, fault)

    def _break(self, fault: TrafficFault) -> None:
        fault.begin(self.proxy, self._dies)
        self.line.told.append(NOTHING)  # what stands on from before is told again
        self._began = len(self.line.told)
        self._anew = None if fault.severs else self._began
        self._connections = self.proxy.counts["accepted"]

    def _touched(self) -> int:
        return sum(self.proxy.counts[what] for what in ("cut", "reset", "vanished", "duplicated", "accepted"))

    async def settled(self) -> float:
        """READY again; returns how long that took."""
        await self.line.sim.idle_for(SETTLED_S)
        return SETTLED_S + await self.line.ready()

    def _of(self, point: str, id_: int) -> Callable[[], bool]:
        """Has this point of the cycle of `id_` come, as the PLC sees it?"""
        sim = self.line.sim

        def stat(register: str, wanted: Status, without: Status) -> bool:
            image = sim.stat()
            return Status(image["STATUS"]) & (wanted | without) == wanted and image[register] == id_

        acked, valid, none = Status.TRIGGER_ACK, Status.RESULTS_VALID, Status(0)
        points: dict[str, Callable[[], bool]] = {
            "edge": lambda: sim.ctrl["TRIGGER_ID"] == id_,
            "acknowledged": lambda: stat("TRIGGER_ID_ACK", acked, valid),
            "judged": lambda: stat("TRIGGER_ID_ACK", acked, valid),
            "record": lambda: stat("RES_TRIGGER_ID", none, valid),
            "flags": lambda: stat("RES_TRIGGER_ID", valid, none),
            "result ack": lambda: (
                stat("RES_TRIGGER_ID", valid, none) and sim.ctrl.any_set("CONTROL", Control.RESULTS_ACK)
            ),
        }
        return points[point]

    def _on_write(self, address: int, words: list[int]) -> None:
        if self._anew is None and self.proxy.counts["accepted"] != self._connections:
            self._anew = len(self.line.told)
        if self._wrote is not None:
            self._wrote(address, words)
        self._look()

    def _look(self) -> None:
        """In the very scan, or the very write, in which the point comes: before anything else can travel."""
        if self._came is not None and self._came():
            self._came = None
            self._begin()
            self._there.set()


@asynccontextmanager
async def traffic(folder: Path, *, server_port: int = 0) -> AsyncIterator[Traffic]:
    """The line, READY. server_port: the daemon listens there and the PLC is its client; 0: the daemon is the client."""
    plc = WatchedClientPlc(PLC) if server_port else WatchedPlc(PLC)
    proxy = FaultProxy()
    await proxy.start()
    await plc.start("127.0.0.1", proxy.port if server_port else 0)
    proxy.target = "127.0.0.1", server_port or plc.port
    try:
        line = LiveLine(folder, plc)
        try:
            slow = broken(camera=standing(folder, Fault.SLOW))
            line.configure(
                deadline_ms=DEADLINE_MS, more=slow, port=server_port or proxy.port,
                link=SERVER_LINK if server_port else CLIENT_LINK,
            )  # fmt: skip
            await line.start()
            await line.ready()
            yield Traffic(line, proxy, Side.CLIENT if server_port else Side.SERVER)
        finally:
            await line.end()
    finally:
        await plc.close()
        await proxy.close()
