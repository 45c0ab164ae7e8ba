"""A PLC that plays a line: a real Modbus TCP server, and the contract's function block as a scan cycle.

Every part gets REJECT at once; GOOD is written only to its own place in the track, and only if everything in P2 holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from plc.images import Image, record_xor
from plc.registers import CTRL, IDENT, SIGNATURE, SIMULATOR_SIGNATURE, STAT, Control, Status, Verdict
from plc.server import Memory, RegisterServer

Block = Enum("Block", "IDLE WAIT RELEASE")


@dataclass(slots=True)
class SimResult:
    """What the PLC program made of one part. code 0: it read no result in time."""

    trigger_id: int
    part_id: int
    code: int = 0
    reason: int = 0
    verdict: str = "reject"  # good or reject
    edge_s: float = 0.0
    ack_s: float | None = None
    valid_s: float | None = None


@dataclass(slots=True)
class SimConfig:
    number: int = 1
    simulator: bool = True  # False: shows a production signature
    scan_s: float = 0.005
    ack_timeout_s: float = 0.1
    result_timeout_s: float = 0.5
    heartbeat_timeout_s: float = 0.5
    claims_good: bool = False  # a program that is wrong: PLC_VERDICT says of every part that it went on as good
    ready_timeout_s: float = 15.0  # the line waits for READY that long before a part goes by uninspected


@dataclass
class SimPlc:
    """Memory, server and program of one simulated PLC; `frozen` stops its program while the server answers on.

    beside: another one whose memory and server this program shares, as two stations of one PLC do; base: where there.
    """

    cfg: SimConfig = field(default_factory=SimConfig)
    results: list[SimResult] = field(default_factory=list)
    on_result: Callable[[SimResult], None] | None = None
    frozen: bool = False
    next_id: int = 1
    beside: SimPlc | None = None
    base: int = 0

    def __post_init__(self) -> None:
        if self.beside is None:
            self._bases = [self.base]
            self.memory = Memory(writable=self._appliance_may_write)
            self.server = RegisterServer(self.memory)
        else:
            self.memory, self.server, self._bases = self.beside.memory, self.beside.server, self.beside._bases
            self._bases.append(self.base)
        self.ctrl = Image(CTRL)
        signature = SIMULATOR_SIGNATURE if self.cfg.simulator else SIGNATURE
        self.ctrl["SIGNATURE"] = signature + self.cfg.number
        self.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        self._hb_seen, self._hb_at, self._hb_changes = 0, 0.0, 0
        self._beat_at = 0.0
        self._write()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        await self.server.start(host, port)

    async def close(self) -> None:
        await self.server.close()

    @property
    def port(self) -> int:
        return self.server.port

    def stat(self) -> Image:
        first = self.base + STAT.base
        return Image(STAT, self.memory.words[first : first + STAT.size])

    async def play(self, part_ids: Iterable[int], period_s: float = 0.0) -> list[SimResult]:
        """Bring parts past the camera, one after another, at least `period_s` apart; returns their results."""
        first = len(self.results)
        for part_id in part_ids:
            begun = time.monotonic()
            await self.inspect(part_id)
            await self.idle_for(max(0.0, period_s - (time.monotonic() - begun)))
        return self.results[first:]

    async def idle_for(self, seconds: float) -> None:
        """Scan on without a part."""
        end = time.monotonic() + seconds
        while True:
            await self._scan()
            if time.monotonic() >= end:
                return

    async def wait_ready(self, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            await self._scan()
            status = Status(self.stat()["STATUS"])
            if self._heartbeat_ok() and status & Status.TRIGGER_READY and not status & Status.RESULTS_VALID:
                return True
        return False

    async def inspect(self, part_id: int) -> SimResult:
        """FB_Inspect for one part, to its end; the default is reject."""
        result = SimResult(self.next_id, part_id)
        self.next_id = self.next_id % 0xFFFF + 1
        self.ctrl["PLC_PART_COUNT"] = self.ctrl["PLC_PART_COUNT"] + 1
        if await self.wait_ready(self.cfg.ready_timeout_s):
            await self._trigger(result)
        self._set(Control.TRIGGER, False)
        await self._release()
        self.ctrl["PLC_VERDICT_ID"] = result.trigger_id
        self.ctrl["PLC_VERDICT"] = 1 if self.cfg.claims_good or result.verdict == "good" else 2
        self.results.append(result)
        if self.on_result is not None:
            self.on_result(result)
        return result

    async def _trigger(self, result: SimResult) -> None:
        ctrl, cfg = self.ctrl, self.cfg
        ctrl["TRIGGER_ID"], ctrl["TRIGGER_ID_INV"] = result.trigger_id, result.trigger_id ^ 0xFFFF
        ctrl["PART_ID"] = result.part_id
        self._set(Control.TRIGGER, True)
        self._write()
        result.edge_s = time.monotonic()
        acked = late = False
        while time.monotonic() - result.edge_s <= cfg.result_timeout_s and self._heartbeat_ok():
            await self._scan()
            stat = self.stat()
            status, age = Status(stat["STATUS"]), time.monotonic() - result.edge_s
            if status & Status.TRIGGER_ACK and stat["TRIGGER_ID_ACK"] == result.trigger_id and not acked:
                acked, late, result.ack_s = True, age > cfg.ack_timeout_s, time.monotonic()
                self._set(Control.TRIGGER, False)
            valid = bool(status & Status.RESULTS_VALID) and stat["RES_SEQ"] == stat["RES_SEQ_TAIL"]
            if acked and valid and stat["RES_TRIGGER_ID"] == result.trigger_id:
                result.code, result.reason, result.valid_s = stat["RESULT_CODE"], stat["REASON"], time.monotonic()
                if good(stat, result.trigger_id, self.ctrl, cfg.number) and not late and self._heartbeat_ok():
                    result.verdict = "good"
                return
            self._set(Control.RESULTS_ACK, valid)  # a foreign or late result is discarded, else deadlock

    async def _release(self) -> None:
        """Acknowledge until VALID and ACK are gone; a dead appliance is not waited for."""
        end = time.monotonic() + self.cfg.result_timeout_s
        while time.monotonic() < end:
            status = Status(self.stat()["STATUS"])
            self._set(Control.RESULTS_ACK, bool(status & Status.RESULTS_VALID))
            if not status & (Status.RESULTS_VALID | Status.TRIGGER_ACK):
                break
            await self._scan()
        self._set(Control.RESULTS_ACK, False)
        self._write()

    async def _scan(self) -> None:
        """One PLC scan: inputs, heartbeats, outputs."""
        now = time.monotonic()
        heartbeat = self.stat()["HEARTBEAT"]
        if heartbeat != self._hb_seen:
            self._hb_seen, self._hb_at = heartbeat, now
            self._hb_changes += 1
        if not self.frozen:
            self.ctrl["HB_ECHO"] = heartbeat
            if now - self._beat_at >= 0.05:
                self._beat_at = now
                self.ctrl["PLC_HEARTBEAT"] = self.ctrl["PLC_HEARTBEAT"] + 1
            self._write()
        await asyncio.sleep(self.cfg.scan_s)

    def _heartbeat_ok(self) -> bool:
        return self._hb_changes >= 2 and time.monotonic() - self._hb_at < self.cfg.heartbeat_timeout_s

    def _set(self, bit: Control, on: bool) -> None:
        control = Control(self.ctrl["CONTROL"])
        self.ctrl["CONTROL"] = control | bit if on else control & ~bit

    def _write(self) -> None:
        first = self.base + CTRL.base
        self.memory.words[first : first + CTRL.size] = self.ctrl.words

    def _appliance_may_write(self, address: int) -> bool:
        """STAT and DIAG only (P4), of each station."""
        return any(CTRL.size <= address - base < IDENT.base for base in self._bases)


def good(stat: Image, trigger_id: int, ctrl: Image, number: int) -> bool:
    """P2 of the contract but for the timers: all of it, or the part is a reject."""
    status = Status(stat["STATUS"])
    wanted = Status.RESULTS_VALID | Status.PASS | Status.ONLINE
    return (
        status & wanted == wanted
        and not status & (Status.FAIL | Status.ERROR)
        and stat["RESULT_CODE"] == Verdict.PASS
        and stat["RES_TRIGGER_ID"] == trigger_id
        and stat["RES_SEQ"] == stat["RES_SEQ_TAIL"]
        and stat["RES_XOR"] == record_xor(stat)
        and ctrl["RECIPE_EXPECTED"] in (0, stat["RECIPE_USED"])
        and stat["RESULT_FLAGS"] & 3 == 0
        and stat["STAT_SIGNATURE"] == SIGNATURE + number
    )
