"""Client direction: we poll the PLC's memory and write our results into it. A thin adapter on the handshake."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from plc.cycle import Cycle, Link
from plc.handshake import Handshake
from plc.images import Image, WordOrder
from plc.parts import HealthInput, Part, Record
from plc.registers import CTRL, DIAG, IDENT, SIGNATURE, STAT
from plc.wire import ExceptionReply, LinkFault, Wire

OWN_CONFLICTS = 3  # foreign heartbeats in our STAT, one after another, before we stop writing
JUDGING_POLLS = 4  # polls that are left out while a part is judged
MAX_REFUSED_READS = 3  # Modbus exceptions, one after another, before they count as a link fault (row 23)
STOP_S = 0.2  # for the last write (row 28)


@dataclass(frozen=True, slots=True)
class LinkConfig:
    host: str = "127.0.0.1"
    port: int = 502
    unit_id: int = 1
    word_order: WordOrder = "big"
    ctrl_base: int = 0
    stat_base: int = 20
    diag_base: int = 100
    ident_base: int = 140
    poll_s: float = 0.005
    armed_poll_s: float = 0.002
    request_timeout_s: float = 0.25
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 2.0
    heartbeat_s: float = 0.1
    two_phase: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """What the PLC was told of a part. state: confirmed, unknown (written, not confirmed) or none (never written)."""

    record: Record
    state: str
    mono_s: float  # start of the publishing write


@dataclass(slots=True)
class LinkStatus:
    """For the page: what the link does, and how fast."""

    connected: bool = False
    text: str = "not connected yet"
    faults: int = 0
    exceptions: int = 0  # Modbus exceptions from the PLC
    rtt_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    poll_gap_max_s: float = 0.0

    @property
    def rtt_p99_s(self) -> float:
        return sorted(self.rtt_s)[int(0.99 * (len(self.rtt_s) - 1))] if self.rtt_s else 0.0


class PlcClient:
    """Runs one station over one connection. `monotonic_s` is the clock that the handshake's times are on.

    diag: further counters for the DIAG block (BOOT_COUNT, UPTIME, DISK_FREE ...), asked once a second.
    """

    def __init__(
        self,
        link: LinkConfig,
        handshake: Handshake,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        diag: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self.cfg, self.handshake, self._now, self._diag = link, handshake, monotonic_s, diag
        self.status = LinkStatus()
        self._wire: Wire | None = None
        self._lock = asyncio.Lock()  # one request at a time on the wire
        self._parts: asyncio.Queue[tuple[Part, str, str]] = asyncio.Queue(maxsize=8)  # one in flight; room to spare
        self._stopped = asyncio.Event()
        self._written: list[int] | None = None
        self._foreign = 0
        handshake.line_free(False, self._now())

    # -- for the line --------------------------------------------------------------------------------------------------

    async def next(self) -> tuple[Part, str, str]:
        """The next part with its lot and serial ("" where the PLC gave none). READY only while someone waits here."""
        if not self._parts.empty():
            return self._parts.get_nowait()
        self.handshake.line_free(True, self._now())
        try:
            return await self._parts.get()
        finally:
            self.handshake.line_free(False, self._now())

    def exposed(self, part: Part, exposed_s: float) -> None:
        """The exposure that began at `exposed_s` is over: the part may move."""
        self.handshake.exposed(part, exposed_s, self._now())

    async def publish(self, part: Part, record: Record) -> Told:
        """Record, confirmed; then flags (P6). Downgrades; never replaces a verdict whose flags were tried (P9)."""
        hs = self.handshake
        async with self._lock:  # nothing between record and flags, and the deadline is checked as the write starts
            loaded = hs.load(part, record, self._now())
            for _ in range(2):  # a record that became untrue between the phases is loaded once more, as a reject
                if loaded is None or (self.cfg.two_phase and not await self._send_stat()):
                    break
                started = self._now()
                if hs.raise_flags(part, loaded, started):
                    confirmed = await self._send_stat()
                    return Told(loaded, "confirmed" if confirmed else "unknown", started)
                loaded = hs.load(part, loaded, self._now())
        told = hs.give_up(part, loaded or record, self._now())
        self._queue_events()
        return Told(told, "none", self._now())

    def set_health(self, health: HealthInput) -> None:
        self.handshake.health(health, self._now())

    # -- the connection ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, serve, reconnect with back-off; until `stop()`."""
        delay = self.cfg.reconnect_min_s
        while not self._stopped.is_set():
            try:
                await self._connect()
                delay = self.cfg.reconnect_min_s
                await self._serve()
            except LinkFault as exc:
                self.status.faults += 1
                self.status.text = str(exc)
            finally:
                self._disconnect()
            if not self._stopped.is_set():
                await self._pause(delay)
                delay = min(2 * delay, self.cfg.reconnect_max_s)

    async def stop(self) -> None:
        """Last write with ONLINE=0, within 200 ms, then close (fault table, row 28)."""
        self.handshake.stop(self._now())
        try:
            async with asyncio.timeout(STOP_S):
                async with self._lock:
                    await self._send_stat()
        except TimeoutError:
            self.status.text = "the PLC did not take the last write in time"
        self._stopped.set()
        self._disconnect()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return

    async def _connect(self) -> None:
        c = self.cfg
        self._wire = await Wire.connect(c.host, c.port, c.unit_id, c.request_timeout_s, self._now, self.status.rtt_s)
        found = Image(STAT, await self._read(c.stat_base, STAT.size), c.word_order)
        ours = found["STAT_SIGNATURE"] == SIGNATURE + self.handshake.cfg.number
        self._written, self._foreign = None, 0
        self.handshake.link_up(self._now(), found["TRIGGER_ID_ACK"] if ours else 0)
        self.status.connected, self.status.text = True, f"connected to {c.host}:{c.port}"

    def _disconnect(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
        self.status.connected = False
        if self.handshake.link is not Link.DOWN:
            self.handshake.link_down(self._now())
            self._queue_events()

    async def _serve(self) -> None:
        """Poll and heartbeat side by side, until one of them ends; its fault is ours."""
        beat = asyncio.create_task(self._beat_forever(), name="plc-heartbeat")
        poll = asyncio.create_task(self._poll_until_stopped(), name="plc-poll")
        try:
            done, _ = await asyncio.wait((beat, poll), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (beat, poll):
                task.cancel()
            await asyncio.gather(beat, poll, return_exceptions=True)

    async def _poll_until_stopped(self) -> None:
        c, hs = self.cfg, self.handshake
        last, refused = self._now(), 0
        while not self._stopped.is_set():
            try:
                async with self._lock:
                    sent = self._now()  # the request's own time, not that of waiting for the wire
                    words = await self._raw_read(c.ctrl_base, CTRL.size)
            except ExceptionReply:  # never taken as data; the trigger's age goes on growing meanwhile
                self.status.exceptions += 1
                refused += 1
                if refused >= MAX_REFUSED_READS:
                    raise
                await asyncio.sleep(c.poll_s)
                continue
            refused = 0
            self.status.poll_gap_max_s = max(self.status.poll_gap_max_s, sent - last)
            last = sent
            hs.sample(Image(CTRL, words, c.word_order), sent, self._now())
            hs.tick(self._now())
            await self._hand_out()
            if self._needs_write():
                await self._write_or_fault()
            self.status.text = self._text()
            await asyncio.sleep(self._poll_pause_s(self._now() - sent))

    def _poll_pause_s(self, took_s: float) -> float:
        """Short while a trigger or an acknowledgement may come; long while a part is judged and needs the cores.

        Then nothing of the PLC's is urgent: an edge is an overrun whenever it is seen, and the result is written, not
        polled. Half the age of the oldest trigger that is still taken keeps the link from being called degraded.
        took_s: since this poll's request was sent.
        """
        c, hs = self.cfg, self.handshake
        if hs.link is not Link.LIVE:
            return c.poll_s
        if hs.cycle in (Cycle.ACQUIRING, Cycle.INSPECTING):
            return max(c.armed_poll_s, min(JUDGING_POLLS * c.poll_s, hs.cfg.max_trigger_age_s / 2))
        return pause_s(c.armed_poll_s, took_s)

    def _text(self) -> str:
        c, hs = self.cfg, self.handshake
        if hs.simulator is None:
            number = hs.cfg.number
            return f"{c.host}:{c.port} shows no signature of station {number} at {c.ctrl_base}: wrong PLC or address"
        if hs.owner_doubted:
            return "another appliance writes to this PLC's result area: stopped writing"
        return f"connected to {c.host}:{c.port}"

    async def _hand_out(self) -> None:
        """Give a new part to the line; LOT and SERIAL are read at accept, and only believed if they are of this id."""
        hs = self.handshake
        if not hs.events:
            return
        part, lot, serial = hs.events[0], "", ""
        if part.refused is None:
            ident = Image(IDENT, await self._read(self.cfg.ident_base, IDENT.size), self.cfg.word_order)
            if ident["IDENT_ID"] == ident["IDENT_ID_TAIL"] == part.trigger_id:
                lot, serial = ident.text("LOT"), ident.text("SERIAL")
        self._queue_events(lot, serial)

    def _queue_events(self, lot: str = "", serial: str = "") -> None:
        """Also when the link is gone: an accepted part gets its row whatever comes."""
        while self.handshake.events:
            self._parts.put_nowait((self.handshake.events.popleft(), lot, serial))
            lot = serial = ""

    async def _beat_forever(self) -> None:
        """Heartbeat, full image (P5) and, once a second, DIAG; the read-back shows a second writer."""
        beats, due = 0, self._now()
        while True:
            self.handshake.beat(self._now())
            if self._may_write():
                await self._check_owner()
                await self._write_or_fault()
                if beats % max(1, round(1 / self.cfg.heartbeat_s)) == 0:
                    await self._write_diag()
            beats += 1
            due = max(due + self.cfg.heartbeat_s, self._now())
            await asyncio.sleep(due - self._now())

    async def _check_owner(self) -> None:
        if self._written is None:
            return
        words = await self._read(self.cfg.stat_base + STAT["HEARTBEAT"].offset, 1)
        ours = self._written[STAT["HEARTBEAT"].offset]
        self._foreign = self._foreign + 1 if words[0] not in (ours, 0) else 0  # 0: the PLC cleared its area
        if self._foreign >= OWN_CONFLICTS:
            self._foreign = 0
            self.handshake.owner_conflict(self._now())

    def _may_write(self) -> bool:
        """Only to a PLC that shows the signature on this connection, and only if the area is ours alone."""
        return self._wire is not None and self.handshake.simulator is not None and not self.handshake.owner_doubted

    def _needs_write(self) -> bool:
        return self._may_write() and self.handshake.stat.words != self._written

    async def _write_or_fault(self) -> None:
        async with self._lock:
            if self._may_write() and not await self._send_stat():
                raise LinkFault(self.status.text)

    async def _send_stat(self) -> bool:
        """Write the newest full image; the caller holds the lock. False: not confirmed, the connection is given up."""
        wire = self._wire
        if wire is None or not self._may_write():
            return False
        words = list(self.handshake.stat.words)
        try:
            await wire.write(self.cfg.stat_base, words)
        except LinkFault as exc:
            self.status.text = f"write failed: {exc}"
            wire.abort()  # the poll loop sees it and reconnects
            return False
        self._written = words
        return True

    async def _write_diag(self) -> None:
        image = Image(DIAG, word_order=self.cfg.word_order)
        values = {**self.handshake.counts, **self._diag()}
        values["RTT_P99"] = round(self.status.rtt_p99_s * 10_000)
        values["POLL_GAP_MAX"] = round(self.status.poll_gap_max_s * 10_000)
        for name, value in values.items():
            image[name] = value
        async with self._lock:
            if self._may_write() and self._wire is not None:
                await self._wire.write(self.cfg.diag_base, image.words)

    async def _read(self, address: int, count: int) -> list[int]:
        async with self._lock:
            return await self._raw_read(address, count)

    async def _raw_read(self, address: int, count: int) -> list[int]:
        if self._wire is None:
            raise LinkFault("closed")
        return await self._wire.read(address, count)


def pause_s(interval_s: float, took_s: float) -> float:
    """What is left of an interval that is counted from request to request; half of it at least, for a slow PLC.

    In whole milliseconds, rounded down: asyncio's epoll rounds up, and a trigger would wait longer than the interval.
    """
    return max(interval_s / 2, math.floor(1000 * (interval_s - took_s)) / 1000)
